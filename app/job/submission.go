package job

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"tresor/app/dataset/sqlrun"
	"tresor/app/fault"
	"tresor/app/output"
	"tresor/app/store"
	"tresor/app/tree"
	"tresor/sandbox"
)

// Query is one SQL statement and the file it fills.
type Query struct {
	Output string `json:"output"` // file name; ".csv" is added when missing
	SQL    string `json:"sql"`
}

// Task is one command in one image.
type Task struct {
	Image   string   `json:"image"` // name or digest of an approved image
	Argv    []string `json:"argv"`
	Env     []string `json:"env"`     // NAME=value; never secrets
	Workdir string   `json:"workdir"` // inside /work, or /project or in it: then the project's files are there; empty: /work

	Stdin       string `json:"stdin,omitempty"`        // absolute path of a file in a shared folder; empty: none
	Stdout      string `json:"stdout,omitempty"`       // where a copy of standard output goes, besides the log
	Stderr      string `json:"stderr,omitempty"`       // the same for standard error
	IgnoreError bool   `json:"ignore_error,omitempty"` // a failure does not stop the tasks after it
}

// Input is a small file that the submission carries; tasks find it at /in/<Name>.
type Input struct {
	Name    string `json:"name"`
	Content string `json:"content"`
}

// Submission asks for a job: either SQL or Tasks.
type Submission struct {
	Project        string   `json:"project"` // id or slug
	Name           string   `json:"name"`
	Purpose        string   `json:"purpose"`
	SQL            []Query  `json:"sql,omitempty"`
	Tasks          []Task   `json:"tasks,omitempty"`
	Inputs         []Input  `json:"inputs,omitempty"`
	Datasets       []string `json:"datasets,omitempty"` // ids or slugs; none: all that the project is granted
	Outputs        []string `json:"outputs,omitempty"`  // files, globs or folders in /work/out; not with SQL
	Limits         *Limits  `json:"limits,omitempty"`
	IdempotencyKey string   `json:"idempotency_key,omitempty"` // the same key in a project means the same job

	// What follows is for the gateway, which answers for it: no request of a person carries it.

	Places       []Place                                  `json:"-"` // inputs at any path
	Wants        []Want                                   `json:"-"` // outputs from any path
	Volumes      []string                                 `json:"-"` // absolute paths of empty folders that all tasks share
	Via          string                                   `json:"-"` // "hub:<slug>", "client:<slug>", "token:<id>", "inside:<job>"; empty: web or command line
	OnBehalf     string                                   `json:"-"` // who asked there, as they say; shown, never trusted
	WaitForImage bool                                     `json:"-"` // wait for images that are not approved yet instead of refusing
	EveryJob     bool                                     `json:"-"` // needs a decision whatever the project's mode is
	Inside       bool                                     `json:"-"` // offer the task service inside the containers
	Sees         func(*store.Tx, tree.File) (bool, error) `json:"-"` // whether a file of the project's tree is there for it; nil: all are
	Also         func(*store.Tx, Job) error               `json:"-"` // called in the transaction that inserts the job; its error undoes that
}

// The most a submission may hold.
const (
	MaxInput    = 128 << 10 // bytes of one inline input
	MaxInputs   = 1 << 20   // bytes of all inline inputs
	maxCount    = 50        // inputs, outputs, queries
	maxTasks    = 20
	maxArgument = 32 << 10 // bytes of one argument
	maxCommand  = 96 << 10 // bytes of a task's arguments and environment
	maxName     = 120      // characters
	maxPurpose  = 4000     // characters
	maxOnBehalf = 100      // characters
	workFolder  = "/work"
	inFolder    = "/in"
	sqlImage    = "tresor/sql"
)

func invalid(format string, args ...any) error {
	return fault.New("job.Submit", fault.Invalid, format, args...)
}

// normalise checks everything about a submission that needs no database and
// returns it in its one canonical form: SQL has become a task with its input and outputs.
func (sub Submission) normalise() (Submission, error) {
	sub.Name, sub.Purpose = strings.TrimSpace(sub.Name), strings.TrimSpace(sub.Purpose)
	for _, check := range []func(*Submission) error{checkTexts, checkVia, checkKind, checkTasks, checkInputs, checkOutputs, checkPlaces, checkWants, checkVolumes, shareFolders} {
		if err := check(&sub); err != nil {
			return sub, err
		}
	}
	return sub, nil
}

func checkTexts(s *Submission) error {
	switch {
	case s.Name == "":
		return invalid("The job has no name. Give it one that the others in the project understand.")
	case utf8.RuneCountInString(s.Name) > maxName:
		return invalid("The name is longer than %d characters. Shorten it.", maxName)
	case unreadable(s.Name, false):
		return invalid("The name holds control or invisible characters. Remove them.")
	case utf8.RuneCountInString(s.Purpose) > maxPurpose:
		return invalid("The purpose is longer than %d characters. Shorten it.", maxPurpose)
	case unreadable(s.Purpose, true):
		return invalid("The purpose holds control or invisible characters. Remove them.")
	case len(s.IdempotencyKey) > 200 || unreadable(s.IdempotencyKey, false):
		return invalid("The idempotency key is longer than 200 bytes or holds control characters.")
	}
	return nil
}

func unreadable(text string, lines bool) bool {
	if !utf8.ValidString(text) {
		return true
	}
	return strings.ContainsFunc(text, func(r rune) bool {
		if lines && (r == '\n' || r == '\t' || r == '\r') {
			return false
		}
		return unicode.IsControl(r) || unicode.Is(unicode.Cf, r)
	})
}

func checkKind(s *Submission) error {
	switch {
	case len(s.SQL) == 0 && len(s.Tasks) == 0:
		return invalid("There is nothing to run. Write an SQL statement or name a task.")
	case len(s.SQL) > 0 && len(s.Tasks) > 0:
		return invalid("A job runs SQL statements or tasks, not both. Submit two jobs.")
	case len(s.SQL) > 0 && len(s.Outputs) > 0:
		return invalid("An SQL job declares no outputs: each statement names its own file.")
	case len(s.SQL) > maxCount:
		return invalid("There are %d statements, and a job runs at most %d. Submit several jobs.", len(s.SQL), maxCount)
	case len(s.SQL) > 0:
		return fromSQL(s)
	}
	return nil
}

// fromSQL turns the statements into the one task that runs them.
func fromSQL(s *Submission) error {
	queries := make([]sqlrun.Query, len(s.SQL))
	s.SQL = append([]Query(nil), s.SQL...)
	for i := range s.SQL {
		q := &s.SQL[i]
		if q.Output = strings.TrimSpace(q.Output); path.Ext(q.Output) == "" && q.Output != "" {
			q.Output += ".csv"
		}
		queries[i] = sqlrun.Query{Output: q.Output, SQL: q.SQL}
		s.Outputs = append(s.Outputs, path.Join(sqlrun.OutDir, q.Output))
	}
	if err := sqlrun.Validate(queries); err != nil {
		return err
	}
	script, err := sqlrun.Script(queries)
	if err != nil {
		return fault.Wrap("job.Submit", err)
	}
	s.Tasks = []Task{{Image: sqlImage, Argv: sqlrun.Argv()}}
	s.Inputs = append([]Input{{Name: path.Base(sqlrun.ScriptPath), Content: string(script)}}, s.Inputs...)
	return nil
}

func checkTasks(s *Submission) error {
	most := maxTasks
	if s.ownPaths() {
		most = maxOwnTasks
	}
	if len(s.Tasks) > most {
		return invalid("There are %d tasks, and a job runs at most %d.", len(s.Tasks), most)
	}
	s.Tasks = append([]Task(nil), s.Tasks...)
	for i := range s.Tasks {
		if err := s.Tasks[i].check(i+1, s.ownPaths()); err != nil {
			return err
		}
	}
	return nil
}

func (t *Task) check(n int, own bool) error {
	if t.Image = strings.TrimSpace(t.Image); t.Image == "" {
		return invalid("Task %d names no image. Choose one of the approved images.", n)
	}
	if len(t.Argv) == 0 || t.Argv[0] == "" {
		return invalid("Task %d has no command. Give the program and its arguments as a list.", n)
	}
	total := 0
	for _, a := range append(append([]string(nil), t.Argv...), t.Env...) {
		if total += len(a) + 1; len(a) > maxArgument || total > maxCommand {
			return invalid("The command of task %d is too long: %d KB per argument, %d KB in all. Put long texts into an input file.", n, maxArgument>>10, maxCommand>>10)
		}
		if strings.ContainsRune(a, 0) || !utf8.ValidString(a) {
			return invalid("The command of task %d holds a NUL byte or is not UTF-8.", n)
		}
	}
	for _, e := range t.Env {
		if name, _, ok := strings.Cut(e, "="); !ok || !envName(name) {
			return invalid("The environment of task %d holds %q. Write NAME=value with a name of letters, digits and underscores.", n, clip(e))
		}
	}
	if own {
		return t.checkOwn(n)
	}
	if err := t.checkStreams(n, true); err != nil {
		return err
	}
	return t.checkWorkdir(n)
}

func (t *Task) checkWorkdir(n int) error {
	if t.Workdir == "" {
		t.Workdir = workFolder
	}
	if path.Clean(t.Workdir) != t.Workdir || !within(t.Workdir, workFolder) && !within(t.Workdir, sandbox.ProjectFolder) || sandbox.CheckPath(t.Workdir) != nil {
		return fault.WithNext(invalid("The working folder %q of task %d is not /work, /project or a folder in one of them.", clip(t.Workdir), n), "Name %s, or %s for the project's files, or a folder in one of them.", workFolder, sandbox.ProjectFolder)
	}
	return nil
}

func envName(s string) bool {
	for i, r := range s {
		letter := r == '_' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}

func checkInputs(s *Submission) error {
	if len(s.Inputs) > maxCount {
		return invalid("There are %d input files, and a job carries at most %d. Have large data registered as a dataset.", len(s.Inputs), maxCount)
	}
	seen, total := map[string]bool{}, 0
	for _, in := range s.Inputs {
		switch total += len(in.Content); {
		case !fileName(in.Name):
			return invalid("The input name %q is not a plain file name: letters, digits, dot, hyphen and underscore, at most 100, not starting with a dot or hyphen.", clip(in.Name))
		case seen[in.Name]:
			return invalid("Two inputs are called %q. Every input needs its own name.", in.Name)
		case len(in.Content) > MaxInput:
			return invalid("The input %q has %s, and an input may have %s. Have large data registered as a dataset.", in.Name, sizeText(int64(len(in.Content))), sizeText(MaxInput))
		case total > MaxInputs:
			return invalid("The inputs have more than %s together. Have large data registered as a dataset.", sizeText(MaxInputs))
		}
		seen[in.Name] = true
	}
	return nil
}

func fileName(s string) bool {
	if s == "" || len(s) > 100 || s[0] == '.' || s[0] == '-' {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("._-", r)
	})
}

func checkOutputs(s *Submission) error {
	if s.ownPaths() {
		return nil
	}
	if len(s.Outputs) == 0 && s.inProject() {
		return nil // what it leaves in the project's files stays inside
	}
	if len(s.Outputs) == 0 {
		return invalid("The job declares no output, so nothing could ever leave it. Name the files it writes to %s.", output.Folder)
	}
	if len(s.Outputs) > maxCount {
		return invalid("There are %d declared outputs, and a job declares at most %d. A pattern such as tables/*.csv covers many files.", len(s.Outputs), maxCount)
	}
	seen := map[string]bool{}
	list := make([]string, len(s.Outputs))
	for i, o := range s.Outputs {
		p, err := outputPath(o)
		if err != nil {
			return err
		}
		if key := strings.ToLower(p); seen[key] {
			return invalid("The output %q is declared twice.", clip(o))
		} else {
			seen[key] = true
		}
		list[i] = p
	}
	s.Outputs = list
	return nil
}

// inProject reports whether a task works in the project's files.
func (sub Submission) inProject() bool {
	return slices.ContainsFunc(sub.Tasks, func(t Task) bool { return within(t.Workdir, sandbox.ProjectFolder) })
}

// outputPath makes a declared output absolute; it must lie in the output folder.
func outputPath(o string) (string, error) {
	p := strings.TrimSpace(o)
	if !path.IsAbs(p) {
		p = path.Join(output.Folder, p)
	}
	if path.Clean(p) != p || strings.Contains(o, "..") || !strings.HasPrefix(p, output.Folder+"/") {
		return "", invalid("The output %q does not lie in %s. Write outputs there and name them relative to it.", clip(o), output.Folder)
	}
	if err := sandbox.CheckPath(p); err != nil {
		return "", invalid("The output %q cannot be used: %v.", clip(o), err)
	}
	if _, err := path.Match(p, "/"); err != nil {
		return "", invalid("The output pattern %q is malformed. Use * and ? and close every bracket.", clip(o))
	}
	return p, nil
}

// hash identifies what was submitted, to notice a key used for something else.
func (sub Submission) hash() string {
	sub.IdempotencyKey = ""
	var all any = sub
	if sub.ownPaths() {
		all = struct {
			Submission
			Places        []Place
			Wants         []Want
			Volumes       []string
			Via, OnBehalf string
			EveryJob      bool
		}{sub, sub.Places, sub.Wants, sub.Volumes, sub.Via, sub.OnBehalf, sub.EveryJob}
	}
	b, err := json.Marshal(all)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func clip(s string) string {
	s = sandbox.Printable(s)
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}

package job

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"

	"tresor/sandbox"
)

// Bounds of a submission with paths of its own.
const (
	MaxContent    = 256 << 10 // bytes of one Place's content
	MaxContents   = 2 << 20   // bytes of the contents of all Places
	maxPlaces     = 2000
	maxWants      = 2000
	maxOwnTasks   = 100
	maxVolumes    = 32 // folders that tasks share, after those inside one another are joined
	maxTarget     = 4096
	placeFolder   = "/.tresor-in" // where places come from, inside the container
	maxTreeFolder = 2000          // files of one folder of the tree that is an input
	maxTreeFiles  = 20_000        // files of all such folders of a job
)

// systemFolders are where an image's programs and the sandbox itself live.
var systemFolders = []string{"proc", "sys", "dev", "run", "etc", "usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "boot", placeFolder[1:]}

// wholeFolders hold what an image brings along: only folders in them may be shared.
var wholeFolders = []string{"/home", "/mnt", "/opt", "/root", "/srv", "/var"}

// imageFolders are where images keep what their working folder is about: a shared
// folder there would hide it, so a working folder in them is the image's own.
var imageFolders = []string{"app", "home", "opt", "root", "srv", "usr", "var"}

// ownPaths reports whether inputs, outputs and folders have paths of their own,
// instead of /in, /work and /work/out.
func (sub Submission) ownPaths() bool {
	return sub.Via != "" || len(sub.Places)+len(sub.Wants)+len(sub.Volumes) > 0
}

var viaForm = regexp.MustCompile(`^(hub|client|token|inside):[A-Za-z0-9_-]{1,80}$`)

// checkVia checks what comes with paths of its own, and by which door.
func checkVia(s *Submission) error {
	switch {
	case s.Via != "" && !viaForm.MatchString(s.Via):
		return invalid("The door %q is not one of this server.", clip(s.Via))
	case utf8.RuneCountInString(s.OnBehalf) > maxOnBehalf:
		return invalid("The name of who asks is longer than %d characters. Shorten it.", maxOnBehalf)
	case unreadable(s.OnBehalf, false):
		return invalid("The name of who asks holds control or invisible characters. Remove them.")
	case s.ownPaths() && len(s.SQL)+len(s.Inputs)+len(s.Outputs) > 0:
		return invalid("A job whose files have paths of their own takes no SQL statements, plain inputs or plain outputs. Submit two jobs.")
	}
	return nil
}

// checkOwn checks the paths of a task that has paths of its own.
func (t *Task) checkOwn(n int) error {
	if t.Workdir != "" {
		if err := sandbox.CheckPath(t.Workdir); err != nil {
			return invalid("The working folder %q of task %d cannot be used: %v. Write an absolute path such as /work.", clip(t.Workdir), n, err)
		}
	}
	return t.checkStreams(n, false)
}

// checkStreams checks the files of the standard streams.
func (t *Task) checkStreams(n int, inWork bool) error {
	for _, f := range []string{t.Stdin, t.Stdout, t.Stderr} {
		if f == "" {
			continue
		}
		if err := checkFile(fmt.Sprintf("a standard stream of task %d", n), f); err != nil {
			return err
		}
		if inWork && !strings.HasPrefix(f, workFolder+"/") {
			return invalid("The standard stream %q of task %d does not lie in %s.", clip(f), n, workFolder)
		}
	}
	if t.Stdin != "" && (t.Stdin == t.Stdout || t.Stdin == t.Stderr) {
		return invalid("Task %d would read and write %q at once. Use two files.", n, clip(t.Stdin))
	}
	return nil
}

// checkPath refuses a path that cannot be a file or folder which a task reads or
// writes; what names it for people.
func checkPath(what, p string) error {
	if err := sandbox.CheckPath(p); err != nil {
		return invalid("The path %q of %s cannot be used: %v. Write an absolute path such as /work/data.csv.", clip(p), what, err)
	}
	first, _, _ := strings.Cut(p[1:], "/")
	if slices.Contains(systemFolders, first) {
		return invalid("The path %q of %s lies in /%s, which belongs to the image and the sandbox. Use a folder such as /work or /data.", clip(p), what, first)
	}
	if slices.Contains(strings.Split(p, "/"), sandbox.OwnDir) {
		return invalid("The path %q of %s lies in a folder %s, which belongs to the sandbox. Use another name.", clip(p), what, sandbox.OwnDir)
	}
	return nil
}

// checkFile is checkPath for a file that lies in a folder which tasks share.
func checkFile(what, p string) error {
	if err := checkPath(what, p); err != nil {
		return err
	}
	if path.Dir(p) == "/" {
		return invalid("The path %q of %s lies in no folder. Put it into one, as in /work%s.", clip(p), what, clip(p))
	}
	return nil
}

func within(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }

// smallest returns the folders that are in no other one of the list, sorted.
func smallest(folders []string) []string {
	folders = slices.Clone(folders)
	sort.Strings(folders)
	var list []string
	for _, f := range folders {
		if !slices.ContainsFunc(list, func(v string) bool { return within(f, v) }) {
			list = append(list, f)
		}
	}
	return list
}

// shareFolders derives the folders that all tasks share from every path that
// they write to or that a copy goes to, and decides which places are copied.
func shareFolders(s *Submission) error {
	if !s.ownPaths() {
		return nil
	}
	if err := checkReadOnly(s); err != nil {
		return err
	}
	folders := slices.Clone(s.Volumes)
	for _, p := range s.Places {
		if p.Dataset == "" {
			folders = append(folders, p.folder())
		}
	}
	for _, w := range s.Wants {
		folders = append(folders, w.folder())
	}
	for _, t := range s.Tasks {
		folders = append(folders, t.folders(s.Places)...)
	}
	folders = append(folders, s.copied(folders)...)
	if len(folders) == 0 {
		folders = []string{workFolder}
	}
	sort.Strings(folders)
	s.Volumes = slices.Compact(folders)
	return checkFolders(smallest(folders))
}

// checkReadOnly refuses to write over, or to hand out, what a dataset is shown as.
func checkReadOnly(s *Submission) error {
	shown := map[string]bool{}
	for _, p := range s.Places {
		shown[p.Path] = p.Dataset != ""
	}
	for n, t := range s.Tasks {
		if shown[t.Stdout] || shown[t.Stderr] {
			return invalid("Task %d would write its output over an input of a dataset. Use another path.", n+1)
		}
	}
	for _, w := range s.Wants {
		if w.info().single() && shown[w.Path] {
			return invalid("The output %q is an input of a dataset. Name a file that a command writes.", clip(w.Path))
		}
	}
	return nil
}

func checkFolders(folders []string) error {
	if len(folders) > maxVolumes {
		return invalid("The paths lie in %d folders, and the tasks of a job share at most %d. Put inputs and outputs below fewer folders.", len(folders), maxVolumes)
	}
	for _, f := range folders {
		switch {
		case slices.Contains(wholeFolders, f):
			return invalid("The folder %s holds what the image brings along, and sharing it would hide that. Use a folder in it, or one such as /work.", f)
		case strings.ContainsAny(f, ":,"):
			return invalid("The folder %q holds a colon or a comma. Folders that tasks share must not; use another name.", clip(f))
		}
	}
	return nil
}

// copied returns the folders of those dataset places that cannot be shown read-only
// because a shared folder or another one lies in them: they are copied, and marked so.
func (sub *Submission) copied(folders []string) []string {
	sub.Places = slices.Clone(sub.Places)
	var more []string
	for again := true; again; {
		again = false
		for i := range sub.Places {
			p := &sub.Places[i]
			if p.Dataset != "" && !p.copy && sub.mustCopy(i, append(more, folders...)) {
				p.copy, again = true, true
				more = append(more, p.folder())
			}
		}
	}
	return more
}

func (sub *Submission) mustCopy(i int, folders []string) bool {
	at := sub.Places[i].Path
	if at == "/tmp" || slices.ContainsFunc(folders, func(f string) bool { return within(f, at) }) {
		return true
	}
	for n, other := range sub.Places {
		if n != i && other.Dataset != "" && !other.copy && within(other.Path, at) {
			return true
		}
	}
	return false
}

// folder is what has to be shared so that the place can be written to.
func (p Place) folder() string {
	if p.Directory {
		return p.Path
	}
	return path.Dir(p.Path)
}

// folders are what a task's own paths need to be shared.
func (t Task) folders(places []Place) []string {
	var list []string
	for _, f := range []string{t.Stdin, t.Stdout, t.Stderr} {
		if f != "" && !(f == t.Stdin && fromDataset(places, f)) {
			list = append(list, path.Dir(f))
		}
	}
	if first, _, _ := strings.Cut(strings.TrimPrefix(t.Workdir, "/"), "/"); t.Workdir != "" && !slices.Contains(imageFolders, first) && !slices.Contains(systemFolders, first) && !fromDataset(places, t.Workdir) {
		list = append(list, t.Workdir)
	}
	return list
}

func fromDataset(places []Place, p string) bool {
	return slices.ContainsFunc(places, func(d Place) bool { return d.Dataset != "" && within(p, d.Path) })
}

// checkVolumes checks the folders that a submission names itself.
func checkVolumes(s *Submission) error {
	if len(s.Volumes) > maxPlaces {
		return invalid("There are %d shared folders, and a job names at most %d.", len(s.Volumes), maxPlaces)
	}
	for _, v := range s.Volumes {
		if err := checkPath("a shared folder", v); err != nil {
			return err
		}
	}
	return nil
}

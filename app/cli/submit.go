package cli

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tresor/app/fault"
)

// submission is what the flags of `job submit` say.
type submission struct {
	project, name, purpose, image, workdir, key string
	sql, input, output, env, dataset            []string
	argv                                        []string
	memory                                      string
	cores                                       float64
	wall                                        time.Duration
	wait                                        bool
}

func jobSubmit(e *env) *cobra.Command {
	var s submission
	c := &cobra.Command{Use: "submit [-- COMMAND ARG…]", Short: "Submit an analysis: SQL statements, or a command in an approved image",
		Long: `With --sql each statement fills one output file. With --image and a command behind --
the command runs in that image: datasets are below /data/<slug>, the files of --input
in /in, the working folder is /work, and what is declared by --output (in
/work/out) is collected.`,
		Example: `  tresor job submit --as rosa --project aurora --name visits --sql visits.csv=visits.sql --wait
  tresor job submit --as rosa --project aurora --name model --image sha256:4f0c… \
      --input model.R --output '*.csv' --memory 2GiB --wall 30m -- Rscript /in/model.R`,
		RunE: func(c *cobra.Command, args []string) error {
			s.argv = args
			body, err := s.body()
			if err != nil {
				return err
			}
			return submitJob(c.Context(), e, &s, body)
		}}
	s.flags(e, c)
	return c
}

func (s *submission) flags(e *env, c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&s.project, "project", "", "project")
	f.StringVar(&s.name, "name", "", "name for people")
	f.StringVar(&s.purpose, "purpose", "", "what the analysis is for")
	f.StringArrayVar(&s.sql, "sql", nil, "OUTPUT.csv=FILE.sql: one statement and the file it fills (repeatable)")
	f.StringVar(&s.image, "image", "", "name or digest of an approved image, for a command behind --")
	f.StringArrayVar(&s.input, "input", nil, "[NAME=]FILE: a text file to put into /in (repeatable)")
	f.StringArrayVar(&s.output, "output", nil, "file, folder or pattern in /work/out to collect (repeatable)")
	f.StringArrayVar(&s.env, "env", nil, "NAME=VALUE for the command; never a secret (repeatable)")
	f.StringVar(&s.workdir, "workdir", "", "folder to start in: inside /work, or /project and folders in it, where the project's files are")
	f.StringSliceVar(&s.dataset, "dataset", nil, "datasets to mount (default: all that the project is granted)")
	f.StringVar(&s.memory, "memory", "", "limit of memory, as 2GiB")
	f.Float64Var(&s.cores, "cores", 0, "limit of processors")
	f.DurationVar(&s.wall, "wall", 0, "limit of time per task, as 30m")
	f.StringVar(&s.key, "key", "", "idempotency key: submitting again with the same key finds the same job")
	f.BoolVar(&s.wait, "wait", false, "wait until the job is held or has ended otherwise")
	required(c, "project", "name")
	c.MarkFlagsOneRequired("sql", "image")
	c.MarkFlagsMutuallyExclusive("sql", "image")
	flagCompletes(e, c, "project", someProjects)
	flagCompletes(e, c, "image", someImages)
	flagCompletes(e, c, "dataset", someDatasets)
}

// body is the request; files are read here and nowhere else.
func (s *submission) body() (map[string]any, error) {
	body := map[string]any{"name": s.name, "purpose": s.purpose}
	var err error
	if len(s.sql) > 0 {
		if len(s.argv) > 0 {
			return nil, fault.WithNext(fault.New("cli.job", fault.Invalid, "A command belongs to --image, not to --sql."), "Leave out %q, or name an image.", s.argv[0])
		}
		body["sql"], err = readQueries(s.sql)
	} else {
		if len(s.argv) == 0 {
			return nil, fault.WithNext(fault.New("cli.job", fault.Invalid, "The command to run in the image is missing."), "Put it behind --, as in: -- Rscript /in/model.R")
		}
		body["tasks"] = []map[string]any{{"image": s.image, "argv": s.argv, "env": s.env, "workdir": s.workdir}}
		body["outputs"] = s.output
	}
	if err == nil && len(s.input) > 0 {
		body["inputs"], err = readInputs(s.input)
	}
	if err != nil {
		return nil, err
	}
	if len(s.dataset) > 0 {
		body["datasets"] = s.dataset
	}
	if s.key != "" {
		body["idempotency_key"] = s.key
	}
	limits, err := s.limits()
	if len(limits) > 0 {
		body["limits"] = limits
	}
	return body, err
}

func (s *submission) limits() (map[string]any, error) {
	l := map[string]any{}
	if s.memory != "" {
		n, err := parseSize(s.memory)
		if err != nil {
			return nil, err
		}
		l["memory"] = n
	}
	if s.cores > 0 {
		l["cores"] = s.cores
	}
	if s.wall > 0 {
		l["wall_seconds"] = int64((s.wall + time.Second - 1) / time.Second)
	}
	return l, nil
}

// readQueries reads OUTPUT=FILE pairs; without OUTPUT the file's name is taken.
func readQueries(pairs []string) ([]map[string]string, error) {
	var out []map[string]string
	for _, p := range pairs {
		name, file, ok := strings.Cut(p, "=")
		if !ok {
			file = p
			name = strings.TrimSuffix(filepath.Base(p), filepath.Ext(p)) + ".csv"
		}
		text, err := readFile(file)
		if err != nil {
			return nil, err
		}
		out = append(out, map[string]string{"output": name, "sql": text})
	}
	return out, nil
}

func readInputs(pairs []string) ([]map[string]string, error) {
	var out []map[string]string
	for _, p := range pairs {
		name, file, ok := strings.Cut(p, "=")
		if !ok {
			name, file = filepath.Base(p), p
		}
		text, err := readFile(file)
		if err != nil {
			return nil, err
		}
		out = append(out, map[string]string{"name": name, "content": text})
	}
	return out, nil
}

func readFile(name string) (string, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return "", unreadable(name, err)
	}
	return string(b), nil
}

// unreadable says which file of the caller's cannot be read, and why.
func unreadable(name string, err error) error {
	return fault.WithNext(fault.Kinded("cli.file", fault.Invalid, err, "Cannot read %s: %s.", name, reason(err)),
		"Check the path and its permissions; %q is read on this machine, not on the server.", name)
}

// reason is the system's own word, without the path that the sentence has already.
func reason(err error) string {
	for {
		u, ok := err.(interface{ Unwrap() error })
		if !ok || u.Unwrap() == nil {
			return err.Error()
		}
		err = u.Unwrap()
	}
}

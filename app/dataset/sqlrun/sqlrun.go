// Package sqlrun is the SQL runner of the built-in image: it runs one read-only
// SQL statement for each output file over the presentations that are mounted
// below /data, and writes CSV.
//
// It runs inside the sandbox as `tresor sql`, and is small because it is started
// for every job. It never writes to a dataset (the files are opened read-only
// and immutable, and a statement that writes is refused before anything runs).
// An output appears under its name only when it is complete. The server uses the
// package for the check at submission, Validate, and for the words that both
// sides must agree on: Argv, Script, ScriptPath, OutDir.
package sqlrun

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
)

// Where things are inside the container.
const (
	ScriptPath = "/in/queries.json"
	OutDir     = "/work/out"
	DataDir    = "/data"
	Program    = "/tresor" // in the built-in image
)

// The exit codes of the runner.
const (
	ExitOK     = 0
	ExitQuery  = 1 // a statement is wrong or failed; standard error says which and why
	ExitScript = 2 // the script cannot be read
	ExitData   = 3 // no dataset is mounted, or one cannot be opened
	ExitOutput = 4 // an output cannot be written
)

// Query is one statement and the file that its rows go to.
type Query struct {
	Output string `json:"output"` // file name, see Validate
	SQL    string `json:"sql"`
}

// script is the file at ScriptPath.
type script struct {
	Queries []Query `json:"queries"`
	MaxRows int64   `json:"max_rows,omitempty"` // of one output; 0: no limit of its own
}

// Argv is the command of a task that runs a script.
func Argv() []string { return []string{Program, "sql", "--script", ScriptPath, "--out", OutDir} }

// Script is the content of the file at ScriptPath.
func Script(queries []Query) ([]byte, error) {
	return json.Marshal(script{Queries: queries})
}

// failure ends the run with a code and a text for the researcher.
type failure struct {
	code int
	text string
}

func (f *failure) Error() string { return f.text }

func failed(code int, format string, args ...any) error {
	return &failure{code, fmt.Sprintf(format, args...)}
}

// Main is `tresor sql`; args are those after "sql". It returns the exit code.
func Main(args []string) int { return run(context.Background(), args, os.Stderr) }

func run(ctx context.Context, args []string, stderr io.Writer) int {
	set := flag.NewFlagSet("sql", flag.ContinueOnError)
	set.SetOutput(stderr)
	path := set.String("script", ScriptPath, "JSON file with the queries")
	out := set.String("out", OutDir, "folder for the outputs")
	data := set.String("data", DataDir, "folder with the datasets")
	if err := set.Parse(args); err != nil {
		return ExitScript
	}
	err := execute(ctx, *path, *out, *data, stderr)
	if err == nil {
		return ExitOK
	}
	fmt.Fprintln(stderr, err)
	if f, ok := err.(*failure); ok {
		return f.code
	}
	return ExitQuery
}

func execute(ctx context.Context, path, out, data string, log io.Writer) error {
	s, err := readScript(path)
	if err != nil {
		return err
	}
	session, err := open(ctx, data, log)
	if err != nil {
		return err
	}
	defer session.close()
	if err := session.prepareAll(s.Queries); err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return failed(ExitOutput, "The folder for the outputs cannot be made: %v.", err)
	}
	for _, q := range s.Queries {
		if err := session.write(ctx, q, out, s.MaxRows); err != nil {
			return err
		}
	}
	return nil
}

func readScript(path string) (script, error) {
	var s script
	b, err := os.ReadFile(path)
	if err != nil {
		return s, failed(ExitScript, "The script cannot be read: %v.", err)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, failed(ExitScript, `The script is not JSON of the form {"queries":[{"output":"…csv","sql":"SELECT …"}]}: %v.`, err)
	}
	if err := Validate(s.Queries); err != nil {
		return s, failed(ExitScript, "%s", message(err))
	}
	return s, nil
}

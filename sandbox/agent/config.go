package agent

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"tresor/sandbox"
)

// Where the host shows the agent its files, read-only, in every sandbox.
const (
	Dir        = "/run/tresor"
	BinaryName = "agent"
	ConfigName = "config.json"
	SocketName = "s.sock"
	OwnDir     = sandbox.OwnDir // in the first scratch volume: the log; never an output
)

// Config is what the host tells one agent.
type Config struct {
	Ref     string   `json:"ref"`
	Token   string   `json:"token"` // ties the connection to this container
	Collect bool     `json:"collect,omitempty"`
	Log     string   `json:"log,omitempty"` // collect: the ref whose log to show
	Argv    []string `json:"argv,omitempty"`
	Env     []string `json:"env,omitempty"`
	Workdir string   `json:"workdir,omitempty"`
	Scratch []string `json:"scratch,omitempty"` // targets, in order
	Binds   []string `json:"binds,omitempty"`   // targets
	Outputs []string `json:"outputs,omitempty"`

	Stdin    string         `json:"stdin,omitempty"`
	Stdout   string         `json:"stdout,omitempty"`
	Stderr   string         `json:"stderr,omitempty"`
	Folders  []string       `json:"folders,omitempty"`
	Copies   []sandbox.Copy `json:"copies,omitempty"`
	FileSize int64          `json:"file_size,omitempty"` // bytes of one file
	Inside   bool           `json:"inside,omitempty"`
	Project  string         `json:"project,omitempty"` // target of the scratch volume that is kept in step with the project
	Fail     string         `json:"fail,omitempty"`    // do not run: an input could not be placed, and this is why
	Points   []Point        `json:"points,omitempty"`  // make the places of mounts inside scratch volumes and exit; nothing else counts

	LogSize int64         `json:"log_size"` // bytes
	Files   int           `json:"files"`    // most outputs
	Bytes   int64         `json:"bytes"`    // of all outputs
	Wall    time.Duration `json:"wall"`     // of the command, and of what is laid out before it
}

// ConfigOf translates a Spec; token, image and the runner's own defaults come later.
func ConfigOf(s sandbox.Spec) Config {
	c := Config{
		Ref: string(s.Ref), Argv: s.Argv, Env: s.Env, Workdir: s.Workdir, Outputs: s.Outputs,
		Stdin: s.Stdin, Stdout: s.Stdout, Stderr: s.Stderr, Folders: s.Folders, Copies: s.Copies, FileSize: s.Limits.FileSize, Inside: s.Inside, Project: s.Project,
		LogSize: s.Limits.LogSize, Files: s.Limits.OutputFiles, Bytes: s.Limits.OutputBytes, Wall: s.Limits.Wall,
	}
	for _, v := range s.Scratch {
		c.Scratch = append(c.Scratch, v.Target)
	}
	for _, b := range s.Binds {
		c.Binds = append(c.Binds, b.Target)
	}
	return c
}

// Placer is what lays out the files of this configuration, in this process's own view of them.
func (c Config) Placer() Placer {
	return Placer{Scratch: c.Scratch, Binds: c.Binds, FileSize: c.FileSize}
}

// Point is where a read-only input is going to be mounted inside a scratch volume.
type Point struct {
	Path      string `json:"path"`
	Directory bool   `json:"directory"`
}

func readConfig(path string) (Config, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Config{}, err
	}
	var c Config
	if err := json.Unmarshal(b, &c); err != nil {
		return Config{}, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

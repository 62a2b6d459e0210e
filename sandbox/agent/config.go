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
	Ref     string        `json:"ref"`
	Token   string        `json:"token"` // ties the connection to this container
	Collect bool          `json:"collect,omitempty"`
	Log     string        `json:"log,omitempty"` // collect: the ref whose log to show
	Argv    []string      `json:"argv,omitempty"`
	Env     []string      `json:"env,omitempty"`
	Workdir string        `json:"workdir,omitempty"`
	Scratch []string      `json:"scratch,omitempty"` // targets, in order
	Outputs []string      `json:"outputs,omitempty"`
	LogSize int64         `json:"log_size"`
	Files   int           `json:"files"`
	Bytes   int64         `json:"bytes"`
	Wall    time.Duration `json:"wall"`
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

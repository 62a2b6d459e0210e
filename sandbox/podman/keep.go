package podman

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"tresor/sandbox"
	"tresor/sandbox/agent"
)

// keep is the folder of one container: kept.json for us, run/ for the container to see.
type keep struct{ dir string }

// kept is what a new process must know to take a container over.
type kept struct {
	Spec      sandbox.Spec `json:"spec"`
	Token     string       `json:"token"`
	Unlimited bool         `json:"unlimited"`
	Unplaced  string       `json:"unplaced,omitempty"` // an input inside a scratch volume could not be placed, and why
}

func (r *Runner) keep(ref sandbox.Ref) keep { return keep{filepath.Join(r.o.RunDir, string(ref))} }

func (k keep) run() string  { return filepath.Join(k.dir, "run") }
func (k keep) file() string { return filepath.Join(k.dir, "kept.json") }
func (k keep) word() string { return filepath.Join(k.dir, "word.json") }

func (k keep) read() (out kept, err error) {
	b, err := os.ReadFile(k.file())
	if errors.Is(err, fs.ErrNotExist) {
		return out, fmt.Errorf("%w: %s", sandbox.ErrAbsent, filepath.Base(k.dir))
	}
	if err != nil {
		return out, sandbox.Host("read container state", err)
	}
	if err := json.Unmarshal(b, &out); err != nil {
		return out, sandbox.Host("read container state", err)
	}
	return out, nil
}

// write lays out the folder of a container. What is there already is kept, token included.
func (k keep) write(want kept, h *host, binary string, c agent.Config) (kept, error) {
	if old, err := k.read(); err == nil {
		if want.Unplaced != "" {
			old.Unplaced = want.Unplaced
		}
		want = old
	} else if !absent(err) {
		return want, err
	}
	if want.Token == "" {
		want.Token = rand.Text()
	}
	c.Token, c.Fail = want.Token, want.Unplaced
	if err := k.show(h, binary, c); err != nil {
		return want, sandbox.Host("write container state", err)
	}
	if err := writeJSON(k.file(), want, 0o600); err != nil {
		return want, sandbox.Host("write container state", err)
	}
	return want, nil
}

// show makes run/, which the container sees: the agent and its configuration. Where we
// may give files to the group that is 1000 inside, nobody else can read them.
func (k keep) show(h *host, binary string, c agent.Config) error {
	if err := os.MkdirAll(k.run(), 0o711); err != nil {
		return err
	}
	if err := os.Chmod(k.dir, 0o711); err != nil { // search only: the engine must pass
		return err
	}
	if err := os.Link(binary, filepath.Join(k.run(), agent.BinaryName)); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	config := filepath.Join(k.run(), agent.ConfigName)
	if err := writeJSON(config, c, 0o644); err != nil {
		return err
	}
	if os.Getuid() != 0 {
		return os.Chmod(k.run(), 0o755)
	}
	for path, mode := range map[string]os.FileMode{k.run(): 0o750, config: 0o640} {
		if err := errors.Join(os.Chown(path, 0, int(h.insideGID)), os.Chmod(path, mode)); err != nil {
			return err
		}
	}
	return nil
}

// remember keeps the agent's last word, which the engine cannot know: why the command ended, and whether the log was cut.
func (k keep) remember(s agent.Stat) {
	_ = writeJSON(k.word(), s, 0o600) // lost, it costs two flags of a Status and nothing else
}

func (k keep) lastWord() (s agent.Stat, ok bool) {
	b, err := os.ReadFile(k.word())
	return s, err == nil && json.Unmarshal(b, &s) == nil
}

func (k keep) erase() error { return sandbox.Host("erase container state", os.RemoveAll(k.dir)) }

func writeJSON(path string, v any, mode os.FileMode) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return replaceFile(path, b, mode)
}

// replaceFile writes a whole file or nothing. It needs to survive a crash of this
// process, not of the machine: after that no container runs either.
func replaceFile(path string, b []byte, mode os.FileMode) error {
	tmp := path + ".new"
	if err := os.WriteFile(tmp, b, mode); err != nil {
		return err
	}
	if err := os.Chmod(tmp, mode); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

func (k keep) exists() bool {
	_, err := os.Stat(k.dir)
	return err == nil
}

package host

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"

	"tresor/plugins/protocol"
)

// Command is a program and its arguments.
type Command struct {
	Path string
	Args []string
}

// Builtin is the command of a plugin inside this program.
func Builtin(exe, name string) Command { return Command{Path: exe, Args: []string{"plugin", name}} }

// ErrUntrusted says that a plugin file is not the one an operator trusted, or
// lies where others could change it.
var ErrUntrusted = errors.New("the plugin file is not trusted")

// Trusted copies the external plugin at path into dir, hashes the copy and
// returns the command that runs the copy: the file that was hashed is the file
// that runs. The source and its folder must belong to this account or root and
// must not be writable by others.
func Trusted(path, sha256Hex, dir string) (Command, error) {
	for _, p := range []string{path, filepath.Dir(path)} {
		if err := private(p); err != nil {
			return Command{}, err
		}
	}
	src, err := os.Open(path)
	if err != nil {
		return Command{}, err
	}
	defer src.Close()
	to := filepath.Join(dir, "plugin-"+sha256Hex[:min(16, len(sha256Hex))])
	_ = os.Remove(to) // a copy from an earlier start
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o700)
	if err != nil {
		return Command{}, err
	}
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(dst, h), src)
	if cerr := dst.Close(); err == nil {
		err = cerr
	}
	if err == nil && subtle.ConstantTimeCompare([]byte(hex.EncodeToString(h.Sum(nil))), []byte(sha256Hex)) != 1 {
		err = fmt.Errorf("%w: its SHA-256 is not the one that was trusted", ErrUntrusted)
	}
	if err != nil {
		_ = os.Remove(to)
		return Command{}, err
	}
	return Command{Path: to}, nil
}

func private(path string) error {
	st, err := os.Lstat(path)
	if err != nil {
		return err
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok || st.Mode()&os.ModeSymlink != 0 {
		return fmt.Errorf("%w: %s is a link or cannot be judged", ErrUntrusted, path)
	}
	if st.Mode().Perm()&0o022 != 0 || (sys.Uid != 0 && int(sys.Uid) != os.Geteuid()) {
		return fmt.Errorf("%w: others may change %s", ErrUntrusted, path)
	}
	return nil
}

// process is one running plugin process.
type process struct {
	client *plugin.Client
	remote *protocol.Remote
}

// launch starts the process and makes the connection.
func launch(ctx context.Context, o Options) (*process, error) {
	cmd := exec.Command(o.Command.Path, o.Command.Args...)
	cmd.Dir = o.Dir
	cmd.Env = []string{"PATH=/nonexistent", "TMPDIR=" + o.Dir, "GOMAXPROCS=1"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig:  protocol.Handshake,
		Plugins:          protocol.Plugins(),
		Cmd:              cmd,
		SkipHostEnv:      true,
		AutoMTLS:         true,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		GRPCDialOptions:  protocol.DialOptions(),
		StartTimeout:     10 * time.Second,
		Stderr:           io.Discard,
		SyncStderr:       &lineLog{log: o.Log, name: o.Name},
		SyncStdout:       io.Discard,
		Logger:           hclog.New(&hclog.LoggerOptions{Output: io.Discard, Level: hclog.Off}),
		UnixSocketConfig: &plugin.UnixSocketConfig{TempDir: o.Dir},
	})
	// Pdeathsig follows the thread that starts the child. go-plugin starts it on
	// this goroutine, so the thread is kept for the life of the process.
	rpc, err := startOnOwnThread(client)
	if err != nil {
		client.Kill()
		return nil, fmt.Errorf("the plugin did not start: %w", err)
	}
	raw, err := rpc.Dispense(protocol.Name)
	if err != nil {
		client.Kill()
		return nil, fmt.Errorf("the plugin does not speak this contract: %w", err)
	}
	if ctx.Err() != nil {
		client.Kill()
		return nil, ctx.Err()
	}
	return &process{client: client, remote: raw.(*protocol.Remote)}, nil
}

// wait returns when the process has ended or ctx has.
func (p *process) wait(ctx context.Context) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			if p.client.Exited() {
				return errors.New("the process ended")
			}
		}
	}
}

func (p *process) kill() { p.client.Kill() }

// maxLine and maxLines bound what a plugin may write to our log.
const (
	maxLine  = 500
	maxLines = 1000
)

// lineLog passes a plugin's standard error on, line by line, and stops at a cap.
type lineLog struct {
	log   *slog.Logger
	name  string
	lines int
}

func (l *lineLog) Write(b []byte) (int, error) {
	for line := range bytes.SplitSeq(b, []byte("\n")) {
		if len(line) == 0 || l.lines > maxLines {
			continue
		}
		if l.lines++; l.lines > maxLines {
			l.log.Warn("plugin writes too much; the rest is dropped", "plugin", l.name)
			continue
		}
		l.log.Info("plugin", "plugin", l.name, "line", string(line[:min(len(line), maxLine)]))
	}
	return len(b), nil
}

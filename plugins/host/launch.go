package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	pluginrunner "github.com/hashicorp/go-plugin/runner"

	"tresor/plugins/host/confine"
	"tresor/plugins/protocol"
)

// Command is a program and its arguments. Builtin and Trusted make it.
type Command struct {
	Path string
	Args []string

	source string // of an external plugin: the operator's file
	sum    string // and its trusted SHA-256
}

// Builtin is the command of a plugin inside this program.
func Builtin(exe, name string) Command { return Command{Path: exe, Args: []string{"plugin", name}} }

// ShimMain is what the program runs as when its first argument is confine.Word,
// "plugin-shim": it confines itself and becomes a plugin. args are those after the
// word. It returns an exit code only when that failed.
func ShimMain(args []string) int { return confine.Main(args) }

// process is one running plugin process.
type process struct {
	client *plugin.Client
	runner *runner
	remote *protocol.Remote
}

// launch starts the process and makes the connection.
func launch(ctx context.Context, o Options) (*process, error) {
	clean(o.Dir)
	p := &process{}
	log := &lineLog{log: o.Log, name: o.Name}
	p.client = plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: protocol.Handshake,
		Plugins:         protocol.Plugins(),
		RunnerFunc: func(_ hclog.Logger, cmd *exec.Cmd, dir string) (_ pluginrunner.Runner, err error) {
			p.runner, err = newRunner(o, dir, cmd.Env)
			return p.runner, err
		},
		SkipHostEnv:      true,
		AutoMTLS:         true,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		GRPCDialOptions:  protocol.DialOptions(),
		StartTimeout:     o.Startup,
		Stderr:           log,
		SyncStderr:       log,
		SyncStdout:       io.Discard,
		Logger:           hclog.New(&hclog.LoggerOptions{Output: io.Discard, Level: hclog.Off}),
		UnixSocketConfig: &plugin.UnixSocketConfig{TempDir: o.Dir},
	})
	rpc, err := p.client.Client()
	if err != nil {
		return nil, fmt.Errorf("the plugin did not start: %w", p.reason(err))
	}
	raw, err := rpc.Dispense(protocol.Name)
	if err != nil {
		return nil, fmt.Errorf("the plugin does not speak this contract: %w", p.reason(err))
	}
	if ctx.Err() != nil {
		p.kill()
		return nil, ctx.Err()
	}
	p.remote = raw.(*protocol.Remote)
	return p, nil
}

// shorter bounds an error's text: parts of it are what the plugin wrote.
func shorter(err error) error {
	if s := err.Error(); len(s) > maxLine {
		return errors.New(strings.ToValidUTF8(s[:maxLine], "") + " (cut)")
	}
	return err
}

// clean removes the folders of earlier starts: a server that is killed leaves one behind.
func clean(dir string) {
	old, _ := filepath.Glob(filepath.Join(dir, "plugin-dir*"))
	for _, d := range old {
		_ = os.RemoveAll(d) // one that stays costs its place on the disk and is tried again at the next start
	}
}

// kill ends the process at once: a plugin keeps nothing that it would have to put
// in order, and one that is asked to end may take its time.
func (p *process) kill() {
	if p.remote != nil {
		p.remote.Close("the plugin's process was ended")
	}
	if p.runner != nil {
		_ = p.runner.Kill(context.Background()) // it has ended already
	}
	p.client.Kill()
}

// maxLine and maxLines bound what a plugin may write to our log.
const (
	maxLine  = 500
	maxLines = 1000
)

// lineLog passes a plugin's standard error on, line by line, and stops at a cap.
type lineLog struct {
	log   *slog.Logger
	name  string
	mu    sync.Mutex
	lines int
}

func (l *lineLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range bytes.SplitSeq(b, []byte("\n")) {
		if len(line) == 0 || l.lines > maxLines {
			continue
		}
		if l.lines++; l.lines > maxLines {
			l.log.Warn("plugin writes too much; the rest is dropped", "plugin", l.name)
			continue
		}
		l.log.Info("plugin", "plugin", l.name, "line", strings.ToValidUTF8(string(line[:min(len(line), maxLine)]), "?"))
	}
	return len(b), nil
}

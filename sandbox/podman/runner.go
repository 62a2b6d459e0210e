package podman

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"tresor/sandbox"
	"tresor/sandbox/agent"
)

// Options is what a Runner needs.
type Options struct {
	Socket         string           // of `podman system service`; Service.Socket answers it
	AgentBinary    string           // our own static executable, or any that runs agent.Main for "agent"
	RunDir         string           // folder of this appliance for sockets and container state; made if absent
	Account        string           // who runs Podman, for messages
	AllowUnlimited bool             // run where memory, processor or process limits cannot bind
	Now            func() time.Time // required
	Log            *slog.Logger     // nil discards

	// Inside serves one connection that a program in a container with Spec.Inside made to
	// http://tes.local, until it returns or ctx ends. labels are the Spec's. The bytes are
	// hostile; the number of connections at once is bounded. Nil turns all away.
	Inside func(ctx context.Context, labels map[string]string, conn net.Conn)

	// Hung is told of each call that Podman did not answer in time: Service.Hung. Nil: nobody.
	Hung func(at time.Time)
}

// Runner implements sandbox.Runner and sandbox.Images. It is safe for concurrent use.
type Runner struct {
	o        Options
	api      *client
	instance string // tells our containers from those of another appliance of the same account

	starting sync.Mutex // look and start are one step
	creating sync.Mutex // Podman is not safe against two creates at once
	helpers  turns      // collectors and makers

	mu      sync.Mutex
	links   map[sandbox.Ref]*agent.Link
	host    *host // what the engine can do, looked at no longer than hostAge ago
	volumes map[string]bool
	images  map[string]*imageInfo
}

var (
	_ sandbox.Runner = (*Runner)(nil)
	_ sandbox.Images = (*Runner)(nil)
)

// New prepares RunDir and answers a Runner; it does not talk to Podman yet.
func New(o Options) (*Runner, error) {
	if o.Now == nil {
		return nil, errors.New("podman.New: no clock")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Hung == nil {
		o.Hung = func(time.Time) {}
	}
	abs, err := filepath.Abs(o.RunDir)
	if err != nil {
		return nil, err
	}
	o.RunDir = abs
	sum := sha256.Sum256([]byte(abs))
	r := &Runner{o: o, api: &client{socket: o.Socket, hung: func() { o.Hung(o.Now()) }}, instance: hex.EncodeToString(sum[:8]),
		links: map[sandbox.Ref]*agent.Link{}, volumes: map[string]bool{}, images: map[string]*imageInfo{}}
	return r, r.layOut()
}

// layOut makes RunDir: searchable but not listable, with the agent and the filter in it.
func (r *Runner) layOut() error {
	if err := os.MkdirAll(r.o.RunDir, 0o711); err != nil {
		return err
	}
	if err := os.Chmod(r.o.RunDir, 0o711); err != nil {
		return err
	}
	if err := replaceFile(r.seccompFile(), sandbox.Seccomp(), 0o644); err != nil {
		return err
	}
	if err := replaceFile(r.hostsFile(), []byte(hosts), 0o644); err != nil {
		return err
	}
	return r.copyAgent()
}

// hosts is what a container with the task service sees as /etc/hosts; others see their image's.
const hosts = "127.0.0.1 localhost work " + agent.InsideName + "\n::1 localhost\n"

func (r *Runner) hostsFile() string   { return filepath.Join(r.o.RunDir, "hosts") }
func (r *Runner) seccompFile() string { return filepath.Join(r.o.RunDir, "seccomp.json") }
func (r *Runner) agentFile() string   { return filepath.Join(r.o.RunDir, "agent") }

// copyAgent keeps our own copy of the executable, so that an upgrade of the program does
// not change what running containers see, and each container gets it as a hard link.
func (r *Runner) copyAgent() error {
	src, err := os.Open(r.o.AgentBinary)
	if err != nil {
		return fmt.Errorf("the agent's executable: %w", err)
	}
	defer src.Close()
	left, _ := filepath.Glob(filepath.Join(r.o.RunDir, "agent-*")) // of a start that was killed; RunDir is ours alone
	for _, f := range left {
		_ = os.Remove(f)
	}
	if same(src, r.agentFile()) {
		return nil
	}
	tmp, err := os.CreateTemp(r.o.RunDir, "agent-")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = io.Copy(tmp, src)
	if err == nil {
		err = tmp.Chmod(0o555)
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), r.agentFile())
}

// same compares whole contents: a few milliseconds at start, and never wrong.
func same(src *os.File, path string) bool {
	old, err := os.Open(path)
	if err != nil {
		return false
	}
	defer old.Close()
	a, b := sha256.New(), sha256.New()
	_, aerr := io.Copy(a, src)
	_, berr := io.Copy(b, old)
	_, serr := src.Seek(0, io.SeekStart)
	return aerr == nil && berr == nil && serr == nil && string(a.Sum(nil)) == string(b.Sum(nil))
}

// Close stops listening for agents. Containers run on, and a new Runner on the same RunDir finds them.
func (r *Runner) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for ref, l := range r.links {
		l.Close()
		delete(r.links, ref)
	}
	return nil
}

// link answers the host end for a container, listening if nobody does yet.
func (r *Runner) link(ctx context.Context, ref sandbox.Ref) (*agent.Link, error) {
	h, err := r.look(ctx)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := r.links[ref]; l != nil {
		return l, nil
	}
	k, err := r.keep(ref).read()
	if err != nil {
		return nil, err
	}
	l, err := agent.Listen(r.keep(ref).run(), string(ref), k.Token, h.admits, r.insideOf(k.Spec))
	if err != nil {
		return nil, sandbox.Host("listen for the agent", err)
	}
	r.links[ref] = l
	return l, nil
}

// insideOf is who serves the task service to a container; nil is nobody.
func (r *Runner) insideOf(s sandbox.Spec) func(context.Context, net.Conn) {
	if !s.Inside || r.o.Inside == nil {
		return nil
	}
	return func(ctx context.Context, conn net.Conn) { r.o.Inside(ctx, maps.Clone(s.Labels), conn) }
}

func (r *Runner) unlink(ref sandbox.Ref) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := r.links[ref]; l != nil {
		if use := l.InsideUse(); use.Connections > 0 {
			r.o.Log.Debug("the task service was used from inside", "container", string(ref), "connections", use.Connections, "in", use.In, "out", use.Out)
		}
		l.Close()
		delete(r.links, ref)
	}
}

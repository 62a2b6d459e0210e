package plug

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"tresor/app/fault"
	"tresor/plugins/host"
	"tresor/plugins/protocol"
)

// start brings a plugin up, if it is enabled and the service runs. The caller
// holds change. What goes wrong stands in the entry.
func (s *Service) start(name string) {
	s.mu.Lock()
	e, run := s.entries[name], s.run
	wanted := e != nil && run != nil && e.row.Enabled && e.proc == nil && !(e.builtin != nil && e.builtin.OnDemand)
	s.mu.Unlock()
	if !wanted {
		return
	}
	proc, err := s.launch(run, e)
	s.mu.Lock()
	defer s.mu.Unlock()
	e.proc, e.problem = proc, ""
	if err != nil {
		e.proc, e.problem = nil, reason(err)
		s.Logger.Error("plugin is not started", "plugin", name, "error", err)
		return
	}
	ctx, stop := context.WithCancel(run)
	e.stop, e.polled = stop, make(chan struct{})
	go s.attend(ctx, e, proc, e.polled)
}

// launch starts the process of a plugin.
func (s *Service) launch(ctx context.Context, e *entry) (*host.Plugin, error) {
	cmd, err := s.command(e)
	if err != nil {
		return nil, err
	}
	name := s.rowOf(e).Name
	dir, err := s.workdir(name)
	if err != nil {
		return nil, err
	}
	return host.Start(ctx, host.Options{Name: name, Command: cmd, Dir: dir, Exe: s.Exe, Log: s.Logger, Now: s.Now}), nil
}

// command is what to start. An outside file is judged, copied and hashed afresh.
func (s *Service) command(e *entry) (host.Command, error) {
	r := s.rowOf(e)
	if e.builtin != nil {
		return host.Builtin(s.Exe, r.Name), nil
	}
	if err := os.MkdirAll(s.files(), 0o700); err != nil {
		return host.Command{}, err
	}
	return host.Trusted(r.Path, r.SHA256, s.files())
}

// workdir makes the empty folder that a plugin works in.
func (s *Service) workdir(name string) (string, error) {
	dir := filepath.Join(s.Dir, "run", name)
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	return dir, os.MkdirAll(dir, 0o700)
}

// stop ends a plugin's process and its poller. The caller holds change, or is the end of Run.
func (s *Service) stop(name string) {
	s.mu.Lock()
	e := s.entries[name]
	if e == nil || e.proc == nil {
		if e != nil {
			e.problem = ""
		}
		s.mu.Unlock()
		return
	}
	proc, stop, polled := e.proc, e.stop, e.polled
	e.proc, e.stop, e.problem, e.health, e.poll, e.publish = nil, nil, "", protocol.Health{}, "", ""
	s.mu.Unlock()
	stop()
	proc.Stop()
	<-polled
}

// attend waits until the plugin is up, keeps what it says of itself, and lets it
// poll if it has that part.
func (s *Service) attend(ctx context.Context, e *entry, proc *host.Plugin, done chan struct{}) {
	defer close(done)
	if _, err := proc.Adapter(ctx); err != nil {
		return
	}
	s.changed()
	d := proc.State().Description
	if err := s.remember(ctx, e, d); err != nil && ctx.Err() == nil {
		s.Logger.Error("a plugin's description is not kept", "plugin", d.Name, "error", err)
	}
	if has(d, "poller") {
		s.keepPolling(ctx, e, proc)
	}
}

func (s *Service) changed() {
	if s.Changed != nil {
		s.Changed()
	}
}

// remember keeps a description, so that the form is there while the plugin is down.
func (s *Service) remember(ctx context.Context, e *entry, d protocol.Description) error {
	s.mu.Lock()
	d.Name = e.row.Name // under which it was trusted, whatever it says now
	same := equal(e.row.Description, d)
	e.row.Description, e.set = d, nil
	r := e.row
	s.mu.Unlock()
	if same {
		return nil
	}
	return s.DB.Update(ctx, r.describe)
}

// keepPolling runs the poller again and again, with growing pauses.
func (s *Service) keepPolling(ctx context.Context, e *entry, proc *host.Plugin) {
	pause := time.Second
	for ctx.Err() == nil {
		began := s.Now()
		err := s.pollOnce(ctx, e, proc)
		if ctx.Err() != nil {
			return
		}
		if s.Now().Sub(began) > time.Minute {
			pause = time.Second
		}
		s.mu.Lock()
		e.poll = reason(err)
		s.mu.Unlock()
		s.Logger.Warn("a plugin's poller ended; it is started again", "plugin", s.rowOf(e).Name, "after", pause, "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, 5*time.Minute)
	}
}

func (s *Service) pollOnce(ctx context.Context, e *entry, proc *host.Plugin) error {
	remote, err := proc.Adapter(ctx)
	if err != nil {
		return err
	}
	set, err := s.values(e)
	if err != nil {
		return err
	}
	s.mu.Lock()
	e.poll = ""
	s.mu.Unlock()
	return remote.Run(ctx, set, s.host(e))
}

// reason is an error in words for the page.
func reason(err error) string {
	var p *protocol.Error
	switch {
	case err == nil:
		return "It ended by itself."
	case errors.As(err, &p):
		return p.Text
	case errors.Is(err, host.ErrUntrusted):
		return "It is not started: " + err.Error() + "."
	case errors.Is(err, os.ErrNotExist):
		return "The plugin's file is gone. Put it back, or remove the plugin."
	case errors.Is(err, os.ErrPermission):
		return "The plugin's file or its folder cannot be read. Check its rights."
	}
	if m := fault.Message(err); m != fault.Message(nil) && m != "" {
		var f *fault.Error
		if errors.As(err, &f) {
			return m
		}
	}
	return "It could not be started; the server's log says why."
}

func has(d protocol.Description, part string) bool {
	for _, p := range d.Parts {
		if p == part {
			return true
		}
	}
	return false
}

package plug

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/plugins/host"
	"tresor/plugins/protocol"
)

// testWait bounds a connection test.
const testWait = time.Minute

// Test tries a plugin step by step: its file, its process, what confines it, and
// then its own connection test with its settings. The report is the same as text
// to copy; it holds no secret. A plugin that is not enabled is started for the
// test only. Errors: Denied, NotFound.
func (s *Service) Test(ctx context.Context, actor access.Actor, name string) (Report, error) {
	const op = "plug.Test"
	if err := access.May(actor, access.PluginManage, access.Thing{}); err != nil {
		return Report{}, err
	}
	s.mu.Lock()
	e := s.entries[name]
	s.mu.Unlock()
	if e == nil {
		_, err := s.found(op, name)
		return Report{}, err
	}
	began := s.Now()
	ctx, cancel := context.WithTimeout(ctx, testWait)
	defer cancel()
	steps := s.try(ctx, e)
	p, _ := s.page(name)
	return Report{Steps: steps, Report: s.report(p, steps, began)}, nil
}

func (s *Service) try(ctx context.Context, e *entry) []protocol.Step {
	var steps []protocol.Step
	if e.builtin == nil {
		step := s.tryFile(e)
		if steps = append(steps, step); !step.OK {
			return steps
		}
	}
	proc, done, err := s.borrow(ctx, e)
	if err != nil {
		return append(steps, protocol.Step{Name: "process", Detail: reason(err), Next: "The server's log says more."})
	}
	defer done()
	remote, err := proc.Adapter(ctx)
	if err != nil {
		st := proc.State()
		return append(steps, protocol.Step{Name: "process", Detail: "The plugin did not come up within " + testWait.String() + ". " + st.LastError, Next: "The server's log says more; disable and enable the plugin."})
	}
	st := proc.State()
	if err := s.remember(ctx, e, st.Description); err != nil {
		s.Logger.Error("a plugin's description is not kept", "plugin", st.Name, "error", err)
	}
	steps = append(steps, protocol.Step{Name: "process", OK: true, Detail: fmt.Sprintf("It runs since %s UTC; starts since the server came up: %d.", st.Since.UTC().Format("2 January 2006, 15:04"), st.Starts)})
	steps = append(steps, protocol.Step{Name: "contract", OK: true, Detail: fmt.Sprintf("%s %s speaks %s over version %d of the plugin contract.", st.Description.Title, st.Description.Version, st.Description.Protocol, protocol.Version)})
	steps = append(steps, confinement(st.Confined))
	return append(steps, s.tryConnection(ctx, e, remote)...)
}

// confinement says what the kernel keeps from the process.
func confinement(c host.Confined) protocol.Step {
	step := protocol.Step{Name: "confinement", OK: c.Checked && c.Seccomp && c.Memory, Detail: c.Text}
	if step.Detail == "" {
		step.Detail = "The process is not confined."
	}
	if !step.OK {
		step.Next = "Update this machine's kernel; until then trust this plugin only as far as its maker."
	}
	return step
}

func (s *Service) tryFile(e *entry) protocol.Step {
	r := s.rowOf(e)
	found, _, err := host.Fingerprint(r.Path)
	if err == nil && found != r.SHA256 {
		err = fmt.Errorf("%w: %s has changed since", host.ErrUntrusted, r.Path)
	}
	if err != nil {
		return protocol.Step{Name: "file", Detail: reason(err), Next: "Compare the file with what its maker published, then trust it again or remove the plugin."}
	}
	return protocol.Step{Name: "file", OK: true, Detail: "The file is the one that was trusted, and only this account can change it."}
}

// borrow gives the running process, or starts one for as long as the test lasts.
func (s *Service) borrow(ctx context.Context, e *entry) (*host.Plugin, func(), error) {
	if proc := s.running(e); proc != nil {
		return proc, func() {}, nil
	}
	s.change.Lock()                        // a start at the same time would use the same folder
	if proc := s.running(e); proc != nil { // started while this waited: its folder is in use
		s.change.Unlock()
		return proc, func() {}, nil
	}
	proc, err := s.launch(ctx, e)
	if err != nil {
		s.change.Unlock()
		return nil, nil, err
	}
	return proc, func() { proc.Stop(); s.change.Unlock() }, nil
}

// running is a plugin's process, nil when there is none.
func (s *Service) running(e *entry) *host.Plugin {
	s.mu.Lock()
	defer s.mu.Unlock()
	return e.proc
}

// tryConnection lets the plugin try its settings.
func (s *Service) tryConnection(ctx context.Context, e *entry, remote *protocol.Remote) []protocol.Step {
	set, err := s.values(e)
	if err != nil {
		return []protocol.Step{{Name: "settings", Detail: fault.Message(err), Next: fault.Next(err)}}
	}
	steps, err := remote.TestConnection(ctx, set, s.testHost(e))
	if err != nil {
		var own *protocol.Error
		detail := "The plugin broke while it tested its settings."
		if errors.As(err, &own) {
			detail = own.Text
		} else if ctx.Err() != nil {
			detail = "The plugin gave no answer within " + testWait.String() + "."
		}
		steps = append(steps, protocol.Step{Name: "connection", Detail: detail, Next: "Check its settings; the server's log may say more."})
	}
	for i := range steps {
		steps[i] = hide(bound(steps[i]), set, s.rowOf(e).Description)
	}
	return steps
}

// bound keeps a plugin's words short.
func bound(s protocol.Step) protocol.Step {
	cut := func(t string, n int) string {
		if len(t) > n {
			return strings.ToValidUTF8(t[:n], "") + "…"
		}
		return t
	}
	return protocol.Step{Name: cut(s.Name, 60), OK: s.OK, Detail: cut(s.Detail, 1000), Next: cut(s.Next, 500)}
}

// hide takes secrets out of what a plugin says.
func hide(step protocol.Step, set protocol.Settings, d protocol.Description) protocol.Step {
	for _, f := range d.Settings {
		if v := set[f.Key]; f.Kind == "secret" && len(v) > 3 {
			step.Detail = strings.ReplaceAll(step.Detail, v, "(secret)")
			step.Next = strings.ReplaceAll(step.Next, v, "(secret)")
		}
	}
	return step
}

// report is a test as text.
func (s *Service) report(p Plugin, steps []protocol.Step, began time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Test of the plugin %s (%s), %s\n", p.Name, p.Version, began.UTC().Format(time.RFC3339))
	fmt.Fprintf(&b, "tresor %s, plugin contract %d, protocol %s\n", s.Version, protocol.Version, p.Protocol)
	if p.SHA256 != "" {
		fmt.Fprintf(&b, "sha256 %s\n", p.SHA256)
	}
	b.WriteString(Steps(steps))
	fmt.Fprintf(&b, "took %d ms\n", s.Now().Sub(began).Milliseconds())
	return b.String()
}

// Steps writes steps as lines of text.
func Steps(steps []protocol.Step) string {
	var b strings.Builder
	for i, st := range steps {
		mark := "ok  "
		if !st.OK {
			mark = "FAIL"
		}
		fmt.Fprintf(&b, "%2d. %s %s: %s\n", i+1, mark, st.Name, st.Detail)
		if st.Next != "" && !st.OK {
			fmt.Fprintf(&b, "        next: %s\n", st.Next)
		}
	}
	return b.String()
}

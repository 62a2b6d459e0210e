package host_test

import (
	"context"
	"strconv"
	"syscall"
	"testing"
	"time"

	"tresor/plugins/host"
	"tresor/plugins/protocol"
	"tresor/plugins/protocoltest"
)

// held is a Host whose State does not answer before the call that lent it ends.
type held struct {
	protocoltest.Host
	began chan struct{}
}

func (h *held) State(ctx context.Context, _ string, _ protocol.View) (s protocol.JobState, err error) {
	h.began <- struct{}{}
	<-ctx.Done()
	return s, ctx.Err()
}

// TestKilledInEveryState: the caller gets an error, the plugin comes up again, and
// nothing of the old process is left.
func TestKilledInEveryState(t *testing.T) {
	for _, c := range []struct {
		name string
		into func(t *testing.T, p *host.Plugin) (outcome <-chan error, ready func()) // brings it into the state
	}{
		{"idle", func(*testing.T, *host.Plugin) (<-chan error, func()) { return nil, func() {} }},
		{"in a call", call("/never", nil)},
		{"in a host call", call("/hold", make(chan struct{}, 1))},
		{"while it polls", func(t *testing.T, p *host.Plugin) (<-chan error, func()) {
			out := make(chan error, 1)
			a := adapter(t, p)
			go func() { out <- a.Run(context.Background(), nil, &protocoltest.Host{}) }()
			return out, func() { time.Sleep(50 * time.Millisecond) }
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, _ := hostile(t, "", nil)
			got, err := ask(t, p, "/pid", "", &protocoltest.Host{})
			pid, _ := strconv.Atoi(got)
			if err != nil || pid == 0 {
				t.Fatal(got, err)
			}
			outcome, ready := c.into(t, p)
			ready()
			began := time.Now()
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if outcome != nil {
				if err := <-outcome; code(err) != protocol.CodeUnavailable || time.Since(began) > 30*time.Second {
					t.Errorf("the call ended with %v after %s", err, time.Since(began))
				}
			}
			again(t, p, 2)
			if got, err := ask(t, p, "/fine", "", &protocoltest.Host{}); err != nil || got != "fine" {
				t.Errorf("afterwards: %q, %v", got, err)
			}
			if syscall.Kill(pid, 0) == nil && !zombie(pid) {
				t.Error("the old process is there")
			}
		})
	}
	for _, path := range []string{"/exit", "/abort", "/kill"} {
		t.Run("by itself, "+path, func(t *testing.T) {
			p, _ := hostile(t, "", nil)
			if _, err := ask(t, p, path, "", &protocoltest.Host{}); code(err) != protocol.CodeUnavailable {
				t.Errorf("error %v", err)
			}
			again(t, p, 2)
		})
	}
}

func call(path string, began chan struct{}) func(*testing.T, *host.Plugin) (<-chan error, func()) {
	return func(t *testing.T, p *host.Plugin) (<-chan error, func()) {
		out := make(chan error, 1)
		a := adapter(t, p)
		go func() {
			_, err := a.ServeRequest(context.Background(), protocol.Request{Path: path}, &held{began: began})
			out <- err
		}()
		return out, func() {
			if began != nil {
				<-began
			}
			for p.State().InFlight == 0 {
				time.Sleep(time.Millisecond)
			}
		}
	}
}

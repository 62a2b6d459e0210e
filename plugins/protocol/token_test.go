package protocol

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// keeper is a plugin that keeps every Host it was ever lent.
type keeper struct {
	echo
	kept chan Host
}

func (k keeper) ServeRequest(ctx context.Context, r Request, h Host) (Response, error) {
	k.kept <- h
	return k.echo.ServeRequest(ctx, r, h)
}

func (k keeper) Run(ctx context.Context, _ Settings, h Host) error {
	k.kept <- h
	<-ctx.Done()
	return ctx.Err()
}

// named is a Host that answers with its own name and counts.
type named struct {
	nothing
	name string
	asks chan struct{}
}

func (n named) State(context.Context, string, View) (JobState, error) {
	if n.asks != nil {
		n.asks <- struct{}{}
	}
	return JobState{ID: n.name}, nil
}

func TestHostOfACallDiesWithIt(t *testing.T) {
	ctx := context.Background()
	k := keeper{kept: make(chan Host, 4)}
	r := pair(t, k)
	if _, err := r.ServeRequest(ctx, Request{Path: "host"}, named{name: "first"}); err != nil {
		t.Fatal(err)
	}
	first := <-k.kept
	if _, err := first.State(ctx, "1", Basic); code(err) != CodeDenied {
		t.Errorf("after its call: %v", err)
	}
	if err := first.Cancel(ctx, "1"); code(err) != CodeDenied {
		t.Errorf("after its call: %v", err)
	}

	// While another call runs, the old one's Host stays dead and the new one's is its own.
	long, end := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		_, err := r.ServeRequest(long, Request{Path: "hang"}, named{name: "second"})
		done <- err
	}()
	second := <-k.kept
	if _, err := first.State(ctx, "1", Basic); code(err) != CodeDenied {
		t.Errorf("the first call's Host during the second: %v", err)
	}
	if s, err := second.State(ctx, "1", Basic); err != nil || s.ID != "second" {
		t.Errorf("the second call's Host answers %+v, %v", s, err)
	}
	end()
	if err := <-done; code(err) != CodeUnavailable || !errors.Is(err, context.Canceled) {
		t.Errorf("a call that its caller left: %v", err)
	}
	if _, err := second.State(ctx, "1", Basic); code(err) != CodeDenied {
		t.Errorf("after the caller left: %v", err)
	}
	if n := len(r.hosts.lent); n != 0 {
		t.Errorf("%d tokens are left", n)
	}
}

func TestPollerKeepsItsHostWhileItRuns(t *testing.T) {
	k := keeper{kept: make(chan Host, 1)}
	r := pair(t, k)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx, nil, named{name: "poller"}) }()
	h := <-k.kept
	for range 3 {
		if s, err := h.State(ctx, "1", Basic); err != nil || s.ID != "poller" {
			t.Errorf("%+v, %v", s, err)
		}
	}
	cancel()
	<-done
	if _, err := h.State(context.Background(), "1", Basic); code(err) != CodeDenied {
		t.Errorf("after Run: %v", err)
	}
}

// TestTokens speaks for the plugin by hand: what is not the token of a running
// call of this very process reaches no Host.
func TestTokens(t *testing.T) {
	ctx := context.Background()
	r, plugin := ends(t)
	other, otherPlugin := ends(t)
	token := func(r *Remote, p chanPipe, name string) string {
		go func() { _, _ = r.ServeRequest(ctx, Request{}, named{name: name}) }()
		f, err := p.Recv()
		if err != nil || f.Token == "" {
			t.Fatalf("%+v, %v", f.header, err)
		}
		return f.Token
	}
	mine, again := token(r, plugin, "mine"), token(r, plugin, "again")
	foreign := token(other, otherPlugin, "foreign")
	id := uint64(0)
	for _, c := range []struct{ name, token, who string }{
		{"its own", mine, "mine"},
		{"another running call's of the same process: that call's Host, not this one's", again, "again"},
		{"another process's", foreign, ""},
		{"none", "", ""},
		{"forged", strings.Repeat("A", len(mine)), ""},
		{"cut", mine[:len(mine)-1], ""},
		{"longer", mine + "A", ""},
		{"1 MB", strings.Repeat("x", 1<<20), ""},
		{"binary", "\x00\xff", ""},
	} {
		id++
		b, err := pack(header{ID: id, Kind: kindCall, Name: "state", Token: c.token}, stateOf{ID: "1"})
		if err != nil {
			t.Fatal(err)
		}
		if err := plugin.Send(b); err != nil {
			t.Fatal(err)
		}
		f, err := plugin.Recv()
		if err != nil {
			t.Fatal(err)
		}
		var s JobState
		switch {
		case c.who == "" && (f.Error == nil || f.Error.Code != CodeDenied):
			t.Errorf("%s: %+v", c.name, f.header)
		case c.who != "" && (f.Error != nil || f.into(&s) != nil || s.ID != c.who):
			t.Errorf("%s: %+v, %+v", c.name, f.header, s)
		}
	}
}

// waits is a Host whose State waits for its context.
type waits struct {
	nothing
	began, ended chan struct{}
}

func (w waits) State(ctx context.Context, _ string, _ View) (JobState, error) {
	close(w.began)
	<-ctx.Done()
	close(w.ended)
	return JobState{}, ctx.Err()
}

func TestHostCallEndsWithTheCallThatLentIt(t *testing.T) {
	r, plugin := ends(t)
	ctx, leave := context.WithCancel(context.Background())
	done := make(chan error, 1)
	w := waits{began: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		_, err := r.ServeRequest(ctx, Request{}, w)
		done <- err
	}()
	f, _ := plugin.Recv()
	b, _ := pack(header{ID: 1, Kind: kindCall, Name: "state", Token: f.Token}, stateOf{})
	if err := plugin.Send(b); err != nil {
		t.Fatal(err)
	}
	<-w.began
	leave()
	<-w.ended
	<-done
}

func TestGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := pair(t, echo{})
		var ended []Outcome
		r.Protect(Guard{Timeout: time.Second, Slots: 1, Wait: 100 * time.Millisecond, End: func(o Outcome) { ended = append(ended, o) }})
		began := time.Now()
		if _, err := r.ServeRequest(context.Background(), Request{Path: "hang"}, nothing{}); code(err) != CodeUnavailable || time.Since(began) != time.Second {
			t.Errorf("a call without an answer: %v after %s", err, time.Since(began))
		}
		if len(ended) != 1 || !ended[0].Missed {
			t.Errorf("outcomes %+v", ended)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
		defer cancel()
		held := make(chan error)
		go func() {
			_, err := r.ServeRequest(ctx, Request{Path: "hang"}, nothing{})
			held <- err
		}()
		synctest.Wait()
		if _, err := r.ServeRequest(context.Background(), Request{}, nothing{}); code(err) != CodeExhausted {
			t.Errorf("one call too many: %v", err)
		}
		<-held
		if len(ended) != 2 || ended[1].Missed {
			t.Errorf("the caller's own deadline is not the plugin's fault: %+v", ended)
		}
		if _, err := r.ServeRequest(context.Background(), Request{}, nothing{}); err != nil {
			t.Errorf("after the held one: %v", err)
		}
		r.Close("the test is over")
		if _, err := r.ServeRequest(context.Background(), Request{}, nothing{}); code(err) != CodeUnavailable {
			t.Errorf("after the end: %v", err)
		}
	})
}

// Package protocoltest holds the conformance suite that every adapter passes, in
// process and as a child, and the Host that it is tested against. Tests only.
package protocoltest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"tresor/plugins/protocol"
)

// Suite is what every adapter passes. open returns the adapter under test: in
// process, or a *protocol.Remote of one that runs as a child.
func Suite(t *testing.T, open func(t *testing.T) protocol.Adapter) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	t.Run("describes itself without the host", func(t *testing.T) { describes(ctx, t, open(t)) })
	t.Run("connection test always says what was seen", func(t *testing.T) { tests(ctx, t, open(t)) })
	t.Run("connection test survives a host that refuses", func(t *testing.T) { refused(ctx, t, open(t)) })
	t.Run("parts are honest", func(t *testing.T) { honest(ctx, t, open(t)) })
	for part, run := range map[string]func(context.Context, *testing.T, protocol.Adapter){"server": serves, "poller": polls, "publisher": publishes} {
		if has(ctx, t, open(t), part) {
			t.Run(part, func(t *testing.T) { run(ctx, t, open(t)) })
		}
	}
}

func describes(ctx context.Context, t *testing.T, a protocol.Adapter) {
	first := description(ctx, t, a)
	if err := protocol.CheckDescription(first); err != nil {
		t.Fatal(err)
	}
	if again := description(ctx, t, a); fmt.Sprint(again) != fmt.Sprint(first) {
		t.Errorf("it describes itself as %+v, then as %+v", first, again)
	}
}

func description(ctx context.Context, t *testing.T, a protocol.Adapter) protocol.Description {
	t.Helper()
	d, err := a.Describe(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// tests gives settings that fit, none, and such as nobody would enter.
func tests(ctx context.Context, t *testing.T, a protocol.Adapter) {
	d := description(ctx, t, a)
	odd, huge := protocol.Settings{"no-such-key": "x", "": ""}, protocol.Settings{}
	for _, s := range d.Settings {
		odd[s.Key] = "\x00\n\u202e"
		huge[s.Key] = strings.Repeat("x", protocol.MaxSetting)
	}
	for name, s := range map[string]protocol.Settings{"defaults": protocol.Filled(d, nil), "none": nil, "odd": odd, "huge": huge} {
		for host, h := range map[string]protocol.Host{"answers": &Host{}, "broken": broken{&Host{}}, "odd": strange()} {
			steps, err := a.TestConnection(ctx, s, h)
			if err != nil || len(steps) == 0 || len(steps) > 50 {
				t.Errorf("settings %s, host %s: %d steps, error %v", name, host, len(steps), err)
			}
			for _, step := range steps {
				if step.Name == "" || step.Detail == "" || (!step.OK && step.Next == "") {
					t.Errorf("settings %s, host %s: step %+v leaves the reader guessing", name, host, step)
				}
				if text := step.Name + step.Detail + step.Next; len(text) > 8000 || !utf8.ValidString(text) || strings.Contains(text, canary) {
					t.Errorf("settings %s, host %s: step %q cannot be shown", name, host, step.Name)
				}
			}
		}
	}
}

func strange() protocol.Host { return odd{&Host{}} }

func refused(ctx context.Context, t *testing.T, a protocol.Adapter) {
	for _, code := range protocol.Codes() {
		h := &Host{Refusal: &protocol.Error{Code: code, Text: "not for you"}}
		steps, err := a.TestConnection(ctx, protocol.Filled(description(ctx, t, a), nil), h)
		if err != nil {
			checkError(t, "host refuses with "+code, err)
		}
		if len(h.Calls) > 0 && err == nil && !slices.ContainsFunc(steps, func(s protocol.Step) bool { return !s.OK }) {
			t.Errorf("every step is well although the host refuses everything with %s", code)
		}
	}
}

// has reports whether the adapter has a part: what its type says in process, what
// it describes as a child.
func has(ctx context.Context, t *testing.T, a protocol.Adapter, part string) bool {
	if _, remote := a.(*protocol.Remote); remote {
		return slices.Contains(description(ctx, t, a).Parts, part)
	}
	var ok bool
	switch part {
	case "server":
		_, ok = a.(protocol.Server)
	case "poller":
		_, ok = a.(protocol.Poller)
	case "publisher":
		_, ok = a.(protocol.Publisher)
	}
	return ok
}

// honest checks that a child refuses the parts that it does not describe, and does not refuse the others.
func honest(ctx context.Context, t *testing.T, a protocol.Adapter) {
	r, ok := a.(*protocol.Remote)
	if !ok {
		return
	}
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	_, serve := r.ServeRequest(ctx, protocol.Request{Method: "GET", Path: "/no-such-address"}, &Host{})
	_, publish := r.Publish(ctx, nil, &Host{})
	for part, err := range map[string]error{"server": serve, "publisher": publish, "poller": r.Run(short, nil, &Host{})} {
		var e *protocol.Error
		unsupported := errors.As(err, &e) && e.Code == protocol.CodeUnsupported
		if unsupported == has(ctx, t, a, part) {
			t.Errorf("part %s: described %v, answers %v", part, has(ctx, t, a, part), err)
		}
	}
}

// polls checks that Run ends when it is told to, and waits between polls.
func polls(ctx context.Context, t *testing.T, a protocol.Adapter) {
	settings := protocol.Filled(description(ctx, t, a), nil)
	for name, h := range map[string]protocol.Host{"answers": &Host{}, "broken": broken{&Host{}}, "odd": strange(), "refuses": &Host{Refusal: &protocol.Error{Code: protocol.CodeUnavailable, Text: "later"}}} {
		ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		done := make(chan error, 1)
		go func() { done <- a.(protocol.Poller).Run(ctx, settings, h) }()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			t.Errorf("host %s: Run goes on 5 s after its end", name)
		}
		cancel()
		if c, ok := h.(*Host); ok && c.Count("") > 300 {
			t.Errorf("host %s: %d calls in 0.3 s; wait between polls", name, c.Count(""))
		}
	}
}

// publishes checks that each document has a place and a type of its own.
func publishes(ctx context.Context, t *testing.T, a protocol.Adapter) {
	settings := protocol.Filled(description(ctx, t, a), nil)
	for name, h := range map[string]protocol.Host{"answers": &Host{}, "broken": broken{&Host{}}, "odd": strange()} {
		docs, err := a.(protocol.Publisher).Publish(ctx, settings, h)
		if err != nil {
			checkError(t, "host "+name, err)
		}
		seen := map[string]bool{}
		for _, d := range docs {
			if d.Path == "" || seen[d.Path] || len(d.Path) > 500 || d.ContentType == "" || strings.Contains(string(d.Body), canary) {
				t.Errorf("host %s: document %q (%s) cannot be published", name, d.Path, d.ContentType)
			}
			seen[d.Path] = true
		}
	}
}

// together makes f run in n goroutines.
func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

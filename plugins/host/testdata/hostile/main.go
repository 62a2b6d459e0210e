// Command hostile is a plugin that tries what a plugin must not be able to do. The
// tests of plugins/host build it, trust it and look at what becomes of it. The
// first argument, when there is one, names a misdeed at the start; the path of a
// request names one in the middle, and the answer says what came of it.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"tresor/plugins/protocol"
)

func main() {
	if len(os.Args) > 1 {
		start(os.Args[1])
	}
	protocol.Serve(&hostile{})
}

type hostile struct {
	kept protocol.Host
}

func (h *hostile) Describe(context.Context) (protocol.Description, error) {
	d := protocol.Description{Name: "hostile", Title: "Hostile", Version: "1", Protocol: "none"}
	if len(os.Args) > 1 {
		describe(os.Args[1], &d)
	}
	return d, nil
}

func (h *hostile) TestConnection(context.Context, protocol.Settings, protocol.Host) ([]protocol.Step, error) {
	return []protocol.Step{{Name: strings.Repeat("x", 1<<20), Detail: "\xff"}}, nil
}

func (h *hostile) Run(ctx context.Context, _ protocol.Settings, host protocol.Host) error {
	h.kept = host
	<-ctx.Done()
	select {} // ignores its end
}

func (h *hostile) ServeRequest(ctx context.Context, r protocol.Request, host protocol.Host) (protocol.Response, error) {
	arg := string(r.Body)
	switch r.Path {
	case "/fine":
		return say("fine")
	case "/pid":
		return say(fmt.Sprint(os.Getpid()))
	case "/keep":
		h.kept = host
		return say("kept")
	case "/use":
		_, err := h.kept.State(ctx, "1", protocol.Full)
		return say(fmt.Sprint(err))
	case "/host":
		return say(ask(ctx, host))
	case "/hold":
		_, err := host.State(ctx, "1", protocol.Full) // the test's Host does not answer
		return say(fmt.Sprint(err))
	case "/never":
		select {}
	case "/huge":
		return protocol.Response{Status: 200, Body: make([]byte, 100<<20)}, nil
	}
	if f := misdeeds[r.Path]; f != nil {
		return say(f(arg))
	}
	return protocol.Response{Status: 404}, nil
}

func say(s string) (protocol.Response, error) {
	return protocol.Response{Status: 200, Body: []byte(s)}, nil
}

// ask makes every host call with garbage and says what came back.
func ask(ctx context.Context, h protocol.Host) string {
	big := strings.Repeat("\xff\x00", 1<<18)
	var out []string
	note := func(err error) { out = append(out, fmt.Sprint(err)) }
	_, err := h.Submit(ctx, protocol.JobRequest{Name: big, Project: "../..", Tasks: make([]protocol.Task, 1000), Tags: map[string]string{big: big}})
	note(err)
	_, err = h.Submit(ctx, protocol.JobRequest{Document: make([]byte, 3<<20), Resources: protocol.Resources{Cores: -1 << 31, RAM: -1}})
	note(err)
	_, err = h.State(ctx, "'; drop table job; --", "everything")
	note(err)
	_, err = h.Jobs(ctx, protocol.JobQuery{Limit: -1, After: big, States: make([]string, 10000)})
	note(err)
	note(h.Cancel(ctx, "../../etc/passwd"))
	_, err = h.ReadRelease(ctx, "another's", -1<<62)
	note(err)
	_, err = h.Fetch(ctx, protocol.Request{Method: "CONNECT", Path: "file:///etc/shadow"})
	note(err)
	note(h.Health(ctx, protocol.Health{Detail: big}))
	note(h.Audit(ctx, big, map[string]string{big: big}))
	_, err = h.Submit(ctx, protocol.JobRequest{Document: make([]byte, 5<<20)})
	note(err)
	return strings.Join(out, "\n")
}

// Command example is a whole external plugin: a toy protocol in which a request's
// body is a command line and the answer is a job's number.
//
//	POST /jobs              run the command line in the body; answers the number
//	GET /jobs               one line for each job: number, state, name
//	GET /jobs/NUMBER        the state
//	GET /jobs/NUMBER/answer what the command wrote, once it is released
//	DELETE /jobs/NUMBER     ask for its end
//
// Build it with `CGO_ENABLED=0 go build ./plugins/example`, then `tresor plugin trust
// ./example`. A plugin of your own can start as a copy of this page.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"tresor/plugins/protocol"
)

func main() { protocol.Serve(Adapter{}) }

// Adapter translates the example protocol. It keeps nothing: what it has to know
// of a job comes back with the job.
type Adapter struct{}

var description = protocol.Description{
	Name: "example", Title: "Example protocol", Version: "1.1", Protocol: "example 1",
	Settings: []protocol.Setting{{
		Key: "image", Label: "Image", Kind: protocol.KindText, Required: true, Default: "docker.io/library/busybox:latest",
		Help: "The image in which every command of this protocol runs. It has to be approved like any other.",
	}},
	Lookups: []protocol.Lookup{{Method: "GET", Path: "/jobs/{id}", Views: map[string]protocol.View{"": protocol.Minimal}}},
}

// Describe names the protocol and its one setting.
func (Adapter) Describe(context.Context) (protocol.Description, error) { return description, nil }

// TestConnection checks the setting and asks the host.
func (Adapter) TestConnection(ctx context.Context, s protocol.Settings, h protocol.Host) ([]protocol.Step, error) {
	var steps protocol.Steps
	if steps.Settings(description, s) {
		_, err := h.Visible(ctx)
		steps.Host(err)
	}
	return steps.List(), nil
}

// ServeRequest answers the addresses of the protocol.
func (Adapter) ServeRequest(ctx context.Context, r protocol.Request, h protocol.Host) (protocol.Response, error) {
	parts := strings.Split(strings.Trim(r.Path, "/"), "/")
	if parts[0] != "jobs" || len(parts) > 3 || (len(parts) == 3 && parts[2] != "answer") {
		return say(404, "There is no such address in the example protocol."), nil
	}
	switch at := fmt.Sprint(r.Method, " ", len(parts)); at {
	case "POST 1":
		return submit(ctx, r, h)
	case "GET 1":
		return list(ctx, h)
	case "GET 2":
		s, err := h.State(ctx, parts[1], protocol.Minimal)
		return answer(s.State, err)
	case "GET 3":
		s, err := h.State(ctx, parts[1], protocol.Basic)
		if err == nil && s.Release != "" {
			return protocol.Response{Status: 200, Release: &protocol.ReleaseFile{ID: s.Release, Path: answerFile}}, nil
		}
		return answer("Not released yet: the job is "+s.State+".", err)
	case "DELETE 2":
		return answer("The job will end.", h.Cancel(ctx, parts[1]))
	}
	return say(405, "This address does not take "+clean(r.Method)+"."), nil
}

// answerFile is where the command's output goes in the container.
const answerFile = "/out/answer.txt"

// submit asks for a job that runs the command line in the body.
func submit(ctx context.Context, r protocol.Request, h protocol.Host) (protocol.Response, error) {
	argv := strings.Fields(string(r.Body))
	if len(argv) == 0 || len(r.Body) > 200 || clean(string(r.Body)) != strings.TrimSpace(string(r.Body)) {
		return say(400, "Send one command line of at most 200 characters."), nil
	}
	s, err := h.Submit(ctx, protocol.JobRequest{
		RemoteID: r.RemoteID,
		Name:     clean(argv[0]),
		Tasks:    []protocol.Task{{Image: protocol.Filled(description, r.Settings)["image"], Argv: argv, Stdout: answerFile}},
		Outputs:  []protocol.Output{{Path: answerFile, Target: "answer.txt"}}, // not file:///project/: it waits for a release
		Document: r.Body,
	})
	return answer(s.ID, err)
}

// list answers the caller's jobs, newest first.
func list(ctx context.Context, h protocol.Host) (protocol.Response, error) {
	page, err := h.Jobs(ctx, protocol.JobQuery{View: protocol.Basic, Limit: 100})
	var out strings.Builder
	for _, j := range page.Jobs {
		fmt.Fprintf(&out, "%s %s %s\n", clean(j.ID), clean(j.State), clean(j.Name))
	}
	return answer(strings.TrimSuffix(out.String(), "\n"), err)
}

// status is what this protocol answers for each refusal of the host.
var status = map[string]int{
	protocol.CodeNotFound: 404, protocol.CodeInvalid: 400, protocol.CodeDenied: 403, protocol.CodeConflict: 409,
	protocol.CodeUnavailable: 503, protocol.CodeExhausted: 429, protocol.CodeUnsupported: 501,
}

// answer gives text, or the host's refusal in its own words. What is not a refusal
// is not for the outside.
func answer(text string, err error) (protocol.Response, error) {
	var e *protocol.Error
	if errors.As(err, &e) && status[e.Code] != 0 {
		return say(status[e.Code], clean(e.Text)), nil
	}
	if err != nil {
		return say(http.StatusInternalServerError, "The appliance could not answer. Try again."), nil
	}
	return say(200, text), nil
}

func say(status int, text string) protocol.Response {
	return protocol.Response{Status: status, Header: map[string][]string{"Content-Type": {"text/plain; charset=utf-8"}}, Body: []byte(text + "\n")}
}

// clean makes foreign text fit for one line.
func clean(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return ' '
		}
		return r
	}, s[:min(len(s), 200)]))
}

package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
)

// Gate stands between a command and the task service where a folder is kept in step with
// the project. Before a request that makes a task passes, what is new in the folder is
// sent: a refusal is the answer, and no task is made. Before an answer that shows a task at
// its end is given, what is new in the project is in the folder. Everything else passes as it is.
func Gate(dial func(context.Context) (net.Conn, error), project *Project) http.Handler {
	next := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		DisableKeepAlives: true, DisableCompression: true}
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", InsideName, r.In.Host
		},
		Transport:    &gate{project, next},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
}

type gate struct {
	project *Project
	next    http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (g *gate) RoundTrip(r *http.Request) (*http.Response, error) {
	path := strings.TrimSuffix(r.URL.Path, "/")
	if r.Method == http.MethodPost && strings.HasSuffix(path, "/tasks") {
		if err := g.project.Send(r.Context()); err != nil {
			if r.Body != nil {
				r.Body.Close()
			}
			return denied(r, err, "The task was not made, because files of the folder could not be put into the project."), nil
		}
	}
	resp, err := g.next.RoundTrip(r)
	if err != nil || r.Method != http.MethodGet || resp.StatusCode != http.StatusOK || !strings.HasSuffix(path, "/tasks") && !strings.Contains(path, "/tasks/") {
		return resp, err
	}
	return g.shown(r, resp)
}

// overStates are the states from which no task comes back, as JSON has them.
var overStates = [][]byte{[]byte(`"COMPLETE"`), []byte(`"EXECUTOR_ERROR"`), []byte(`"SYSTEM_ERROR"`), []byte(`"CANCELED"`)}

// mostShown bounds an answer that is read before it is passed on, in bytes.
const mostShown = 64 << 20

// shown gives an answer about tasks when the folder is up to date with it. A word that
// only looks like a state costs one short question.
func (g *gate) shown(r *http.Request, resp *http.Response) (*http.Response, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, mostShown))
	if err != nil {
		resp.Body.Close()
		return nil, err
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(body), resp.Body), resp.Body}
	for _, end := range overStates {
		if bytes.Contains(body, end) {
			if err := g.project.Fetch(r.Context()); err != nil {
				resp.Body.Close()
				return denied(r, err, "The files that tasks have left could not be fetched into the folder."), nil
			}
			break
		}
	}
	return resp, nil
}

// denied is an answer of our own, in the form that the task service has.
func denied(r *http.Request, err error, what string) *http.Response {
	status, code := http.StatusServiceUnavailable, "unavailable"
	var d *Denial
	if errors.As(err, &d) && final(err) {
		status, code = http.StatusConflict, "conflict"
		if d.Status == http.StatusTooManyRequests || d.Status == http.StatusRequestEntityTooLarge {
			status, code = d.Status, "quota"
		}
	}
	body, _ := json.Marshal(map[string]any{"type": "about:blank", "title": http.StatusText(status), "status": status, "code": code, "detail": what + " " + err.Error()})
	h := http.Header{"Content-Type": {"application/problem+json"}}
	if status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "5")
	}
	return &http.Response{Status: fmt.Sprintf("%d %s", status, http.StatusText(status)), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: r}
}

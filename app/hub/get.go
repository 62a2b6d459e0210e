package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"tresor/fed/task"
	"tresor/fed/wire"
)

// trouble is a sentence for the page of a task.
func trouble(err error) string {
	var r *wire.Refusal
	var status *statusError
	var bad *badResult
	switch {
	case isLocal(err):
		return clip(err.Error(), maxMessage)
	case errors.As(err, &bad):
		return bad.why
	case errors.As(err, &r):
		return sentence(r.Text)
	case errors.As(err, &status):
		return status.Error()
	case errors.Is(err, context.DeadlineExceeded):
		return "The node did not answer in time."
	}
	return "The link ended before the node had answered."
}

// statusError is an answer that is not 200.
type statusError struct {
	status int
	text   string
}

func (e *statusError) Error() string {
	if e.text == "" {
		return fmt.Sprintf("The node answered %d.", e.status)
	}
	return fmt.Sprintf("The node answered %d: %s", e.status, e.text)
}

// get reads one page of the node, at most most bytes of it.
func (w *worker) get(ctx context.Context, path string, most int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, w.s.Pace.Call)
	defer cancel()
	resp, err := w.open(ctx, path, "")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return readAll(resp.Body, most)
}

func readAll(r io.Reader, most int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(body)) > most {
		return nil, wire.Refuse(wire.CodeSize, "The node's answer is longer than %d bytes.", most)
	}
	return body, err
}

// open asks for a page, or for one other than known, which is an entity tag; "": for
// any. An answer that is neither 200 nor, to the latter, 304 is a statusError.
func (w *worker) open(ctx context.Context, path, known string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://node"+path, nil)
	if err != nil {
		return nil, err
	}
	if known != "" {
		r.Header.Set("If-None-Match", known)
	}
	resp, err := w.s.fed().RoundTripper(wire.KeyID(w.node)).RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK || known != "" && resp.StatusCode == http.StatusNotModified {
		return resp, nil
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 16<<10)) // only for its words
	if r, err := wire.DecodeRefusal(body); err == nil {
		return nil, r
	}
	_, text, _ := problem(task.Answer{Status: resp.StatusCode, Header: resp.Header, Body: body})
	return nil, &statusError{resp.StatusCode, text}
}

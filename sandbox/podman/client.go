package podman

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/containers/podman/v5/pkg/bindings"

	"tresor/sandbox"
)

// client speaks to one Podman socket and connects when it is first needed.
type client struct {
	socket string
	hung   func() // told of each call that ran into its own time limit

	mu   sync.Mutex
	conn *bindings.Connection
}

// apiError is Podman's refusal.
type apiError struct {
	status  int
	message string
}

func (e *apiError) Error() string { return fmt.Sprintf("podman answered %d: %s", e.status, e.message) }

func (c *client) connection(ctx context.Context) (*bindings.Connection, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		return c.conn, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	ctx, err := bindings.NewConnection(ctx, "unix://"+c.socket)
	if err != nil {
		return nil, err
	}
	c.conn, err = bindings.GetClient(ctx)
	return c.conn, err
}

// request is one call.
type request struct {
	method, path string // path may hold %s for args
	args         []string
	query        url.Values
	body         any       // sent as JSON
	stream       io.Reader // or sent as it is
	out          any       // receives the JSON answer
	timeout      time.Duration
}

const callTimeout = 2 * time.Minute

// do sends a request. The answer is nil, sandbox.ErrAbsent (404), *apiError, or sandbox.ErrHost.
func (c *client) do(ctx context.Context, r request) error {
	conn, err := c.connection(ctx)
	if err != nil {
		return sandbox.Host("connect to podman", err)
	}
	body, headers, err := r.payload()
	if err != nil {
		return err
	}
	if r.timeout == 0 {
		r.timeout = callTimeout
	}
	asker := ctx
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	resp, err := conn.DoRequest(ctx, body, r.method, r.path, r.query, headers, r.args...)
	if err != nil {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) && asker.Err() == nil {
			c.hung()
		}
		return sandbox.Host(r.method+" "+r.path, err)
	}
	defer resp.Body.Close()
	return r.answer(resp.StatusCode, resp.Body)
}

func (r request) payload() (io.Reader, http.Header, error) {
	if r.stream != nil {
		return r.stream, http.Header{"Content-Type": {"application/x-tar"}}, nil
	}
	if r.body == nil {
		return nil, nil, nil
	}
	b, err := json.Marshal(r.body)
	return bytes.NewReader(b), http.Header{"Content-Type": {"application/json"}}, err
}

const maxAnswer = 64 << 20

func (r request) answer(status int, body io.Reader) error {
	b, err := io.ReadAll(io.LimitReader(body, maxAnswer))
	if err != nil {
		return sandbox.Host(r.method+" "+r.path, err)
	}
	if status >= 200 && status < 300 || status == http.StatusNotModified {
		if r.out == nil || len(b) == 0 {
			return nil
		}
		if err := json.Unmarshal(b, r.out); err != nil {
			return sandbox.Host(r.path+": malformed answer", err)
		}
		return nil
	}
	var e struct{ Message, Cause string }
	if json.Unmarshal(b, &e) != nil || e.Message == "" {
		e.Message = string(bytes.TrimSpace(b[:min(len(b), 500)]))
	}
	return refusal(status, e.Message)
}

// refusal sorts Podman's answer. A container that is removed while it is being asked
// about, or whose removal a crash of Podman cut short (its storage is gone, its row is
// left), comes as a 500 with the words of a database, and is absent all the same.
func refusal(status int, message string) error {
	gone := strings.HasSuffix(message, ": no such container") || strings.HasSuffix(message, ": container not known")
	if status == http.StatusNotFound || status == http.StatusInternalServerError && gone {
		return fmt.Errorf("%w: %s", sandbox.ErrAbsent, message)
	}
	return &apiError{status, message}
}

// hostError makes an answer that should not have come into ErrHost.
func hostError(op string, err error) error {
	var api *apiError
	if errors.As(err, &api) {
		return sandbox.Host(op, err)
	}
	return err
}

func absent(err error) bool { return errors.Is(err, sandbox.ErrAbsent) }

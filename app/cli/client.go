package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"

	"tresor/app/fault"
)

// client speaks the appliance's JSON API. Over the local socket the server
// knows the caller's uid; over HTTP a session cookie names the person.
type client struct {
	http   *http.Client
	base   string // without a trailing slash, up to and with /api/v1
	as     string
	cookie *http.Cookie
	socket string
}

const cookieName = "__Host-tresor"

func newClient(socket, as string) *client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	return &client{
		http:   &http.Client{Transport: &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 4}},
		base:   "http://tresor.local/api/v1",
		as:     as,
		socket: socket,
	}
}

// newPublicClient speaks to the public door as a browser does. The cookie is
// kept by hand because Go's jar withholds Secure cookies from plain loopback HTTP.
func newPublicClient(base string, h *http.Client) *client {
	return &client{http: h, base: base + "/api/v1"}
}

// do sends in as JSON (nil: no body) and decodes the answer into out (nil: ignored).
func (c *client) do(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fault.Wrap("cli.do", err)
		}
		body = bytes.NewReader(b)
	}
	resp, err := c.send(ctx, method, path, "application/json", body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fault.Kinded("cli.do", fault.Internal, err, "The server's answer to %s %s is not the JSON that this program expects.", method, path)
	}
	return nil
}

// send performs one request and turns a problem answer into an error. The
// caller closes the body.
func (c *client) send(ctx context.Context, method, path, contentType string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, fault.Kinded("cli.send", fault.Invalid, err, "%q is not a usable address.", path)
	}
	if body != nil {
		req.Header.Set("Content-Type", contentType)
	}
	if contentType == "application/json" {
		req.Header.Set("Accept", contentType) // a few addresses answer text otherwise
	}
	if c.as != "" {
		req.Header.Set("Tresor-As", c.as)
	}
	if c.cookie != nil {
		req.AddCookie(c.cookie)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(err)
	}
	c.keepCookie(resp)
	if resp.StatusCode >= 400 {
		defer resp.Body.Close()
		return nil, readProblem(resp)
	}
	return resp, nil
}

func (c *client) keepCookie(resp *http.Response) {
	for _, k := range resp.Cookies() {
		if k.Name == cookieName {
			c.cookie = &http.Cookie{Name: k.Name, Value: k.Value}
		}
	}
}

func (c *client) unreachable(err error) error {
	next := "Start it with: tresor serve"
	kind, msg := fault.Unavailable, fmt.Sprintf("No server answers at %s.", c.base)
	if c.socket != "" {
		msg = fmt.Sprintf("No server is running on this data folder (%s).", c.socket)
		next = "Start it with `tresor serve`, or name its folder with --data."
	}
	if errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.EACCES) {
		kind, msg = fault.Denied, "The local socket of the server may not be opened by this account."
		next = "Run the command as root or as the account that runs the server."
	}
	if errors.Is(err, context.Canceled) {
		msg, next = "Stopped before the server answered.", "The server may have done it all the same: look with `list` or `show`."
	}
	return fault.WithNext(fault.Kinded("cli.send", kind, err, "%s", msg), "%s", next)
}

// readProblem turns an RFC 9457 answer into an error. A body that is none, as
// from a proxy in between, still becomes an error that says what came.
func readProblem(resp *http.Response) error {
	var p problem
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // half a body is none, see below
	if json.Unmarshal(raw, &p) != nil || (p.Title == "" && p.Detail == "") {
		p = problem{Detail: fmt.Sprintf("The server answered %d without an explanation.", resp.StatusCode)}
	}
	err := fault.New("server", kindOf(p.Code, resp.StatusCode), "%s", firstOf(p.Detail, p.Title))
	if p.Next != "" {
		err = fault.WithNext(err, "%s", p.Next)
	}
	return &refusal{code: p.Code, correlation: p.Correlation, status: resp.StatusCode, err: err}
}

// kindOf trusts the server's word first: one status may stand for two kinds.
func kindOf(code string, status int) fault.Kind {
	for _, k := range []fault.Kind{fault.NotFound, fault.Invalid, fault.Denied, fault.Conflict, fault.Unavailable, fault.Exhausted, fault.Internal} {
		if code == k.String() {
			return k
		}
	}
	return kindOfStatus(status)
}

func kindOfStatus(code int) fault.Kind {
	switch code {
	case 400, 405, 415, 422:
		return fault.Invalid
	case 401, 403:
		return fault.Denied
	case 404:
		return fault.NotFound
	case 409, 412, 428:
		return fault.Conflict
	case 413, 429, 507:
		return fault.Exhausted
	case 502, 503, 504:
		return fault.Unavailable
	default:
		return fault.Internal
	}
}

// esc escapes one path segment.
func esc(s string) string { return url.PathEscape(s) }

// query builds "?k=v&…" from pairs, leaving out empty values.
func query(pairs ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}

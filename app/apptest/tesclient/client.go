package tesclient

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Client talks to one service. Base ends before /service-info and /tasks.
type Client struct {
	Base  string
	Token string // bearer token; "": none
	HTTP  *http.Client
	Key   string // header Idempotency-Key of the next Create; "": none
}

// Refused is an answer of the service that is no success.
type Refused struct {
	Status int
	Body   string
}

func (r *Refused) Error() string { return fmt.Sprintf("status %d: %s", r.Status, r.Body) }

// do makes one request and gives the body of a 200; every other status is *Refused.
func (c *Client) do(ctx context.Context, method, path string, in any) ([]byte, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.Base+path, body)
	if err != nil {
		return nil, err
	}
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.Token != "" {
		r.Header.Set("Authorization", "Bearer "+c.Token)
	}
	if c.Key != "" && method == http.MethodPost {
		r.Header.Set("Idempotency-Key", c.Key)
	}
	resp, err := c.HTTP.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, &Refused{Status: resp.StatusCode, Body: string(b)}
	}
	if path = strings.SplitN(path, "?", 2)[0]; !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		return nil, fmt.Errorf("%s %s answers %q, not application/json", method, path, resp.Header.Get("Content-Type"))
	}
	return b, nil
}

// Info is GetServiceInfo.
func (c *Client) Info(ctx context.Context) (s ServiceInfo, err error) {
	b, err := c.do(ctx, http.MethodGet, "/service-info", nil)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, err
	}
	if s.ID == "" || s.Name == "" || s.Version == "" || s.Organization.Name == "" || s.Organization.URL == "" || s.Type.Group == "" || s.Type.Artifact != "tes" || s.Type.Version == "" {
		return s, fmt.Errorf("service-info lacks a required field: %s", b)
	}
	return s, nil
}

// Create is CreateTask.
func (c *Client) Create(ctx context.Context, t Task) (string, error) {
	b, err := c.do(ctx, http.MethodPost, "/tasks", t)
	if err != nil {
		return "", err
	}
	var out struct {
		ID string `json:"id"`
	}
	if err := strict(b, &out); err != nil {
		return "", err
	}
	if out.ID == "" {
		return "", fmt.Errorf("created a task without id: %s", b)
	}
	return out.ID, nil
}

// Get is GetTask; view "" leaves the service's default.
func (c *Client) Get(ctx context.Context, id, view string) (t Task, err error) {
	path := "/tasks/" + url.PathEscape(id)
	if view != "" {
		path += "?view=" + view
	}
	b, err := c.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return t, err
	}
	if err := strict(b, &t); err != nil {
		return t, err
	}
	return t, t.check(view)
}

// Query is what ListTasks takes.
type Query struct {
	NamePrefix string
	State      State
	Keys       []string // tag_key
	Values     []string // tag_value
	Size       int      // page_size; 0: none
	Token      string
	View       string
}

func (q Query) encode() string {
	v := url.Values{}
	for k, s := range map[string]string{"name_prefix": q.NamePrefix, "state": string(q.State), "page_token": q.Token, "view": q.View} {
		if s != "" {
			v.Set(k, s)
		}
	}
	for _, k := range q.Keys {
		v.Add("tag_key", k)
	}
	for _, x := range q.Values {
		v.Add("tag_value", x)
	}
	if q.Size != 0 {
		v.Set("page_size", strconv.Itoa(q.Size))
	}
	return v.Encode()
}

// List is ListTasks, one page.
func (c *Client) List(ctx context.Context, q Query) (p Page, err error) {
	b, err := c.do(ctx, http.MethodGet, "/tasks?"+q.encode(), nil)
	if err != nil {
		return p, err
	}
	if err := strict(b, &p); err != nil {
		return p, err
	}
	if p.Tasks == nil {
		return p, fmt.Errorf("tasks is missing or null: %s", b)
	}
	for _, t := range p.Tasks {
		if err := t.check(q.View); err != nil {
			return p, err
		}
	}
	return p, nil
}

// Walk lists every page.
func (c *Client) Walk(ctx context.Context, q Query) ([]Task, error) {
	var all []Task
	for {
		p, err := c.List(ctx, q)
		if err != nil {
			return all, err
		}
		all = append(all, p.Tasks...)
		if q.Token = p.Next; q.Token == "" {
			return all, nil
		}
	}
}

// Cancel is CancelTask.
func (c *Client) Cancel(ctx context.Context, id string) error {
	b, err := c.do(ctx, http.MethodPost, "/tasks/"+url.PathEscape(id)+":cancel", struct{}{})
	if err != nil {
		return err
	}
	return strict(b, &struct{}{})
}

// Wait polls as clients do until the state is one at which they stop.
func (c *Client) Wait(ctx context.Context, id string, every time.Duration) (State, error) {
	for {
		t, err := c.Get(ctx, id, "MINIMAL")
		if err != nil {
			return "", err
		}
		if t.State.Over() {
			return t.State, nil
		}
		select {
		case <-ctx.Done():
			return t.State, fmt.Errorf("task %s is still %s: %w", id, t.State, ctx.Err())
		case <-time.After(every):
		}
	}
}

// Fetch reads a file that a task log names, which must lie at this service.
func (c *Client) Fetch(ctx context.Context, address string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+c.Token)
	resp, err := c.HTTP.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = &Refused{Status: resp.StatusCode, Body: string(b)}
	}
	return b, err
}

package api

import (
	"bytes"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"tresor/app/access"
	"tresor/app/identity"
)

// reply is an answer, read whole.
type reply struct {
	status int
	header http.Header
	body   string
}

func (r reply) want(t testing.TB, status int) reply {
	t.Helper()
	if r.status != status {
		t.Fatalf("got %d %s, want %d", r.status, r.body, status)
	}
	return r
}

func (r reply) into(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.body), v); err != nil {
		t.Fatalf("%s: %v", r.body, err)
	}
}

// token signs a column in, once.
func (w *world) token(t testing.TB, column string) string {
	t.Helper()
	if token := w.tokens[column]; token != "" || column == "none" || column == "local" {
		return token
	}
	kind := identity.KindDemo
	if column == "enrolling" {
		kind = identity.KindEnrol
	}
	link := must[identity.Link](t)(w.server.Identity.IssueLink(t.Context(), access.System, w.people[column].ID, kind))
	token, _, err := w.server.Identity.OpenLink(t.Context(), link.Token, identity.Client{Address: "192.0.2.1"})
	if err != nil {
		t.Fatal(err)
	}
	w.tokens[column] = token
	return token
}

// as sends JSON as a column.
func (w *world) as(t testing.TB, column, method, path string, in any) reply {
	t.Helper()
	if in == nil {
		return w.send(t, column, method, path, "", nil)
	}
	raw, ok := in.(string)
	if !ok {
		b, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		raw = string(b)
	}
	return w.send(t, column, method, path, "application/json", strings.NewReader(raw))
}

func (w *world) send(t testing.TB, column, method, path, media string, body io.Reader) reply {
	t.Helper()
	base := w.http.URL
	if column == "local" {
		base = w.local.URL
	}
	req, err := http.NewRequestWithContext(t.Context(), method, base+prefix+path, body)
	if err != nil {
		t.Fatal(err)
	}
	if media != "" {
		req.Header.Set("Content-Type", media)
	}
	if token := w.token(t, column); token != "" {
		req.AddCookie(&http.Cookie{Name: cookieName, Value: token})
	}
	if strings.HasPrefix(path, "/live") {
		req.Header.Set("Origin", base)
	}
	return w.do(t, req)
}

func (w *world) do(t testing.TB, req *http.Request) reply {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(b)}
}

// form makes a multipart body: fields first, then files.
func form(t testing.TB, fields, files map[string]string) (io.Reader, string) {
	t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	for name, value := range fields {
		if err := m.WriteField(name, value); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range files {
		part, err := m.CreateFormFile("file", name)
		if err == nil {
			_, err = io.WriteString(part, text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	return &b, m.FormDataContentType()
}

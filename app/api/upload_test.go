package api

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"tresor/app/dataset"
	"tresor/app/live"
)

func TestDatasetUploads(t *testing.T) {
	w := newWorld(t)
	good := map[string]string{"people.csv": csvData(20)}
	dictionary := `{"tables":[{"name":"people","columns":[{"name":"visits","label":"Visits in a year"}]}]}`
	cases := []struct {
		name   string
		body   func() (io.Reader, string)
		status int
		says   string
	}{
		{"ok", func() (io.Reader, string) {
			return form(t, map[string]string{"dictionary": dictionary, "note": "With a dictionary."}, good)
		}, 201, "Visits in a year"},
		{"not a form", func() (io.Reader, string) { return strings.NewReader("a,b\n1,2\n"), "text/csv" }, 415, "multipart/form-data"},
		{"no boundary", func() (io.Reader, string) { return strings.NewReader("x"), "multipart/form-data" }, 415, "multipart/form-data"},
		{"no file", func() (io.Reader, string) { return form(t, map[string]string{"note": "Nothing."}, nil) }, 400, "No file was sent"},
		{"unknown part", func() (io.Reader, string) { return form(t, map[string]string{"extra": "x"}, good) }, 400, "There is no part"},
		{"broken dictionary", func() (io.Reader, string) { return form(t, map[string]string{"dictionary": "{"}, good) }, 400, ""},
		{"note too long", func() (io.Reader, string) {
			return form(t, map[string]string{"note": strings.Repeat("x", noteMax+1)}, good)
		}, 400, "larger than 16 KiB"},
		{"dictionary after a file", func() (io.Reader, string) { return lateDictionary(t) }, 400, "before the files"},
		{"cut off", func() (io.Reader, string) {
			body, media := form(t, nil, good)
			b, _ := io.ReadAll(body)
			return bytes.NewReader(b[:len(b)-40]), media
		}, 0, ""},
		{"a ragged row", func() (io.Reader, string) { return form(t, nil, map[string]string{"a.csv": "x,y\n1,2\n3\n"}) }, 400, "a.csv"},
		{"a path as name", func() (io.Reader, string) { return form(t, nil, map[string]string{"../../etc/x.csv": "x,y\n1,2\n"}) }, 0, ""},
		{"too large", func() (io.Reader, string) { return form(t, nil, map[string]string{"big.csv": csvData(200_000)}) }, 413, "1 MiB"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			var before, after dataset.Dataset
			w.as(t, "steward", "GET", "/datasets/health", nil).into(t, &before)
			body, media := tc.body()
			r := w.send(t, "steward", "POST", "/datasets/health/versions", media, body)
			if tc.status != 0 && r.status != tc.status || !strings.Contains(r.body, tc.says) {
				t.Errorf("got %d %s", r.status, r.body)
			}
			for _, leak := range []string{t.TempDir()[:5], "/datasets/", "staging", "multipart:"} {
				if r.status >= 400 && strings.Contains(r.body, leak) {
					t.Errorf("the answer tells %q: %s", leak, r.body)
				}
			}
			w.as(t, "steward", "GET", "/datasets/health", nil).into(t, &after)
			if made := after.Latest - before.Latest; (made == 1) != (r.status == 201) {
				t.Errorf("answered %d and made %d versions", r.status, made)
			}
		})
	}
}

func lateDictionary(t *testing.T) (io.Reader, string) {
	t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	part, err := m.CreateFormFile("file", "people.csv")
	if err == nil {
		_, err = io.WriteString(part, csvData(5))
	}
	if err == nil {
		err = m.WriteField("dictionary", "{}")
	}
	if err == nil {
		err = m.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return &b, m.FormDataContentType()
}

func TestUploadsTellHowFarTheyAre(t *testing.T) {
	w := newWorld(t)
	conn := w.listen(t, "steward", "dataset:"+w.dataset)
	body, media := form(t, nil, map[string]string{"people.csv": csvData(5000)})
	w.send(t, "steward", "POST", "/datasets/health/versions", media, body).want(t, 201)
	var e struct {
		Type string
		Data Progress
	}
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	if err := conn.ReadJSON(&e); err != nil || e.Type != "progress" || e.Data.Done == 0 {
		t.Errorf("%+v %v", e, err)
	}
	_ = conn.WriteControl(websocket.CloseMessage, nil, time.Now().Add(time.Second))
}

func TestProgressIsThinnedOut(t *testing.T) {
	at := time.Now()
	s := &Server{now: func() time.Time { return at }, Deps: Deps{Live: live.New()}}
	events, stop := s.Live.Subscribe("x", 100)
	defer stop()
	tell := s.progress("x")
	for i := range int64(1000) {
		tell(i, 5000)
	}
	at = at.Add(time.Second)
	tell(2000, 5000)
	tell(5000, 5000)
	if n := len(events); n != 3 {
		t.Errorf("%d events for 1002 steps, want 3", n)
	}
}

func TestImageUploads(t *testing.T) {
	w := newWorld(t)
	w.send(t, "operator", "POST", "/images?ref=tools/x:1", "application/x-tar", strings.NewReader("no archive at all")).want(t, 400)
	w.send(t, "operator", "POST", "/images", "application/x-tar", nil).want(t, 400)
	r := w.send(t, "operator", "POST", "/images", "application/x-tar", strings.NewReader(strings.Repeat("x", 2<<20)))
	if r.status != 413 && r.status != 400 {
		t.Errorf("got %d %s", r.status, r.body)
	}
	w.send(t, "researcher", "POST", "/images", "application/x-tar", strings.NewReader("x")).want(t, 403)
}

// TestRefusedUploadsGetTheirAnswer: a sender in the middle of a large body learns
// why it was refused, instead of a broken pipe.
func TestRefusedUploadsGetTheirAnswer(t *testing.T) {
	w := newWorld(t)
	pr, pw := io.Pipe()
	m := multipart.NewWriter(pw)
	go func() {
		part, err := m.CreateFormFile("file", "bad.csv")
		if err == nil {
			_, err = io.WriteString(part, "x,y\n1,2\n3\n")
		}
		for i := 0; err == nil && i < 6000; i++ {
			_, err = fmt.Fprintf(part, "%0100d,%d\n", i, i)
		}
		_ = pw.CloseWithError(m.Close())
	}()
	req, err := http.NewRequestWithContext(t.Context(), "POST", w.http.URL+prefix+"/datasets/health/versions", pr)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", m.FormDataContentType())
	req.AddCookie(&http.Cookie{Name: cookieName, Value: w.token(t, "steward")})
	if r := w.do(t, req).want(t, 400); !strings.Contains(r.body, "bad.csv") {
		t.Error(r.body)
	}
}

// TestConnectionsCanBeUsedAgain: what one request left of its body must not meet
// the next request of the same connection.
func TestConnectionsCanBeUsedAgain(t *testing.T) {
	w := newWorld(t)
	w.fill(t)
	for range 20 {
		w.as(t, "researcher", "POST", "/airlock/"+w.request+"/submit", `{}`).want(t, 409)
		w.as(t, "researcher", "POST", "/airlock/"+w.request+"/withdraw", strings.Repeat(" ", 100_000)+"{}")
		w.as(t, "researcher", "GET", "/home", nil).want(t, 200)
		body, media := form(t, map[string]string{"extra": "x"}, map[string]string{"people.csv": csvData(3000)})
		w.send(t, "steward", "POST", "/datasets/health/versions", media, body).want(t, 400)
		w.as(t, "researcher", "GET", "/home", nil).want(t, 200)
	}
	if strings.Contains(w.log.String(), "panic") {
		t.Error("the server panicked")
	}
}

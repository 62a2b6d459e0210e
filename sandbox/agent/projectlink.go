package agent

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"tresor/sandbox"
)

// projectLink speaks with the task service about the files of one folder.
type projectLink struct {
	base   string // address of the folder, with a slash at its end
	prefix string // of its files' paths in the project, with a slash, or empty
	client http.Client
	moved  int64 // bytes over the connections that are open
}

// linkBytes is after how many bytes fresh connections are made: the host ends those that carry much more.
const linkBytes = insideBytes / 4

// projectWait bounds one request, which carries at most one connection's bytes.
const projectWait = 2 * time.Minute

func newProjectLink(target string, dial func(context.Context) (net.Conn, error)) *projectLink {
	prefix := strings.TrimPrefix(strings.TrimPrefix(target, sandbox.ProjectFolder), "/")
	if prefix != "" {
		prefix += "/"
	}
	u := url.URL{Scheme: "http", Host: InsideName, Path: sandbox.ProjectFolder + "/" + prefix}
	return &projectLink{base: u.String(), prefix: prefix, client: http.Client{Timeout: projectWait, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }, MaxConnsPerHost: 2, IdleConnTimeout: 5 * time.Second, DisableCompression: true}}}
}

// remote is one file as the task service lists it.
type remote struct {
	Path       string    `json:"path"`
	SHA256     string    `json:"sha256"`
	Size       int64     `json:"size"`
	CreatedAt  time.Time `json:"created_at"`
	Executable bool      `json:"executable"`
}

// list answers the files that were written since the list with that tag, and the new tag.
// With nothing new it is one short answer.
func (l *projectLink) list(ctx context.Context, seen string, each func(remote) error) (tag string, err error) {
	for after := ""; ; {
		q := url.Values{}
		if seen != "" {
			q.Set("since", seen)
		}
		if after != "" {
			q.Set("after", after)
		}
		head := http.Header{}
		if tag == "" {
			head.Set("If-None-Match", seen)
		}
		resp, err := l.send(ctx, http.MethodGet, l.base+"?"+q.Encode(), head, nil)
		if err != nil {
			return "", err
		}
		if resp.StatusCode == http.StatusNotModified {
			resp.Body.Close()
			return seen, nil
		}
		if tag == "" {
			tag = resp.Header.Get("ETag")
		}
		var page struct {
			Files []remote `json:"files"`
			Next  string   `json:"next"`
		}
		err = json.NewDecoder(resp.Body).Decode(&page)
		resp.Body.Close()
		for _, f := range page.Files {
			if err == nil {
				err = each(f)
			}
		}
		if err != nil || page.Next == "" {
			return tag, err
		}
		after = page.Next
	}
}

// get copies one file to w, in pieces that a connection carries. The version has to stay the same all the time.
func (l *projectLink) get(ctx context.Context, name string, f remote, w io.Writer) error {
	for from := int64(0); from < f.Size || from == 0; {
		head := http.Header{"If-Match": {`"` + f.SHA256 + `"`}}
		if f.Size > linkBytes {
			head.Set("Range", fmt.Sprintf("bytes=%d-%d", from, min(from+linkBytes, f.Size)-1))
		}
		resp, err := l.send(ctx, http.MethodGet, l.base+escape(name), head, nil)
		if err != nil {
			return err
		}
		n, err := io.Copy(w, io.LimitReader(resp.Body, linkBytes))
		resp.Body.Close()
		l.count(n)
		if err != nil {
			return err
		}
		if from += n; n == 0 {
			break
		}
	}
	return nil
}

// count has fresh connections made before the host would end these.
func (l *projectLink) count(n int64) {
	if l.moved += n; l.moved >= linkBytes {
		l.client.CloseIdleConnections()
		l.moved = 0
	}
}

// put sends an archive that write fills, on a connection of its own.
func (l *projectLink) put(ctx context.Context, write func(*tar.Writer) error) error {
	pr, pw := io.Pipe()
	filled := make(chan error, 1)
	go func() {
		w := tar.NewWriter(pw)
		err := write(w)
		if err == nil {
			err = w.Close()
		}
		pw.CloseWithError(err)
		filled <- err
	}()
	l.client.CloseIdleConnections()
	resp, err := l.send(ctx, http.MethodPost, l.base, http.Header{"Content-Type": {"application/x-tar"}}, pr)
	pr.Close()
	ferr := <-filled
	if err == nil {
		resp.Body.Close()
		l.client.CloseIdleConnections()
		return ferr
	}
	var d *Denial
	if !errors.As(err, &d) && ferr != nil && !errors.Is(ferr, io.ErrClosedPipe) {
		return ferr // what we could not read, not that the request broke off for it
	}
	return err
}

// send asks once. Every answer but 200, 204, 206 and 304 is a Denial.
func (l *projectLink) send(ctx context.Context, method, at string, head http.Header, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, at, body)
	if err != nil {
		return nil, err
	}
	req.Header = head
	resp, err := l.client.Do(req)
	if err != nil {
		return nil, err
	}
	switch resp.StatusCode {
	case http.StatusOK, http.StatusNoContent, http.StatusPartialContent, http.StatusNotModified:
		return resp, nil
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(io.LimitReader(resp.Body, maxHead))
	return nil, l.denial(resp, b)
}

func (l *projectLink) denial(resp *http.Response, body []byte) error {
	var p struct{ Detail, Next string }
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&p); err != nil || p.Detail == "" {
		p.Detail = "The task service answered " + resp.Status + "."
	}
	name, err := url.PathUnescape(resp.Header.Get("Tresor-File"))
	if err != nil {
		name = ""
	}
	d := &Denial{Status: resp.StatusCode, Text: sandbox.Printable(strings.TrimSpace(p.Detail + " " + p.Next))}
	if rest, ok := strings.CutPrefix(name, l.prefix); ok {
		d.File = rest
	}
	return d
}

func escape(name string) string { return (&url.URL{Path: path.Clean(name)}).EscapedPath() }

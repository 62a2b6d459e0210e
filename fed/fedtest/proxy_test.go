package fedtest

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

// proxy is an HTTP proxy that only makes tunnels, as those of institutions are.
type proxy struct {
	url     *url.URL
	tunnels atomic.Int64
	refuse  atomic.Bool
}

func newProxy(t testing.TB) *proxy {
	p := &proxy{}
	s := httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(s.Close)
	p.url, _ = url.Parse(s.URL)
	return p
}

func (p *proxy) ask(*http.Request) (*url.URL, error) { return p.url, nil }

func (p *proxy) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect || p.refuse.Load() {
		http.Error(w, "not through here", http.StatusForbidden)
		return
	}
	out, err := net.Dial("tcp", r.Host)
	if err != nil {
		http.Error(w, "no", http.StatusBadGateway)
		return
	}
	p.tunnels.Add(1)
	in, _, _ := w.(http.Hijacker).Hijack()
	io.WriteString(in, "HTTP/1.1 200 OK\r\n\r\n")
	var wg sync.WaitGroup
	wg.Go(func() { io.Copy(out, in); out.Close(); in.Close() })
	io.Copy(in, out)
	in.Close()
	out.Close()
	wg.Wait()
}

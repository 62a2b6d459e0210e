package podman

import (
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestCreateWithoutRanges: Podman's reader of the ranges fails now and then when two creates
// meet; that is no failure of the host until it stays so.
func TestCreateWithoutRanges(t *testing.T) {
	for _, c := range []struct {
		name  string
		bad   int64
		says  string
		works bool
		calls int64
	}{
		{"never", 0, "", true, 1},
		{"twice", 2, "nomap requires additional UIDs or GIDs defined in /etc/subuid and /etc/subgid to function correctly", true, 3},
		{"always", 1 << 30, "nomap requires additional UIDs or GIDs defined in /etc/subuid and /etc/subgid to function correctly", false, 8},
		{"another refusal", 1 << 30, "out of memory", false, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var calls atomic.Int64
			socket := filepath.Join(t.TempDir(), "s")
			l, err := net.Listen("unix", socket)
			if err != nil {
				t.Fatal(err)
			}
			srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Libpod-API-Version", "4.3.1")
				if filepath.Base(r.URL.Path) == "create" && calls.Add(1) <= c.bad {
					w.WriteHeader(500)
					fmt.Fprintf(w, `{"message":%q}`, c.says)
				}
			})}
			t.Cleanup(func() { srv.Close() })
			go func() { _ = srv.Serve(l) }()
			r := &Runner{api: &client{socket: socket, hung: func() {}}}
			if err := r.create(t.Context(), body{}); (err == nil) != c.works || calls.Load() != c.calls {
				t.Fatalf("%v after %d calls", err, calls.Load())
			}
		})
	}
}

// TestCreatesDoNotMeet: the engine never sees two creates at once.
func TestCreatesDoNotMeet(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var now, met, calls atomic.Int64
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Libpod-API-Version", "4.3.1")
		if filepath.Base(r.URL.Path) != "create" {
			return
		}
		if now.Add(1) > 1 {
			met.Add(1)
		}
		time.Sleep(time.Millisecond) // gives the others time to come
		calls.Add(1)
		now.Add(-1)
	})}
	t.Cleanup(func() { srv.Close() })
	go func() { _ = srv.Serve(l) }()
	r := &Runner{api: &client{socket: socket, hung: func() {}}}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := r.create(t.Context(), body{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if met.Load() != 0 || calls.Load() != 20 {
		t.Errorf("%d of %d met another", met.Load(), calls.Load())
	}
}

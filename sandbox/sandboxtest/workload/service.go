package workload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// tesEnv names the variable with the address of the task service.
const tesEnv = "TRESOR_TES"

func (w World) service() (string, error) {
	for _, e := range w.Env {
		if v, ok := strings.CutPrefix(e, tesEnv+"="); ok {
			return v, nil
		}
	}
	return "", errors.New(tesEnv + " is not set")
}

// dial connects to the task service by its name, as any program would.
func (w World) dial(ctx context.Context) (net.Conn, error) {
	if w.Dial != nil {
		return w.Dial(ctx)
	}
	s, err := w.service()
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(s)
	if err != nil {
		return nil, err
	}
	host := u.Host
	if u.Port() == "" {
		host += ":80"
	}
	return new(net.Dialer).DialContext(ctx, "tcp", host)
}

// ask sends a request without a body to a path of the task service and prints the answer.
func (w World) ask(ctx context.Context, method, path string) error {
	s, err := w.service()
	if err != nil {
		return err
	}
	c := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return w.dial(ctx) }, DisableKeepAlives: true}}
	r, err := http.NewRequestWithContext(ctx, method, s+path, nil)
	if err != nil {
		return err
	}
	resp, err := c.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	fmt.Fprintf(w.Out, "%d %s\n", resp.StatusCode, b)
	return err
}

// dialMany connects n times, a hundred at once, each leaving in a bad way: at once, after half
// a request, after noise. It says how many connections were made.
func (w World) dialMany(ctx context.Context, n int) error {
	var wg sync.WaitGroup
	var made atomic.Int64
	work := make(chan int)
	for range 100 {
		wg.Go(func() {
			for i := range work {
				if w.rude(ctx, i) == nil {
					made.Add(1)
				}
			}
		})
	}
	for i := range n {
		work <- i
	}
	close(work)
	wg.Wait()
	_, err := fmt.Fprintf(w.Out, "connected %d\n", made.Load())
	return err
}

func (w World) rude(ctx context.Context, i int) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	conn, err := w.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if inFake(ctx) { // a pipe waits for its reader
		return nil
	}
	switch i % 4 {
	case 1:
		_, err = io.WriteString(conn, "GET /half HTTP/1.1\r\nHost: tes")
	case 2:
		_, err = conn.Write([]byte(strings.Repeat("\x00\xff\r\n", 4096)))
	case 3:
		if c, ok := conn.(*net.TCPConn); ok {
			_ = c.SetLinger(0) // a reset, not an end
		}
	}
	return err
}

// linger holds connections open without a word, says how many, and waits.
func (w World) linger(ctx context.Context) error {
	for i := range 40 {
		conn, err := w.dial(ctx)
		if err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		defer conn.Close()
	}
	fmt.Fprintln(w.Out, "holding")
	w.sleep(ctx, 200*time.Millisecond)
	return nil
}

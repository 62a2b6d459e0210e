package cli

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/net/websocket"
)

// follow shows the server's progress on a topic until the returned function is
// called. It is a courtesy: when the live socket does not answer, the work goes
// on without a bar.
func follow(ctx context.Context, e *env, topic, what string) (stop func()) {
	if !e.watched() || e.client.socket == "" {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		followTopic(ctx, e, topic, what)
	}()
	return func() { cancel(); <-done }
}

func followTopic(ctx context.Context, e *env, topic, what string) {
	ws, err := e.client.listen(ctx, topic)
	if err != nil {
		return
	}
	defer ws.Close()
	defer context.AfterFunc(ctx, func() { _ = ws.Close() })()
	var bar *progressbar.ProgressBar
	for {
		var ev struct {
			Type string
			Data struct{ Done, Total int64 }
		}
		if err := websocket.JSON.Receive(ws, &ev); err != nil {
			if bar != nil {
				_ = bar.Finish()
			}
			return
		}
		if ev.Type != "progress" {
			continue
		}
		if bar == nil {
			bar = newMeter(e, ev.Data.Total, what)
		}
		_ = bar.Set64(ev.Data.Done)
	}
}

// listen opens the live socket over the local one.
func (c *client) listen(ctx context.Context, topic string) (*websocket.Conn, error) {
	cfg, err := websocket.NewConfig(strings.Replace(c.base, "http", "ws", 1)+"/live"+query("topic", topic), strings.TrimSuffix(c.base, "/api/v1"))
	if err != nil {
		return nil, err
	}
	if c.as != "" {
		cfg.Header.Set("Tresor-As", c.as)
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.socket)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second)) // of the handshake only
	ws, err := websocket.NewClient(cfg, conn)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return ws, conn.SetDeadline(time.Time{})
}

// sending reads r and, once all of it was sent, follows the server's own work on
// topic. The returned function ends that.
func (e *env) sending(ctx context.Context, r io.Reader, topic, what string) (io.Reader, func()) {
	s := &sender{r: r, begin: func() func() { return follow(ctx, e, topic, what) }}
	return s, s.finish
}

// sender notices the end of what is sent. Read runs on the HTTP transport's
// goroutine, finish on the command's: mu guards stop and over.
type sender struct {
	r     io.Reader
	begin func() func()
	mu    sync.Mutex
	stop  func()
	over  bool
}

func (s *sender) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	if err == io.EOF {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.stop == nil && !s.over {
			s.stop = s.begin()
		}
	}
	return n, err
}

func (s *sender) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	if s.stop != nil {
		s.stop()
	}
}

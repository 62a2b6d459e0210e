package agent

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/yamux"
)

// InsideEnv names the variable that tells a command where its task service is.
const InsideEnv = "TRESOR_TES"

// InsideName is the host name of the task service in a container.
const InsideName = "tes.local"

// insideAddr is where the agent listens; the container's only network is its loopback.
const insideAddr = "127.0.0.1:80"

// door is the agent's end of the task service. It passes connections on as they are and understands
// none of them; only where a folder is kept in step with the project a Gate looks at each request.
type door struct {
	ctx     context.Context // ends with the command
	cancel  context.CancelFunc
	slots   chan struct{} // connections of the command
	streams chan struct{} // connections to the host that a Gate and a Project make

	mu      sync.Mutex
	session *yamux.Session // nil while the host is away
	changed chan struct{}
}

func newDoor() *door {
	ctx, cancel := context.WithCancel(context.Background())
	return &door{ctx: ctx, cancel: cancel, slots: make(chan struct{}, agentInside), streams: make(chan struct{}, agentInside), changed: make(chan struct{})}
}

// attach tells the door which session leads to the host.
func (d *door) attach(s *yamux.Session) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.session = s
	close(d.changed)
	d.changed = make(chan struct{})
}

// open listens and answers the address for the command. Where the port is not ours to
// take it listens on another. h answers the requests; nil passes connections on.
func (d *door) open(addr string, h http.Handler) (url string, err error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return "", err
		}
	}
	context.AfterFunc(d.ctx, func() { l.Close() })
	if h != nil {
		go d.answer(l, h)
	} else {
		go d.accept(l)
	}
	if port := l.Addr().(*net.TCPAddr).Port; port != 80 {
		return fmt.Sprintf("http://%s:%d", InsideName, port), nil
	}
	return "http://" + InsideName, nil
}

// close ends every connection and lets no more in.
func (d *door) close() { d.cancel() }

// accept takes a connection only when it has room for one, so that a flood waits in the kernel.
func (d *door) accept(l net.Listener) {
	for {
		select {
		case d.slots <- struct{}{}:
		case <-d.ctx.Done():
			return
		}
		conn, err := l.Accept()
		if err != nil {
			<-d.slots
			if d.ctx.Err() != nil {
				return
			}
			time.Sleep(50 * time.Millisecond) // no descriptor is free, say
			continue
		}
		go func() {
			defer func() { <-d.slots }()
			d.pass(conn)
		}()
	}
}

// hostAway is how long a connection waits for a host that is being restarted.
const hostAway = 10 * time.Second

// pass joins a connection with a stream of its own until the host has closed it.
func (d *door) pass(conn net.Conn) {
	defer conn.Close()
	stream, err := d.stream()
	if err != nil {
		return
	}
	defer stream.Close()
	defer context.AfterFunc(d.ctx, func() { conn.Close(); stream.Close() })()
	if !welcomed(stream) {
		return
	}
	go func() {
		_, err := io.Copy(stream, conn)
		_ = stream.Close() // the program says no more, and may still listen
		if err != nil {
			conn.Close()
		}
	}()
	_, _ = io.Copy(conn, stream)
}

func welcomed(s *yamux.Stream) bool {
	defer time.AfterFunc(3*insideGreet, func() { s.Close() }).Stop()
	if _, err := io.WriteString(s, insideHello); err != nil {
		return false
	}
	var answer [1]byte
	_, err := io.ReadFull(s, answer[:])
	return err == nil && answer[0] == insideWelcome
}

func (d *door) stream() (*yamux.Stream, error) {
	late := time.NewTimer(hostAway)
	defer late.Stop()
	for {
		d.mu.Lock()
		s, changed := d.session, d.changed
		d.mu.Unlock()
		if s != nil {
			if stream, err := s.OpenStream(); err == nil {
				return stream, nil
			}
		}
		select {
		case <-changed:
		case <-late.C:
			return nil, ErrGone
		case <-d.ctx.Done():
			return nil, ErrGone
		}
	}
}

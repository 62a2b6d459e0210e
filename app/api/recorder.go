package api

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"time"
)

// recorder remembers what was answered, for the access log and for errors that
// come after the answer began.
type recorder struct {
	http.ResponseWriter
	status   int
	hijacked bool
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Hijack hands the connection to a web socket.
func (w *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil {
		w.hijacked, w.status = true, http.StatusSwitchingProtocols
	}
	return conn, rw, err
}

// code is the status for the log: a handler that wrote nothing answered 200.
func (w *recorder) code() int {
	if w.status == 0 {
		return http.StatusOK
	}
	return w.status
}

// idleWithin is how long a sender or reader of a long body may pause.
const idleWithin = 60 * time.Second

// patient is a long request body: it may take hours, but each read has to bring
// something within idleWithin.
type patient struct {
	io.ReadCloser
	rc  *http.ResponseController
	now func() time.Time
}

func (p *patient) Read(b []byte) (int, error) {
	_ = p.rc.SetReadDeadline(p.now().Add(idleWithin)) // a test recorder has no deadlines
	return p.ReadCloser.Read(b)
}

// eager is a long answer: each write has to be taken within idleWithin.
type eager struct {
	w   http.ResponseWriter
	rc  *http.ResponseController
	now func() time.Time
}

func (e *eager) Write(b []byte) (int, error) {
	_ = e.rc.SetWriteDeadline(e.now().Add(idleWithin)) // a test recorder has no deadlines
	return e.w.Write(b)
}

// long returns a writer for a body of unknown length or duration.
func (c *call) long() *eager {
	return &eager{w: c.w, rc: http.NewResponseController(c.w), now: c.s.now}
}

package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/hashicorp/yamux"

	"tresor/sandbox"
)

// Stat is the agent's word on its command.
type Stat struct {
	Ended    bool  `json:"ended"`
	ExitCode int   `json:"exit_code"`
	TimedOut bool  `json:"timed_out"`
	Unplaced bool  `json:"unplaced,omitempty"` // the command never ran: its files could not be put in place
	Log      int64 `json:"log"`                // bytes that can be read
	Dropped  int64 `json:"dropped"`            // bytes beyond the cap
}

// greeting is the first line on a connection.
func greeting(ref, token string) string { return "tresor-agent/1 " + ref + " " + token + "\n" }

// serve dials the host for ever: it may be restarted at any time, and then listens again in the same place.
func (a *agent) serve(socket string) {
	pause := time.Millisecond
	for {
		if a.connect(socket) {
			pause = time.Millisecond
		}
		time.Sleep(pause)
		pause = min(pause*2, 250*time.Millisecond)
	}
}

func (a *agent) connect(socket string) bool {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return false
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, greeting(a.config.Ref, a.config.Token)); err != nil {
		return false
	}
	session, err := yamux.Server(conn, muxConfig())
	if err != nil {
		return false
	}
	defer session.Close()
	a.cmd.door.attach(session)
	defer a.cmd.door.attach(nil)
	srv := &http.Server{Handler: a.routes(), MaxHeaderBytes: 8 << 10, ReadHeaderTimeout: 30 * time.Second}
	_ = srv.Serve(session)
	return true
}

func muxConfig() *yamux.Config {
	c := yamux.DefaultConfig()
	c.LogOutput = io.Discard
	c.MaxStreamWindowSize = 1 << 20
	c.KeepAliveInterval = 15 * time.Second
	c.ConnectionWriteTimeout = 20 * time.Second
	return c
}

func (a *agent) routes() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /stat", a.getStat)
	m.HandleFunc("GET /wait", a.getWait)
	m.HandleFunc("GET /log", a.getLog)
	m.HandleFunc("GET /usage", a.getUsage)
	m.HandleFunc("GET /outputs", a.getOutputs)
	m.HandleFunc("POST /stop", a.postStop)
	m.HandleFunc("POST /done", a.postDone)
	return m
}

func (a *agent) stat() Stat {
	kept, dropped := a.spool.Size()
	a.cmd.mu.Lock()
	defer a.cmd.mu.Unlock()
	return Stat{Ended: a.cmd.ended(), ExitCode: a.cmd.code, TimedOut: a.cmd.timedOut, Unplaced: a.cmd.unplaced, Log: kept, Dropped: dropped}
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func (a *agent) getStat(w http.ResponseWriter, _ *http.Request) { answer(w, a.stat()) }

func (a *agent) getWait(w http.ResponseWriter, r *http.Request) {
	select {
	case <-a.cmd.over:
		answer(w, a.stat())
	case <-r.Context().Done():
	}
}

func (a *agent) getUsage(w http.ResponseWriter, _ *http.Request) { answer(w, usage()) }

// getLog streams the log from ?from= to the end of the command, in frames of one stream each. A stream that breaks off
// is not ended properly, so the host can tell it from the end.
func (a *agent) getLog(w http.ResponseWriter, r *http.Request) {
	from, err := strconv.ParseInt(r.URL.Query().Get("from"), 10, 64)
	if err != nil || from < 0 {
		http.Error(w, "from must be a position", http.StatusBadRequest)
		return
	}
	buf, frames := make([]byte, maxLogFrame), frameWriter{w}
	for {
		n, errs, grown, err := a.spool.Read(buf, from)
		switch {
		case n > 0:
			if err := frames.put(logKinds[index(errs)], buf[:n]); err != nil {
				return
			}
			from += int64(n)
			continue
		case errors.Is(err, io.EOF):
			return
		case err != nil:
			panic(http.ErrAbortHandler) // breaks the stream off
		}
		_ = http.NewResponseController(w).Flush()
		select {
		case <-grown:
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
}

func (a *agent) getOutputs(w http.ResponseWriter, _ *http.Request) {
	if !a.cmd.ended() {
		http.Error(w, "the command has not ended", http.StatusConflict)
		return
	}
	walk := Walker{Outputs: a.config.Outputs, Binds: a.config.Binds, Limits: sandbox.Limits{OutputFiles: a.config.Files, OutputBytes: a.config.Bytes}}
	emit := FrameEmitter{W: w}
	if err := walk.Walk(a.config.Scratch, emit); err != nil {
		panic(http.ErrAbortHandler)
	}
	for _, r := range a.cmd.project.Refused() {
		if err := emit.Refuse(r.Path, r.Reason); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
	if err := emit.Finish(); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// postStop answers when the command has ended.
func (a *agent) postStop(w http.ResponseWriter, r *http.Request) {
	grace, err := time.ParseDuration(r.URL.Query().Get("grace"))
	if err != nil || grace < 0 {
		http.Error(w, "grace must be a duration", http.StatusBadRequest)
		return
	}
	a.cmd.stop(grace)
	a.getWait(w, r)
}

// postDone lets the agent go. The answer leaves first.
func (a *agent) postDone(w http.ResponseWriter, _ *http.Request) {
	if !a.cmd.ended() {
		http.Error(w, "the command has not ended", http.StatusConflict)
		return
	}
	fmt.Fprintln(w, "{}")
	_ = http.NewResponseController(w).Flush()
	a.finish()
}

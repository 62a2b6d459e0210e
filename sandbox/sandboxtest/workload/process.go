package workload

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// memory touches n bytes and holds them for a moment.
func memory(ctx context.Context, n int64) error {
	if inFake(ctx) {
		return nil
	}
	var held [][]byte
	for ; n > 0; n -= 1 << 20 {
		b := make([]byte, 1<<20)
		for i := range b {
			b[i] = byte(i)
		}
		held = append(held, b)
	}
	time.Sleep(100 * time.Millisecond)
	_ = held
	return nil
}

// fork starts n processes that wait, and says how many it got.
func (w World) fork(ctx context.Context, n int) error {
	if inFake(ctx) {
		fmt.Fprintf(w.Out, "forked %d\n", n)
		return nil
	}
	for i := range n {
		p, err := os.StartProcess("/workload", []string{"/workload", "sleep", "5000"}, &os.ProcAttr{})
		if err != nil {
			fmt.Fprintf(w.Out, "forked %d: %v\n", i, err)
			return nil
		}
		_ = p.Release()
	}
	fmt.Fprintf(w.Out, "forked %d\n", n)
	return nil
}

// orphan leaves a process behind that would write a file after half a second.
func (w World) orphan(p string) error {
	c, err := os.StartProcess("/workload", []string{"/workload", "sleep", "500", "then", "write", p, "late"},
		&os.ProcAttr{Sys: &syscall.SysProcAttr{Setsid: true}})
	if err != nil {
		return err
	}
	return c.Release()
}

// stubborn ignores the request to end.
func (w World) stubborn(ctx context.Context) error {
	signal.Ignore(syscall.SIGTERM)
	fmt.Fprintln(w.Out, "ready")
	if inFake(ctx) {
		<-ctx.Done()
		return nil
	}
	time.Sleep(time.Minute)
	return nil
}

// spin uses the processor for a while and says how much of it it got, in milliseconds.
func (w World) spin(d time.Duration) error {
	for begin := time.Now(); time.Since(begin) < d; {
	}
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return err
	}
	fmt.Fprintln(w.Out, time.Duration(r.Utime.Nano()+r.Stime.Nano()).Milliseconds())
	return nil
}

// usurp dials as an impostor without a pause, so that it is first when the host has lost
// the agent, and says so when it is taken for the agent.
func (w World) usurp(ctx context.Context, d time.Duration) error {
	b, err := os.ReadFile("/run/tresor/config.json")
	if err != nil {
		return err
	}
	var c struct{ Ref, Token string }
	if err := json.Unmarshal(b, &c); err != nil {
		return err
	}
	fmt.Fprintln(w.Out, "ready")
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	for ctx.Err() == nil {
		conn, err := net.Dial("unix", "/run/tresor/s.sock")
		if err != nil {
			continue
		}
		fmt.Fprintf(conn, "tresor-agent/1 %s %s\n", c.Ref, c.Token)
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.ReadAll(conn); errors.Is(err, os.ErrDeadlineExceeded) {
			fmt.Fprintln(w.Out, "taken for the agent")
		}
		conn.Close()
	}
	return nil
}

// impostor pretends to be the agent: it knows the token, because it may read what the agent may.
func (w World) impostor() error {
	b, err := os.ReadFile("/run/tresor/config.json")
	if err != nil {
		return err
	}
	var c struct{ Ref, Token string }
	if err := json.Unmarshal(b, &c); err != nil {
		return err
	}
	conn, err := net.Dial("unix", "/run/tresor/s.sock")
	if err != nil {
		return err
	}
	defer conn.Close()
	fmt.Fprintf(conn, "tresor-agent/1 %s %s\n", c.Ref, c.Token)
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.ReadAll(conn); errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("not turned away: %w", err)
	}
	fmt.Fprintln(w.Out, "turned away")
	return nil
}

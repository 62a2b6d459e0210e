package hub

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"tresor/app/apptest/address"
	"tresor/fed/fedtest"
)

// childOf is set in the environment of a hub that is to be killed: folder, address
// and the name under which nodes dial, with blanks between.
const childOf = "TRESOR_TEST_HUB"

func TestMain(m *testing.M) {
	if words := strings.Fields(os.Getenv(childOf)); len(words) == 3 {
		child(words[0], words[1], words[2])
	}
	os.Exit(m.Run())
}

// child is a hub in a process of its own, until it is killed.
func child(dir, addr, host string) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	r := &rig{t: dies{}, dir: dir, pace: quickPace(), limits: fedtest.Lively(), url: "http://" + addr, hosts: []string{host, addr}}
	r.start()
	fmt.Println("up")
	_ = http.Serve(l, *r.handler.Load())
	os.Exit(1)
}

// dies ends the child when something fails in it.
type dies struct{ testing.TB }

func (dies) Helper() {}
func (dies) Fatal(args ...any) {
	fmt.Println(args...)
	os.Exit(1)
}

// process is a running child.
type process struct {
	cmd *exec.Cmd
}

func (r *rig) spawn(addr string) *process {
	r.t.Helper()
	p := &process{cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(os.Environ(), childOf+"="+r.dir+" "+addr+" "+r.relay.Host())
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	word := make([]byte, 2)
	if _, err := io.ReadFull(out, word); err != nil || string(word) != "up" {
		rest, _ := io.ReadAll(out)
		r.t.Fatalf("the hub did not come up: %s%s", word, rest)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return p
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// TestKillNine kills the hub's process again and again while clients send tasks
// and nodes work: every task that was acknowledged runs once at every node and its
// results arrive.
func TestKillNine(t *testing.T) {
	r := newRig(t)
	nodes := r.three()
	r.crash()
	addr := address.Free(t)
	r.relay.Target("ws://" + addr)
	p := r.spawn(addr)
	defer func() { p.kill() }()
	work, end := context.WithCancel(t.Context())
	var background sync.WaitGroup
	for _, n := range nodes {
		background.Go(func() { n.work(work) })
	}
	const each, clients = 10, 4
	made := make(chan string, each*clients)
	var senders sync.WaitGroup
	for w := range clients {
		senders.Go(func() {
			for i := range each {
				c := r.client()
				c.Base, c.Key = "http://"+addr+"/ga4gh/tes/v1", fmt.Sprintf("k%d-%d", w, i)
				for t.Context().Err() == nil {
					id, err := c.Create(t.Context(), r.task())
					if err == nil {
						made <- id
						break
					}
					time.Sleep(5 * time.Millisecond)
				}
			}
		})
	}
	for range 6 {
		time.Sleep(200 * time.Millisecond)
		p.kill()
		p = r.spawn(addr)
	}
	senders.Wait()
	close(made)
	seen := map[string]bool{}
	for id := range made {
		seen[id] = true
		r.untilDone(addr, id)
	}
	end()
	background.Wait()
	if len(seen) != each*clients {
		t.Errorf("%d tasks, want %d", len(seen), each*clients)
	}
	for _, n := range nodes {
		if n.creates != each*clients {
			t.Errorf("%s made %d tasks, want %d", n.name, n.creates, each*clients)
		}
	}
}

// work releases a result for whatever the node has, one step at a time.
func (n *fakeNode) work(ctx context.Context) {
	for ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
		n.do(func() {
			for _, x := range n.tasks {
				switch x.state {
				case "QUEUED":
					x.state = "RUNNING"
				case "RUNNING":
					x.release = "rel-" + x.id
					n.released[x.release] = "PLAIN " + x.release + " " + n.name
					x.state = "COMPLETE"
				}
			}
		})
	}
}

// untilDone waits for COMPLETE at the child and looks at every result.
func (r *rig) untilDone(addr, id string) {
	r.t.Helper()
	c := r.client()
	c.Base = "http://" + addr + "/ga4gh/tes/v1"
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		x, err := c.Get(r.t.Context(), id, "FULL")
		if err == nil && x.State == "COMPLETE" {
			for _, l := range x.Logs {
				b, err := c.Fetch(r.t.Context(), l.Metadata["results"])
				if err != nil || !strings.HasSuffix(string(b), " "+l.Metadata["node"]) {
					r.t.Errorf("result of %s: %q, %v", l.Metadata["node"], b, err)
				}
			}
			return
		}
		if time.Now().After(end) {
			r.t.Fatalf("the task %s did not end: %+v, %v", id, x, err)
		}
	}
}

package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tresor/app/fault"
)

// The people of the federation demonstration beside those of each node.
const (
	hubResearcher = "hanna" // at the hub: sends the task
	nodeLead      = "lena"  // at each node: lets the hub into the project
)

func demoFederation(e *env) *cobra.Command {
	var nodes []string
	var wait time.Duration
	c := &cobra.Command{Use: "federation", Short: "Send one task over a hub to several nodes, release at each, pool the results", Args: cobra.NoArgs,
		Long: `Works with a hub (--data) that was started by ` + "`tresor hub serve`" + ` and nodes (--node) that were
started by ` + "`tresor serve --demo`" + ` on this machine. It enrols the nodes, lets each node's project
lead admit the hub, sends one task as a researcher of the hub, has each node's checkers
review and release, verifies every release from outside and prints the pooled table
and the root of each node's audit log.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if len(nodes) == 0 {
				return fault.WithNext(fault.New("cli.demo", fault.Invalid, "There is no node."), "Name each node's data folder with --node.")
			}
			ctx, cancel := context.WithTimeout(c.Context(), 15*time.Minute)
			defer cancel()
			f := &fedRun{e: e, began: time.Now()}
			for i, dir := range nodes {
				abs, err := filepath.Abs(dir)
				if err != nil {
					return fault.Kinded("cli.demo", fault.Invalid, err, "%q is not a usable folder.", dir)
				}
				f.nodes = append(f.nodes, f.node(fmt.Sprintf("node-%d", i+1), abs))
			}
			return f.run(ctx, wait)
		}}
	c.Flags().StringArrayVar(&nodes, "node", nil, "data folder of a node (repeat)")
	c.Flags().DurationVar(&wait, "wait", 60*time.Second, "how long to wait for each server")
	return c
}

// fedRun is one unattended pass: a hub, its researcher, and nodes.
type fedRun struct {
	e       *env
	began   time.Time
	hub     *client
	address string // of the hub, for nodes and for the task service
	project string // id at the hub
	token   string
	task    string
	nodes   []*fedNode
}

// fedNode is one node with its own people.
type fedNode struct {
	*demoRun
	name string
	id   string // at the hub
	pool []pooled
	root string
}

// pooled is one row of a node's result.
type pooled struct {
	group               string
	personYears, visits int64
}

func (f *fedRun) node(name, dir string) *fedNode {
	e := *f.e
	e.data, e.client, e.out = dir, newClient(filepath.Join(dir, "run", "admin.sock"), ""), &prefixed{w: f.e.out, prefix: name}
	return &fedNode{demoRun: &demoRun{e: &e, began: f.began}, name: name}
}

// prefixed says which node a line is about.
type prefixed struct {
	w      io.Writer
	prefix string
}

func (p *prefixed) Write(b []byte) (int, error) {
	for line := range strings.Lines(string(b)) {
		if len(line) > 9 && strings.Contains(line[:9], "s  ") {
			line = line[:9] + p.prefix + ": " + line[9:]
		}
		if _, err := io.WriteString(p.w, line); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

func (f *fedRun) say(format string, args ...any) {
	fmt.Fprintf(f.e.out, "%6.1fs  %s\n", time.Since(f.began).Seconds(), fmt.Sprintf(format, args...))
}

func (f *fedRun) run(ctx context.Context, wait time.Duration) error {
	f.hub = f.e.client
	if err := f.awaitHub(ctx, wait); err != nil {
		return err
	}
	for _, n := range f.nodes {
		if err := n.await(ctx, wait); err != nil {
			return err
		}
	}
	for _, step := range []func(context.Context) error{f.prepareHub, f.enrol, f.admit, f.send, f.releaseAll, f.gather, f.roots} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	f.print()
	return nil
}

func (f *fedRun) awaitHub(ctx context.Context, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		var over struct {
			Name    string `json:"name"`
			Address string `json:"address"`
		}
		err := f.hub.do(ctx, http.MethodGet, "/hub", nil, &over)
		if err == nil {
			f.address = over.Address
			f.say("the hub is ready: %s at %s", over.Name, over.Address)
			return nil
		}
		if !pause(ctx, 200*time.Millisecond) {
			return fault.WithNext(fault.Kinded("cli.demo", fault.Unavailable, err, "The hub was not ready after %s: %s", wait, fault.Message(err)), "Read its log.")
		}
	}
}

// pause reports whether the time went by before ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// actingAs is a client of the same server that acts for somebody (local socket only).
func (c *client) actingAs(handle string) *client {
	other := *c
	other.as = handle
	return &other
}

// roots verifies each node's audit log and keeps its root.
func (f *fedRun) roots(ctx context.Context) error {
	for _, n := range f.nodes {
		var own logSource
		report, err := own.verify(ctx, n.e)
		if err != nil {
			return tampered(err)
		}
		n.root = fmt.Sprintf("%s (%d events)", report.Root, report.Events)
	}
	return nil
}

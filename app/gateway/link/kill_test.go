package link

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tresor/app/apptest/address"
	"tresor/app/audit"
	"tresor/app/gateway"
	"tresor/app/store"
	"tresor/fed/fedtest"
	fedhub "tresor/fed/hub"
	"tresor/fed/task"
	"tresor/fed/trust"
	"tresor/fed/wire"
	"tresor/plugins/protocol"
)

// TestMain lets the test binary be a hub and a node that can be killed.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "child-node" {
		childNode(os.Args[2])
		return
	}
	if len(os.Args) == 4 && os.Args[1] == "child-hub" {
		childHub(os.Args[2], os.Args[3])
		return
	}
	os.Exit(m.Run())
}

func die(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// counter is a gateway in a database: one task for each order, and a line for
// each time that it was asked.
type counter struct {
	*desk
	db *store.DB
}

func (c counter) Serve(ctx context.Context, _ gateway.Plugins, _ gateway.Caller, _ string, r protocol.Request) (protocol.Response, error) {
	time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond)
	err := c.db.Update(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(`INSERT INTO asked (id) VALUES (?)`, r.RemoteID); err != nil {
			return err
		}
		_, err := tx.Exec(`INSERT INTO made (id) VALUES (?) ON CONFLICT DO NOTHING`, r.RemoteID)
		return err
	})
	if err != nil {
		return protocol.Response{}, err
	}
	time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond)
	return protocol.Response{Status: 200, Body: []byte("made " + r.RemoteID)}, nil
}

// childNode is this appliance's end as a process, over the data of a rig.
func childNode(dir string) {
	ctx := context.Background()
	db, err := store.Open(ctx, filepath.Join(dir, "tresor.db"), store.Options{})
	die(err)
	die(db.Update(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(`CREATE TABLE IF NOT EXISTS asked (id TEXT NOT NULL)`); err != nil {
			return err
		}
		_, err := tx.Exec(`CREATE TABLE IF NOT EXISTS made (id TEXT PRIMARY KEY)`)
		return err
	}))
	log, err := audit.Open(ctx, db, filepath.Join(dir, "audit.key"), "tresor/test")
	die(err)
	d := newDesk()
	d.principals["principal-1"] = &gateway.Principal{ID: "principal-1", Kind: gateway.Hub, State: gateway.Active}
	r := &rig{dir: dir, db: db, log: log, desk: d}
	deps := r.deps()
	deps.Gateway = counter{d, db}
	s, err := Open(ctx, deps)
	die(err)
	die(s.Run(ctx))
}

// outbox is what a hub keeps on its disk: its key, its peers, its sequences, and
// each envelope with its receipt.
type outbox struct {
	*fedtest.Store
	dir string
	mu  sync.Mutex
}

func (o *outbox) keep(name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	tmp := filepath.Join(o.dir, name+".tmp")
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(o.dir, name)) // a kill of the process alone loses nothing that was written
}

func (o *outbox) load(name string, v any) bool {
	b, err := os.ReadFile(filepath.Join(o.dir, name))
	return err == nil && json.Unmarshal(b, v) == nil
}

// Next implements hub.Sequences.
func (o *outbox) Next(_ context.Context, _ wire.KeyID) (uint64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var n uint64
	o.load("sequence", &n)
	return n + 1, o.keep("sequence", n+1)
}

// childHub is a hub as a process: it sends every order that has no receipt yet.
func childHub(dir, addr string) {
	o := &outbox{Store: fedtest.NewStore(), dir: dir}
	var seed []byte
	var peers []trust.Peer
	if !o.load("seed", &seed) || !o.load("peers", &peers) {
		die(errors.New("nothing in the outbox"))
	}
	for _, p := range peers {
		die(o.PutPeer(context.Background(), p))
	}
	book, err := trust.Open(context.Background(), o, time.Now)
	die(err)
	key := ed25519.NewKeyFromSeed(seed)
	h := fedhub.New(fedhub.Options{Name: "Hub", Identity: func() fedhub.Identity { return fedhub.Identity{Key: key} }, Hosts: []string{addr},
		Book: book, Sequences: o, Now: time.Now, Log: slog.New(slog.DiscardHandler), Limits: fedtest.Lively()})
	l, err := net.Listen("tcp", addr)
	die(err)
	go func() { die(http.Serve(l, h)) }()
	names, err := filepath.Glob(filepath.Join(dir, "order-*"))
	die(err)
	slices.Sort(names)
	next := make(chan string)
	for range 4 {
		go func() {
			for name := range next {
				die(o.send(h, peers[0].ID, strings.TrimPrefix(filepath.Base(name), "order-")))
			}
		}()
	}
	for _, name := range names {
		next <- name
	}
	select {}
}

func (o *outbox) send(h *fedhub.Hub, node wire.KeyID, id string) error {
	var done string
	if o.load("receipt-"+id, &done) {
		return nil
	}
	var text []byte
	if !o.load("envelope-"+id, &text) {
		body, err := create("{}").Encode()
		if err != nil {
			return err
		}
		e, err := h.Issue(context.Background(), node, fedhub.Order{ID: id, Kind: task.KindHTTP, Body: body})
		if err != nil {
			return err
		}
		if text, err = e.Encode(); err != nil {
			return err
		}
		if err := o.keep("envelope-"+id, text); err != nil {
			return err
		}
	}
	e, err := wire.DecodeEnvelope(text)
	if err != nil {
		return err
	}
	r, err := fedtest.Deliver(context.Background(), h, time.Now, e)
	if err != nil {
		return o.keep("receipt-"+id, "ERROR "+err.Error())
	}
	a, err := task.DecodeAnswer(r.Result)
	if err != nil {
		return err
	}
	return o.keep("receipt-"+id, string(a.Body))
}

// child is one process that is killed and started again.
type child struct {
	t    *testing.T
	args []string
	cmd  *exec.Cmd
}

func (c *child) start() {
	c.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		c.t.Fatal(err)
	}
	c.cmd = exec.Command(exe, c.args...)
	c.cmd.Stderr = os.Stderr
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
}

func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

// TestKillsOfHubAndNode kills hub and node, alone and together, in whatever state
// they are: every order gets its answer, and is one task.
func TestKillsOfHubAndNode(t *testing.T) {
	r := newRig(t)
	h := fedtest.StartHub(t, fedtest.Lively())
	id := r.join(h)
	if err := r.Confirm(t.Context(), operator, id); err != nil {
		t.Fatal(err)
	}
	r.end()
	_ = r.db.Close()
	addr := address.Free(t)
	box := &outbox{dir: t.TempDir()}
	for name, v := range map[string]any{"seed": h.Key.Seed(), "peers": h.Book.Peers()} {
		if err := box.keep(name, v); err != nil {
			t.Fatal(err)
		}
	}
	orders, kills := 300, 40
	if testing.Short() {
		orders, kills = 60, 10
	}
	var ids []string
	for i := range orders {
		id := fmt.Sprintf("kill-%03d", i)
		ids = append(ids, id)
		if err := box.keep("order-"+id, true); err != nil {
			t.Fatal(err)
		}
	}
	// The node goes on with the hub's new address, as its pinned key is the same.
	retarget(t, r.dir, "ws://"+addr+wire.LinkPath)
	hub, node := &child{t: t, args: []string{"child-hub", box.dir, addr}}, &child{t: t, args: []string{"child-node", r.dir, "-"}}
	hub.start()
	node.start()
	defer func() { hub.kill(); node.kill() }()
	for range kills {
		time.Sleep(time.Duration(20+rand.IntN(300)) * time.Millisecond)
		for _, c := range [][]*child{{hub}, {node}, {hub, node}}[rand.IntN(3)] {
			c.kill()
			c.start()
		}
	}
	receipts := map[string]string{}
	for end := time.Now().Add(5 * time.Minute); len(receipts) < orders && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		for _, id := range ids {
			var text string
			if box.load("receipt-"+id, &text) {
				receipts[id] = text
			}
		}
	}
	node.kill()
	for _, id := range ids {
		if receipts[id] != "made "+id {
			t.Errorf("%s: %q", id, receipts[id])
		}
	}
	made, asked := read(t, r.dir)
	if !slices.Equal(slices.Sorted(maps.Keys(made)), ids) {
		t.Errorf("%d tasks of %d orders", len(made), orders)
	}
	t.Logf("%d orders, %d kills, the gateway was asked %d times", orders, kills, asked)
	// What has its receipt is never asked of the gateway again.
	for _, id := range ids {
		_ = os.Remove(filepath.Join(box.dir, "receipt-"+id))
	}
	hub.kill()
	node.start()
	hub.start()
	fedtest.Until(t, "all are answered from the ledger", func() bool {
		left, _ := filepath.Glob(filepath.Join(box.dir, "receipt-*"))
		return len(left) == orders
	})
	node.kill()
	if _, again := read(t, r.dir); again != asked {
		t.Errorf("the gateway was asked %d times more", again-asked)
	}
	r.openDB()
	r.open()
}

func retarget(t *testing.T, dir, url string) {
	t.Helper()
	db := openStore(t, filepath.Join(dir, "tresor.db"))
	defer db.Close()
	err := db.Update(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE link_peer SET peer = json_set(peer, '$.url', ?)`, url)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// read gives the tasks that were made and how often the gateway was asked.
func read(t *testing.T, dir string) (map[string]bool, int) {
	t.Helper()
	db := openStore(t, filepath.Join(dir, "tresor.db"))
	defer db.Close()
	made, asked := map[string]bool{}, 0
	err := db.View(t.Context(), func(tx *store.Tx) error {
		if err := tx.QueryRow(`SELECT count(*) FROM asked`).Scan(&asked); err != nil {
			return err
		}
		rows, err := tx.Query(`SELECT id FROM made`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				return err
			}
			made[id] = true
		}
		return rows.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	return made, asked
}

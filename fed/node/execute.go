package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"tresor/fed/trust"
	"tresor/fed/wire"
)

// Order is an envelope that was verified and claimed.
type Order struct {
	Hub     trust.Peer
	ID      string
	Seq     uint64
	Kind    string
	Body    []byte
	Expires time.Time
}

// Execute does what an order asks and gives the answer, at most wire.MaxBody
// bytes. A *wire.Refusal is the answer too; any other error is logged and the
// hub is told only that the node broke. The context ends with the node, not with
// the hub's request: a broken link does not break a task.
type Execute func(ctx context.Context, o Order) ([]byte, error)

// ErrLater is an Execute's answer when the order could not be done now: its end is
// not recorded, and the hub is told to send it again. Only for a Door with Again.
var ErrLater = errors.New("the order cannot be done now")

// MaxRunning is how many orders of one hub are executed at once.
const MaxRunning = 128

// executor turns envelopes into orders, each at most once.
type executor struct {
	o   Options
	ctx context.Context
	wg  sync.WaitGroup

	gate   sync.RWMutex // held to read from the check of closed until the run counts in wg
	closed bool

	mu      sync.Mutex // guards what follows
	desks   map[wire.KeyID]*desk
	running map[string]*run // hub/id
	count   map[wire.KeyID]int
}

// desk is where the orders of one hub come in.
type desk struct {
	claim sync.Mutex    // held over one claim
	large chan struct{} // a place for each large body that is held
	kept  atomic.Int64  // bytes that the ledger keeps, about; < 0: not counted yet
}

// run is one order being executed.
type run struct {
	done chan struct{} // closed when it ended
	end  *Entry        // set before that; nil when the end could not be recorded
}

func newExecutor(ctx context.Context, o Options) *executor {
	return &executor{o: o, ctx: ctx, desks: map[wire.KeyID]*desk{}, running: map[string]*run{}, count: map[wire.KeyID]int{}}
}

// wait lets no more orders begin and waits for those that run.
func (x *executor) wait() {
	x.gate.Lock()
	x.closed = true
	x.gate.Unlock()
	x.wg.Wait()
}

// take claims a verified envelope with its body, executes or waits, and gives the
// encoded receipt.
func (x *executor) take(ctx context.Context, hub trust.Peer, e *wire.Envelope, d Door) ([]byte, error) {
	prior, running, err := x.begin(ctx, hub, e, d)
	if err != nil {
		return nil, err
	}
	if running != nil {
		if err := x.await(ctx, running.done); err != nil {
			return nil, err
		}
		prior = running.end
		if prior == nil && d.Again != nil {
			return nil, wire.Refuse(wire.CodeBusy, "the node could not do this order now: send the same envelope again")
		}
	}
	return answer(prior, e)
}

// verified checks everything that does not need the ledger.
func (x *executor) verified(hub trust.Peer, data []byte) (*wire.Envelope, error) {
	e, err := wire.DecodeEnvelope(data)
	if err != nil {
		return nil, err
	}
	signer, key, err := x.o.Book.ByKey(e.Hub)
	if err != nil {
		return nil, err
	}
	if signer.ID != hub.ID {
		return nil, wire.Refuse(wire.CodeOtherHub, "the envelope was made by another hub than the one that brought it")
	}
	if err := e.Verify(key); err != nil {
		return nil, err
	}
	if !x.o.Identity().is(e.Node) {
		return nil, wire.Refuse(wire.CodeOther, "the envelope is for another node")
	}
	return e, e.Fresh(x.o.Now())
}

// begin claims the envelope and starts it. It gives the prior entry of one that
// ended, or the run of one that runs.
func (x *executor) begin(ctx context.Context, hub trust.Peer, e *wire.Envelope, d Door) (*Entry, *run, error) {
	desk := x.deskOf(hub.ID)
	desk.claim.Lock()
	defer desk.claim.Unlock()
	x.gate.RLock()
	defer x.gate.RUnlock()
	if x.closed || x.ctx.Err() != nil {
		return nil, nil, wire.Refuse(wire.CodeBusy, "the node is stopping: send the envelope again later")
	}
	if x.runsOf(hub.ID) >= MaxRunning && x.runs(hub.ID, e.ID) == nil {
		return nil, nil, wire.Refuse(wire.CodeBusy, "the node executes %d orders of this hub now: send the envelope again later", MaxRunning)
	}
	if err := x.room(ctx, hub.ID, desk); err != nil {
		return nil, nil, err
	}
	mark, err := x.o.Ledger.Mark(ctx, hub.ID)
	if err != nil {
		return nil, nil, err
	}
	if e.Seq <= mark.Floor || e.Seq+wire.Window <= mark.Highest {
		return nil, nil, wire.Refuse(wire.CodeStale, "the envelope comes too late after others (sequence %d, now %d): send the task in a new one", e.Seq, mark.Highest)
	}
	// Looked up before the claim: a run that is gone by then has recorded its end.
	running := x.runs(hub.ID, e.ID)
	prior, err := x.o.Ledger.Claim(ctx, entry(hub, e, x.o.Now()))
	if err != nil {
		return nil, nil, err
	}
	if prior == nil {
		desk.kept.Add(EntrySize)
		return nil, x.start(hub, e, d.Execute), nil
	}
	if prior.ID != e.ID || prior.Digest != e.Digest() {
		return nil, nil, wire.Refuse(wire.CodeConflict, "the id or sequence of the envelope was used for another one: use new ones")
	}
	if prior.Done.IsZero() && running == nil && d.Again != nil {
		return nil, x.start(hub, e, d.Again), nil
	}
	return prior, running, nil
}

// room refuses a hub of which the ledger keeps too much already.
func (x *executor) room(ctx context.Context, hub wire.KeyID, d *desk) error {
	kept := d.kept.Load()
	if kept < 0 {
		var err error
		if kept, err = x.o.Ledger.Kept(ctx, hub); err != nil {
			return err
		}
		d.kept.Store(kept)
	}
	if kept >= MaxKept {
		return wire.Refuse(wire.CodeBusy, "the node keeps %d MiB of this hub's orders, and no more until the oldest have expired: send the envelope again later", MaxKept>>20)
	}
	return nil
}

// recount lets the ledger be asked again how much it keeps.
func (x *executor) recount() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, d := range x.desks {
		d.kept.Store(-1)
	}
}

func entry(hub trust.Peer, e *wire.Envelope, now time.Time) Entry {
	return Entry{Hub: hub.ID, ID: e.ID, Seq: e.Seq, Digest: e.Digest(), Kind: e.Kind, Claimed: now, Expires: time.UnixMilli(e.Expires)}
}

func (x *executor) deskOf(hub wire.KeyID) *desk {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.desks[hub] == nil {
		d := &desk{large: make(chan struct{}, MaxLargeAtOnce)}
		d.kept.Store(-1)
		x.desks[hub] = d
	}
	return x.desks[hub]
}

func (x *executor) runs(hub wire.KeyID, id string) *run {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.running[string(hub)+"/"+id]
}

// runsOf counts the orders of a hub that run.
func (x *executor) runsOf(hub wire.KeyID) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.count[hub]
}

// start executes in the node's own time.
func (x *executor) start(hub trust.Peer, e *wire.Envelope, do Execute) *run {
	r, name := &run{done: make(chan struct{})}, string(hub.ID)+"/"+e.ID
	x.mu.Lock()
	x.running[name] = r
	x.count[hub.ID]++
	x.mu.Unlock()
	x.wg.Go(func() {
		r.end = x.finish(hub, e, do)
		x.mu.Lock()
		delete(x.running, name)
		x.count[hub.ID]--
		x.mu.Unlock()
		close(r.done)
	})
	return r
}

// finish executes and records the end; nil when it could not be recorded, as a
// receipt that is not durable is none, and when the node ended before the order. It records with a context of its own, so
// that a node that stops still keeps what its tasks did.
func (x *executor) finish(hub trust.Peer, e *wire.Envelope, do Execute) *Entry {
	end := entry(hub, e, x.o.Now())
	result, err := x.call(Order{Hub: hub, ID: e.ID, Seq: e.Seq, Kind: e.Kind, Body: e.Content(), Expires: end.Expires}, do)
	if err != nil && (x.ctx.Err() != nil || errors.Is(err, ErrLater)) {
		return nil // cut short by the end of the node, or not done: not known to have ended
	}
	end.Done, end.Result = x.o.Now(), result
	if err != nil {
		r := refusalOf(err)
		end.Code, end.Text, end.Result = r.Code, r.Text, nil
		if r.Code == wire.CodeFailed {
			x.o.Log.Error("task of a hub failed", "hub", hub.Name, "id", e.ID, "err", err)
		}
	}
	if err := x.o.Ledger.Finish(context.WithoutCancel(x.ctx), end); err != nil {
		x.o.Log.Error("the end of a hub's task was not recorded", "hub", hub.Name, "id", e.ID, "err", err)
		return nil
	}
	x.deskOf(hub.ID).kept.Add(int64(len(end.Text) + len(end.Result)))
	return &end
}

func (x *executor) call(o Order, do Execute) (result []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("execute panicked: %v", p)
		}
	}()
	result, err = do(x.ctx, o)
	if err == nil && len(result) > wire.MaxBody {
		err = wire.Refuse(wire.CodeSize, "the answer has %d bytes, at most %d are allowed", len(result), wire.MaxBody)
	}
	return result, err
}

// refusalOf makes an error of Execute an answer. The answer is recorded, so it
// must not have a code that tells the hub to ask again.
func refusalOf(err error) *wire.Refusal {
	var r *wire.Refusal
	if !errors.As(err, &r) {
		return wire.Refuse(wire.CodeFailed, "the node broke while it took this task: its operator finds why in its log")
	}
	if !r.Code.Final() {
		return wire.Refuse(wire.CodeFailed, "%s", r.Text)
	}
	return r
}

// await waits for a running task as long as the hub's request and Patience last.
func (x *executor) await(ctx context.Context, done chan struct{}) error {
	t := time.NewTimer(x.o.Patience)
	defer t.Stop()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return wire.Refuse(wire.CodeRunning, "the task is being executed: send the same envelope again to learn its end")
	}
}

// answer repeats the recorded end.
func answer(prior *Entry, e *wire.Envelope) ([]byte, error) {
	switch {
	case prior == nil || prior.Done.IsZero():
		return nil, wire.Refuse(wire.CodeInterrupted, "the node stopped while it executed this task, or could not record its end: ask for the task's state before you send it under a new id")
	case prior.Code != "":
		return nil, wire.Refuse(prior.Code, "%s", prior.Text)
	}
	return wire.NewReceipt(e.ID, e.Seq, prior.Done, prior.Result).Encode()
}

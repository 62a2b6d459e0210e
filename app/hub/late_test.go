package hub

import (
	"io"
	"net/http"
	"os"
	"testing"
	"time"

	"tresor/app/store"
	"tresor/fed/node"
	"tresor/fed/wire"
)

// TestOvertaken: an order that waited while thousands of others went before it gets a
// new place; one that no place helps ends.
func TestOvertaken(t *testing.T) {
	for name, c := range map[string]struct {
		last  uint64 // sequence that the hub gave out meanwhile
		state string
	}{
		"by orders of this hub":                       {2 * wire.Window, accepted},
		"by orders that this hub's copy knows not of": {5, denied},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			n := newFakeNode(t, "north")
			r.enrol(n)
			id := r.create("")
			_, err := n.Ledger.Claim(t.Context(), node.Entry{Hub: n.Hub, ID: "other", Seq: 2 * wire.Window, Expires: time.Now().Add(time.Hour)})
			must(t, err)
			must(t, r.db.Update(t.Context(), func(tx *store.Tx) error {
				_, err := tx.Exec(`UPDATE hub_sequence SET last = ?`, c.last)
				return err
			}))
			n.connect(r)
			r.untilPart(id, "north", c.state, func(p Part) bool { return p.Delivery == c.state })
			if p := r.part(id, "north"); (p.Code == "stale") != (c.state == denied) || n.count() > 1 {
				t.Errorf("%+v, %d tasks", p, n.count())
			}
		})
	}
}

// TestAResultThatComesTooLate: what was being fetched when its node was revoked is not
// kept, and is fetched no more when a node is back.
func TestAResultThatComesTooLate(t *testing.T) {
	r := newRig(t)
	n := newFakeNode(t, "north")
	began := make(chan struct{}, 100)
	n.lie = lieAt("/releases/", func(w http.ResponseWriter, q *http.Request) {
		began <- struct{}{}
		<-q.Context().Done()
	})
	r.enrol(n)
	n.connect(r)
	id := r.create("")
	n.release("late")
	<-began
	w := &worker{s: r.s, node: string(n.ID)}
	must(t, w.refuse(t.Context(), part{task: id, node: w.node}, "revoked", "The node was revoked.", ""))
	must(t, w.keepResult(t.Context(), wantedResult{task: id, release: "rel-north"}, got{file: tempFile(t, r), sha256: "00", size: 1}))
	if onDisk(r.resultPath(id, n)) {
		t.Error("the zip stayed")
	}
	more, err := w.fetchAll(t.Context())
	if more || err != nil {
		t.Errorf("it is still wanted: %v", err)
	}
}

func tempFile(t *testing.T, r *rig) string {
	f, err := os.CreateTemp(r.s.Results, ".in-*")
	must(t, err)
	must(t, f.Close())
	return f.Name()
}

// TestTheDiskFillsUp: others write to it too, so the room is looked at on the way.
func TestTheDiskFillsUp(t *testing.T) {
	var room int64 = 3 * lookEvery
	looks := 0
	d := &disk{w: io.Discard, room: func() (int64, error) {
		if looks++; room <= 0 {
			return 0, &localFault{errFull}
		}
		return room, nil
	}}
	piece := make([]byte, lookEvery/4)
	for i := 1; ; i++ {
		n, err := d.Write(piece)
		if err != nil {
			if !isLocal(err) || i != 13 || looks != 4 {
				t.Errorf("%v at %d after %d looks", err, i, looks)
			}
			break
		}
		room -= int64(n)
	}
	room = int64(len(piece)) - 1
	if _, err := d.Write(piece); !isLocal(err) {
		t.Errorf("more than there is room for: %v", err)
	}
}

package link

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"sync"
	"time"

	"tresor/app/fault"
	"tresor/app/keyfile"
	"tresor/fed/node"
	"tresor/fed/wire"
)

// keyring is the node's key, with the next one while a rotation is under way.
type keyring struct {
	path string

	mu   sync.Mutex
	ring ring
	next *wire.Succession // made from ring; nil when no rotation is under way
}

// ring is the file. Seeds are those of Ed25519.
type ring struct {
	Version int          `json:"version"`
	Seed    []byte       `json:"seed"`
	Next    []byte       `json:"next,omitempty"`
	Until   int64        `json:"until,omitempty"` // of the overlap, Unix milliseconds
	Past    []wire.KeyID `json:"past,omitempty"`
}

// openKeys reads the file, making it with a new key at first use.
func openKeys(path string) (*keyring, error) {
	k := &keyring{path: path}
	data, err := keyfile.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		k.ring = ring{Version: 1, Seed: newSeed()}
		return k, keyfile.Make(path, k.ring.encode())
	}
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	err = dec.Decode(&k.ring)
	if err == nil {
		if _, err = dec.Token(); err == io.EOF {
			err = nil
		} else if err == nil {
			err = errors.New("there is something after the key")
		}
	}
	if err != nil || !k.ring.whole() {
		return nil, fault.WithNext(fault.Kinded("link.openKeys", fault.Conflict, err, "The node's key file %s is damaged.", path),
			"Put back the copy from your key backup. Without it every hub has to enrol this appliance again.")
	}
	k.announce()
	return k, nil
}

func newSeed() []byte {
	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed)
	return seed
}

func (r ring) encode() []byte {
	b, _ := json.Marshal(r) // strings, numbers and bytes: cannot fail
	return append(b, '\n')
}

func (r ring) whole() bool {
	return r.Version == 1 && len(r.Seed) == ed25519.SeedSize && (len(r.Next) == 0 || len(r.Next) == ed25519.SeedSize && r.Until > 0)
}

func (r ring) key() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(r.Seed) }

// announce makes the statement for the hubs. The caller holds mu, or is alone.
func (k *keyring) announce() {
	k.next = nil
	if len(k.ring.Next) > 0 {
		k.next = wire.NewSuccession(k.ring.key(), ed25519.NewKeyFromSeed(k.ring.Next), time.UnixMilli(k.ring.Until))
	}
}

// identity is what the links use now; node.Options.Identity.
func (k *keyring) identity() node.Identity {
	k.mu.Lock()
	defer k.mu.Unlock()
	return node.Identity{Key: k.ring.key(), Next: k.next, Past: k.ring.Past}
}

// public is the node's key.
func (k *keyring) public() wire.Key { return wire.KeyOf(k.identity().Key) }

// pending is the key that will follow, and until when both are good; ok is false
// when no rotation is under way.
func (k *keyring) pending() (id wire.KeyID, until time.Time, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.next == nil {
		return "", time.Time{}, false
	}
	return k.next.New.ID(), time.UnixMilli(k.ring.Until), true
}

// now is the ring as it stands.
func (k *keyring) now() ring {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.ring
}

// begun is r with a next key. Errors: Conflict while there is one.
func (r ring) begun(until time.Time) (ring, error) {
	if len(r.Next) > 0 {
		return r, fault.WithNext(fault.New("link.Rotate", fault.Conflict, "A rotation is under way until %s.", time.UnixMilli(r.Until).UTC().Format("2006-01-02")),
			"Wait until every hub has the new key; the Federation page shows which.")
	}
	r.Next, r.Until = newSeed(), until.UnixMilli()
	return r, nil
}

// completed is r with the next key as the key.
func (r ring) completed() ring {
	past := append(append([]wire.KeyID{}, r.Past...), r.id())
	return ring{Version: 1, Seed: r.Next, Past: past}
}

// id names the key, nextID the one that will follow; empty: none.
func (r ring) id() wire.KeyID { return wire.KeyOf(r.key()).ID() }

func (r ring) nextID() wire.KeyID {
	if len(r.Next) == 0 {
		return ""
	}
	return wire.KeyOf(ed25519.NewKeyFromSeed(r.Next)).ID()
}

// put keeps a ring in the file, and then uses it.
func (k *keyring) put(r ring) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := keyfile.Replace(k.path, r.encode()); err != nil {
		return err
	}
	k.ring = r
	k.announce()
	return nil
}

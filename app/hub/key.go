package hub

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"sync"
	"time"

	"tresor/app/fault"
	"tresor/app/keyfile"
	"tresor/fed/wire"
)

// keyPair is the hub's key and, during a rotation, the next one.
type keyPair struct {
	Key        []byte           `json:"key"` // Ed25519 private key
	Next       []byte           `json:"next,omitempty"`
	Succession *wire.Succession `json:"succession,omitempty"`
}

func (k keyPair) id() wire.KeyID { return wire.KeyOf(k.Key).ID() }

// event is what the audit log says of the change that led to a pair.
func (k keyPair) event() (verb string, key wire.KeyID) {
	if k.Next != nil {
		return "hub.rotating", k.Succession.New.ID()
	}
	return "hub.rotated", k.id()
}

func (k keyPair) same(o keyPair) bool {
	return bytes.Equal(k.Key, o.Key) && bytes.Equal(k.Next, o.Next)
}

// keyFile keeps the pair in one file. A crash while it is written leaves the old
// pair or the new one.
type keyFile struct {
	path string
	mu   sync.Mutex // guards pair
	pair keyPair
}

func openKeys(path string) (*keyFile, error) {
	const op = "hub.openKeys"
	k := &keyFile{path: path}
	b, err := keyfile.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, fault.Wrap(op, err)
		}
		return k, k.put(keyPair{Key: key})
	}
	if err != nil {
		return nil, fault.Wrap(op, err)
	}
	if err := json.Unmarshal(b, &k.pair); err != nil || !k.pair.sound() {
		return nil, fault.Kinded(op, fault.Conflict, err,
			"The hub's key file %s is damaged. Put back the copy from your key backup; without it every node has to enrol again.", path)
	}
	return k, nil
}

func (k keyPair) sound() bool {
	if len(k.Key) != ed25519.PrivateKeySize || (k.Next == nil) != (k.Succession == nil) {
		return false
	}
	return k.Next == nil || len(k.Next) == ed25519.PrivateKeySize && k.Succession.Old == k.id() && k.Succession.New == wire.KeyOf(k.Next)
}

func (k *keyFile) get() keyPair {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.pair
}

func (k *keyFile) put(p keyPair) error {
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	write := keyfile.Replace
	if k.pair.Key == nil {
		write = keyfile.Make
	}
	if err := write(k.path, b); err != nil {
		return fault.Kinded("hub.key", fault.Unavailable, err, "The key file %s could not be written. Check the rights of its folder and the free space.", k.path)
	}
	k.pair = p
	return nil
}

// begun is the pair with a new key that is announced to the nodes.
func (k keyPair) begun(until time.Time) (keyPair, error) {
	_, next, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return keyPair{}, err
	}
	k.Next, k.Succession = next, wire.NewSuccession(k.Key, next, until)
	return k, nil
}

// finished is the pair in which the next key is the key.
func (k keyPair) finished() keyPair { return keyPair{Key: k.Next} }

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func makeFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fault.Kinded("hub.makeFolder", fault.Unavailable, err, "The folder %s cannot be made. Check the rights and the free space.", dir)
	}
	return os.Chmod(dir, 0o700)
}

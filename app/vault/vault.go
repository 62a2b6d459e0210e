// Package vault keeps bytes by their SHA-256.
//
// It owns one folder and knows nothing of what the bytes mean. Content is
// written aside, hashed on the way, synced and renamed to its hash, so a name
// always stands for complete bytes; the same bytes twice are one file. A crash
// leaves at most staging files, which the next Open sweeps. It never changes a
// kept file and never follows a name from outside: names are hashes only.
package vault

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"tresor/app/fault"
)

// Blob names kept bytes.
type Blob struct {
	SHA256 string `json:"sha256"` // lower-case hex
	Size   int64  `json:"size"`   // bytes
}

// Vault is an open folder of blobs. Its methods may be used from any goroutine.
type Vault struct {
	dir  string
	disk disk
}

// Open makes the folder if needed (mode 0700) and sweeps what a crash left.
func Open(dir string) (*Vault, error) { return open(dir, realDisk{}) }

func open(dir string, d disk) (*Vault, error) {
	v := &Vault{dir: dir, disk: d}
	if err := os.RemoveAll(v.staging()); err != nil {
		return nil, broken("vault.Open", err)
	}
	if err := os.MkdirAll(v.staging(), 0o700); err != nil {
		return nil, broken("vault.Open", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, broken("vault.Open", err)
	}
	return v, nil
}

func (v *Vault) staging() string { return filepath.Join(v.dir, "staging") }

// path spreads the blobs over 256 folders.
func (v *Vault) path(sum string) string { return filepath.Join(v.dir, sum[:2], sum) }

// Put keeps everything that r has, at most max bytes: more is fault.Exhausted
// and nothing is kept. It stops between reads when ctx ends.
func (v *Vault) Put(ctx context.Context, r io.Reader, max int64) (Blob, error) {
	w, err := v.Create()
	if err != nil {
		return Blob{}, err
	}
	defer w.Abort()
	n, err := io.Copy(w, io.LimitReader(&reader{ctx, r}, max+1))
	if err != nil {
		return Blob{}, fault.Wrap("vault.Put", err)
	}
	if n > max {
		return Blob{}, fault.New("vault.Put", fault.Exhausted, "The content is larger than the %d bytes that are allowed here.", max)
	}
	return w.Commit()
}

type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// Writer takes bytes that get their name when they are complete.
type Writer struct {
	v    *Vault
	f    file
	hash hash.Hash
	size int64
}

// Create starts a blob. The caller ends it with Commit or Abort.
func (v *Vault) Create() (*Writer, error) {
	f, err := v.disk.create(v.staging())
	if err != nil {
		return nil, broken("vault.Create", err)
	}
	return &Writer{v: v, f: f, hash: sha256.New()}, nil
}

// Write takes the next bytes.
func (w *Writer) Write(p []byte) (int, error) {
	if w.f == nil {
		return 0, fault.New("vault.Write", fault.Internal, "The writer has ended.")
	}
	n, err := w.f.Write(p)
	w.hash.Write(p[:n])
	w.size += int64(n)
	if err != nil {
		return n, broken("vault.Write", err)
	}
	return n, nil
}

// Abort forgets the bytes; after Commit it does nothing.
func (w *Writer) Abort() {
	if w.f == nil {
		return
	}
	_ = w.f.Close()
	_ = w.v.disk.remove(w.f.Name())
	w.f = nil
}

// Commit makes the bytes durable under their hash and returns it. When it
// fails the bytes may be there or not; committing the same bytes again is safe.
func (w *Writer) Commit() (Blob, error) {
	if w.f == nil {
		return Blob{}, fault.New("vault.Commit", fault.Internal, "The writer has ended.")
	}
	b := Blob{SHA256: hex.EncodeToString(w.hash.Sum(nil)), Size: w.size}
	defer w.Abort()
	if err := w.v.keep(w.f, b); err != nil {
		return Blob{}, broken("vault.Commit", err)
	}
	return b, nil
}

// keep syncs the file, gives it its name and syncs the folders that changed.
// A name that exists is complete already; the new copy is dropped.
func (v *Vault) keep(f file, b Blob) error {
	if err := f.Chmod(0o400); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	to := v.path(b.SHA256)
	if st, err := os.Lstat(to); err == nil && st.Size() == b.Size {
		return v.disk.syncDir(filepath.Dir(to))
	}
	if err := v.shard(filepath.Dir(to)); err != nil {
		return err
	}
	if err := v.disk.rename(f.Name(), to); err != nil {
		return err
	}
	return v.disk.syncDir(filepath.Dir(to))
}

// shard makes one of the 256 folders durable before anything lies in it.
func (v *Vault) shard(dir string) error {
	if _, err := os.Lstat(dir); err == nil {
		return nil
	}
	if err := v.disk.mkdir(dir); err != nil {
		return err
	}
	return v.disk.syncDir(v.dir)
}

// Open opens kept bytes for reading; fault.NotFound when there are none.
func (v *Vault) Open(sum string) (*os.File, error) {
	if err := check("vault.Open", sum); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(v.path(sum), os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Kinded("vault.Open", fault.NotFound, err, "The content is not kept any more.")
	}
	if err != nil {
		return nil, broken("vault.Open", err)
	}
	return f, nil
}

// Has reports whether the bytes are kept.
func (v *Vault) Has(sum string) bool {
	if check("vault.Has", sum) != nil {
		return false
	}
	_, err := os.Lstat(v.path(sum))
	return err == nil
}

// Erase removes the bytes; absent ones are no error. Whether anything still
// needs them is the caller's knowledge.
func (v *Vault) Erase(sum string) error {
	if err := check("vault.Erase", sum); err != nil {
		return err
	}
	if err := v.disk.remove(v.path(sum)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return broken("vault.Erase", err)
	}
	if err := v.disk.syncDir(filepath.Dir(v.path(sum))); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return broken("vault.Erase", err)
	}
	return nil
}

// Verify reads the bytes and compares them with their name. Damage is
// fault.Internal with the hash that was found as the cause.
func (v *Vault) Verify(ctx context.Context, sum string) error {
	f, err := v.Open(sum)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, &reader{ctx, f}); err != nil {
		return broken("vault.Verify", err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != sum {
		return fault.WithNext(fault.Kinded("vault.Verify", fault.Internal, fmt.Errorf("content of %s has hash %s", sum, got), "Kept content is damaged and is not used."),
			"Check the disk and restore the file from a backup.")
	}
	return nil
}

func check(op, sum string) error {
	if len(sum) == 2*sha256.Size {
		if b, err := hex.DecodeString(sum); err == nil && hex.EncodeToString(b) == sum {
			return nil
		}
	}
	return fault.New(op, fault.Invalid, "That is not the hash of any content.")
}

// broken gives an error of the disk its kind; an error that has one keeps it.
func broken(op string, err error) error {
	var known *fault.Error
	switch {
	case errors.As(err, &known), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fault.Wrap(op, err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fault.WithNext(fault.Kinded(op, fault.Exhausted, err, "The disk of the server is full. Nothing was lost; this was not kept."), "Ask the operator to make room, then try again.")
	default:
		return fault.Kinded(op, fault.Internal, err, "The server's disk does not work as it should. Nothing half-written was kept.")
	}
}

package release

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"tresor/app/airlock"
	"tresor/app/fault"
	"tresor/app/vault"
)

// TestRacingSwap (T-T1): somebody who can write into the vault swaps the
// reviewed bytes back and forth while they are packed. Whatever comes through
// without an error is what was reviewed.
func TestRacingSwap(t *testing.T) {
	dir := t.TempDir()
	v, err := vault.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	good, evil := bytes.Repeat([]byte("good\n"), 2000), bytes.Repeat([]byte("evil\n"), 2000)
	blob, err := v.Put(context.Background(), bytes.NewReader(good), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, blob.SHA256[:2], blob.SHA256)
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	var done atomic.Bool
	swapping := make(chan struct{})
	go func() {
		defer close(swapping)
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		for i := 0; !done.Load(); i++ {
			b := good
			if i%2 == 0 {
				b = evil
			}
			_, _ = f.WriteAt(b[:len(b)/2], 0)
			_, _ = f.WriteAt(b[len(b)/2:], int64(len(b)/2))
		}
	}()
	s := &Service{Deps{Vault: v}}
	through, stopped := 0, 0
	for range 10_000 {
		r, err := s.reviewed(airlock.Item{Path: "a.csv", SHA256: blob.SHA256, Size: blob.Size})
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		_ = r.Close()
		switch {
		case err != nil:
			stopped++
		case !bytes.Equal(got, good):
			t.Fatal("other bytes than the reviewed ones came through")
		default:
			through++
		}
	}
	done.Store(true)
	<-swapping
	t.Logf("%d came through, %d were stopped", through, stopped)
	if stopped == 0 {
		t.Error("the race never happened")
	}
}

// TestSwapAfterOpen: bytes that change after the whole was verified still never
// come out.
func TestSwapAfterOpen(t *testing.T) {
	good := bytes.Repeat([]byte("0123456789abcdef"), 3*blockSize/16+100)
	sum := sha256.Sum256(good)
	open := func() (*verified, *os.File) {
		t.Helper()
		p := filepath.Join(t.TempDir(), "zip")
		if err := os.WriteFile(p, good, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(p, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		v, err := verify(context.Background(), f, int64(len(good)), hex.EncodeToString(sum[:]))
		if err != nil {
			t.Fatal(err)
		}
		return v, f
	}
	for name, meddle := range map[string]func(*os.File) error{
		"changed": func(f *os.File) error { _, err := f.WriteAt([]byte("evil"), 2*blockSize+7); return err },
		"cut":     func(f *os.File) error { return f.Truncate(2*blockSize + 100) },
	} {
		v, f := open()
		if err := meddle(f); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(v)
		if fault.KindOf(err) != fault.Internal || len(got) != 2*blockSize || !bytes.Equal(got, good[:len(got)]) {
			t.Errorf("%s: %d bytes came out (%v)", name, len(got), err)
		}
	}
	v, f := open()
	if err := iotest.TestReader(v, good); err != nil {
		t.Error(err)
	}
	for name, c := range map[string]struct {
		size int64
		sum  string
	}{"longer than the file": {int64(len(good)) + 1, hex.EncodeToString(sum[:])}, "shorter than the file": {int64(len(good)) - 1, hex.EncodeToString(sum[:])}, "another hash": {int64(len(good)), "00"}} {
		if _, err := verify(context.Background(), f, c.size, c.sum); err == nil {
			t.Errorf("%s: verified", name)
		}
	}
	ended, stop := context.WithCancel(context.Background())
	stop()
	if _, err := verify(ended, f, int64(len(good)), hex.EncodeToString(sum[:])); err == nil {
		t.Error("verified after the reader had left")
	}
}

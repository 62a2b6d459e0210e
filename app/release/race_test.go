package release

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"tresor/app/airlock"
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

package dataset

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tresor/app/fault"
	"tresor/app/store"
)

// faultyDisk fails at the n-th verb, before or after it took effect.
type faultyDisk struct {
	realDisk
	at    int
	after bool
	err   error
	calls *int
}

func (f faultyDisk) do(op func() error) error {
	*f.calls++
	if *f.calls-1 != f.at {
		return op()
	}
	if f.after {
		return errors.Join(op(), f.err)
	}
	return f.err
}

func (f faultyDisk) mkdir(p string) error { return f.do(func() error { return f.realDisk.mkdir(p) }) }
func (f faultyDisk) rename(a, b string) error {
	return f.do(func() error { return f.realDisk.rename(a, b) })
}
func (f faultyDisk) sync(p string) error   { return f.do(func() error { return f.realDisk.sync(p) }) }
func (f faultyDisk) remove(p string) error { return f.do(func() error { return f.realDisk.remove(p) }) }

func (f faultyDisk) create(p string) (out sealable, err error) {
	if err := f.do(func() error { out, err = f.realDisk.create(p); return err }); err != nil {
		return nil, err
	}
	return faultyFile{out, f}, nil
}

type faultyFile struct {
	sealable
	f faultyDisk
}

func (f faultyFile) Write(p []byte) (n int, err error) {
	err = f.f.do(func() error { n, err = f.sealable.Write(p); return err })
	return n, err
}
func (f faultyFile) Sync() error { return f.f.do(f.sealable.Sync) }
func (f faultyFile) Close() error {
	err := f.f.do(func() error { return nil })
	return errors.Join(err, f.sealable.Close())
}

// TestEveryStepFails lets each step of an ingest fail, before and after it took
// effect. Then a restart must find either the whole version or nothing, and the
// next ingest must work.
func TestEveryStepFails(t *testing.T) {
	for _, after := range []bool{false, true} {
		for at, steps := 0, 100; at < steps; at++ {
			t.Run(fmt.Sprintf("step %d, after=%v", at, after), func(t *testing.T) {
				r := newRig(t)
				d := r.dataset("ds")
				calls := 0
				r.Service.disk = faultyDisk{at: at, after: after, err: syscall.ENOSPC, calls: &calls}
				_, err := r.ingest("ds", source("a.csv", "x\n1\n"))
				if calls <= at {
					steps = 0 // every step has had its turn
					return
				}
				if fault.KindOf(err) != fault.Exhausted {
					t.Errorf("got %v", err)
				}
				if err := r.Close(); err != nil {
					t.Error(err)
				}
				r.open(realDisk{})
				r.nothingKept(d.ID)
				if v := r.mustIngest("ds", source("a.csv", "x\n1\n")); v.N != 1 || v.Presentation != Ready {
					t.Errorf("the next version is %+v", v)
				}
			})
		}
	}
}

func TestRecordFails(t *testing.T) {
	r := newRig(t)
	d := r.dataset("ds")
	_, err := r.Ingest(t.Context(), steward, "ds", []Source{{Name: "a.csv", Open: func() (io.ReadCloser, error) {
		err := r.db.Update(t.Context(), func(tx *store.Tx) error { // the slug goes away under the ingest
			_, err := tx.Exec(`INSERT INTO dataset_version VALUES (?, 1, 'x', '[]', '[]', 0, 0, 'ready', '', 0, '', '')`, d.ID)
			return err
		})
		return io.NopCloser(strings.NewReader("x\n1\n")), err
	}}}, Ingestion{})
	if err == nil {
		t.Fatal("a taken number was used")
	}
}

func TestSweepLeavesOthersAlone(t *testing.T) {
	r := newRig(t)
	d := r.dataset("ds")
	v := r.mustIngest("ds", source("a.csv", "x\n1\n"))
	for _, name := range []string{"2", "3.staging", "notes", "0"} {
		if err := os.MkdirAll(filepath.Join(r.dir, d.ID, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(versionDir(r.dir, d.ID, 1), PresentationFile)); err != nil {
		t.Fatal(err)
	}
	err := r.db.Update(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE dataset_version SET presentation = 'building'`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(versionDir(r.dir, d.ID, 1), PresentationFile+".part"), []byte("half"), 0o400); err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	r.open(realDisk{})
	if state, err := r.Await(t.Context(), d.ID, v.N); state != Ready || err != nil {
		t.Errorf("after the restart: %s (%v)", state, err)
	}
	if got := strings.Join(r.folders(d.ID), " "); got != "0 1 notes" {
		t.Errorf("left: %s", got)
	}
	if got := dump(t, filepath.Join(versionDir(r.dir, d.ID, 1), PresentationFile), "a"); got != "1/" {
		t.Errorf("presentation: %q", got)
	}
}

func TestPresentationFails(t *testing.T) {
	r := newRig(t)
	d := r.dataset("ds")
	v, err := r.Take(t.Context(), steward, "ds", oneSource(source("a.csv", "x\n1\n")), Ingestion{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Await(t.Context(), d.ID, v.N); err != nil {
		t.Fatal(err)
	}
	dir := versionDir(r.dir, d.ID, v.N)
	if err := os.Remove(filepath.Join(dir, "files", "a.csv")); err != nil {
		t.Fatal(err)
	}
	r.build(v)
	state, err := r.Await(t.Context(), d.ID, v.N)
	if state != Failed || fault.KindOf(err) != fault.Internal || !strings.Contains(fault.Message(err), "The files of this version are safe") {
		t.Errorf("%s: %v", state, err)
	}
	if _, err := r.Get(t.Context(), steward, "ds"); err != nil {
		t.Error(err)
	}
}

func oneSource(s Source) func() (Source, error) {
	sent := false
	return func() (Source, error) {
		if sent {
			return Source{}, io.EOF
		}
		sent = true
		return s, nil
	}
}

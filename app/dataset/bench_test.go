package dataset

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"tresor/embed/demo"
)

// bigFile repeats the rows of the demo until the file has about 270 MB.
func bigFile(b *testing.B) (path string, size int64) {
	b.Helper()
	path = filepath.Join(b.TempDir(), "big.csv")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	header := bytes.IndexByte(demo.CSV, '\n') + 1
	parts := []io.Reader{bytes.NewReader(demo.CSV)}
	for range 359 {
		parts = append(parts, bytes.NewReader(demo.CSV[header:]))
	}
	size, err = io.Copy(f, io.MultiReader(parts...))
	if err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	return path, size
}

// BenchmarkIngest compares the ingest with `cp` plus `sha256sum` of the same
// file in the same run. More is better.
//
//	x-durable   how many times as fast the version is durable, verified and profiled
//	x-flushed   the same against cp, sync and sha256sum: cp alone does not wait for the disk
//	x-ready     like x-durable, with the presentation built too
func BenchmarkIngest(b *testing.B) {
	path, size := bigFile(b)
	r := newRig(b)
	r.dataset("big")
	b.SetBytes(size)
	var plain, flush, durable, ready time.Duration
	for range b.N {
		p, f := copyAndSum(b, path)
		d, all := ingestFile(b, r, path)
		plain, flush, durable, ready = plain+p, flush+f, durable+d, ready+all
	}
	b.ReportMetric(float64(plain)/float64(durable), "x-durable")
	b.ReportMetric(float64(plain+flush)/float64(durable), "x-flushed")
	b.ReportMetric(float64(plain)/float64(ready), "x-ready")
	b.ReportMetric(plain.Seconds()/float64(b.N), "cp+sha256sum-s")
	b.ReportMetric(durable.Seconds()/float64(b.N), "durable-s")
	b.ReportMetric(ready.Seconds()/float64(b.N), "ready-s")
}

// copyAndSum returns the time of cp and sha256sum, and that of a sync between them.
func copyAndSum(b *testing.B, path string) (plain, flush time.Duration) {
	b.Helper()
	to := filepath.Join(b.TempDir(), "copy.csv")
	for _, argv := range [][]string{{"cp", path, to}, {"sync", to}, {"sha256sum", to}} {
		begin := time.Now()
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			b.Fatalf("%s: %v: %s", argv[0], err, out)
		}
		if took := time.Since(begin); argv[0] == "sync" {
			flush += took
		} else {
			plain += took
		}
	}
	if err := os.Remove(to); err != nil {
		b.Fatal(err)
	}
	return plain, flush
}

func ingestFile(b *testing.B, r *rig, path string) (durable, ready time.Duration) {
	b.Helper()
	begin := time.Now()
	open := func() (io.ReadCloser, error) { return os.Open(path) }
	v, err := r.Take(context.Background(), steward, "big", oneSource(Source{Name: "big.csv", Open: open}), Ingestion{})
	if err != nil {
		b.Fatal(err)
	}
	durable = time.Since(begin)
	if state, err := r.Await(context.Background(), v.DatasetID, v.N); err != nil || state != Ready {
		b.Fatal(state, err)
	}
	ready = time.Since(begin)
	if err := os.RemoveAll(versionDir(r.dir, v.DatasetID, v.N)); err != nil {
		b.Fatal(err)
	}
	return durable, ready
}

package dataset

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash/maphash"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
)

// intake takes one file in: one goroutine reads and writes, one hashes, the
// others parse blocks side by side. Every block is shared by all of them.
type intake struct {
	name  string
	dict  Dictionary
	out   io.Writer
	moved func(n int64) // bytes taken in, called block by block; may be nil

	src    *blocks
	table  Table
	seed   maphash.Seed
	toHash chan *block
	toRead chan *block

	mu     sync.Mutex
	lines  []int64 // per block
	bad    *flaw   // of the earliest block that has one
	badIn  int
	failed atomic.Bool
}

// errFlawed stops the intake; the flaw says why.
var errFlawed = errors.New("the file is refused")

// parsers leaves room for the reader and the hasher, and uses what the host has.
func parsers() int { return max(1, min(runtime.GOMAXPROCS(0), 8)) }

// run reads r to its end. A flaw in the content comes back as *flaw, trouble
// with reading or writing as error; in both cases what was written is worthless.
func (in *intake) run(ctx context.Context, r io.Reader) (File, Table, *flaw, error) {
	n := parsers()
	in.src = newBlocks(r, n+3)
	in.seed = maphash.MakeSeed()
	in.toHash, in.toRead = make(chan *block, n+3), make(chan *block, n+3)
	sum, size, profiles, err := in.pump(ctx, n)
	if err != nil && !errors.Is(err, errFlawed) {
		return File{}, Table{}, nil, err
	}
	if bad := in.verdict(); bad != nil {
		return File{}, Table{}, bad, nil
	}
	for _, p := range profiles[1:] {
		profiles[0].merge(p)
	}
	in.table.Rows = profiles[0].rows
	in.table.Columns = profiles[0].columns(in.table.Columns)
	if in.table.Rows > MaxRows {
		return File{}, Table{}, flawed(0, "Split it.", "the file has more than %d rows", int64(MaxRows)), nil
	}
	return File{Name: in.name, SHA256: sum, Size: size}, in.table, nil, nil
}

// pump starts the goroutines after the header is known, feeds them, and waits.
func (in *intake) pump(ctx context.Context, n int) (sum string, size int64, profiles []*profiler, err error) {
	first, err := in.begin()
	if err != nil {
		return "", 0, nil, err
	}
	var wg sync.WaitGroup
	digest := sha256.New()
	wg.Go(func() {
		for k := range in.toHash {
			digest.Write(k.raw)
			in.release(k)
		}
	})
	for range n {
		p := newProfiler(in.seed, in.table.Columns, in.table.Missing)
		profiles = append(profiles, p)
		wg.Go(func() { in.parse(p) })
	}
	size, err = in.feed(ctx, first)
	close(in.toHash)
	close(in.toRead)
	wg.Wait()
	return hex.EncodeToString(digest.Sum(nil)), size, profiles, err
}

func (in *intake) release(k *block) {
	if k.uses.Add(-1) == 0 {
		in.src.release(k)
	}
}

// feed writes block after block and hands each on.
func (in *intake) feed(ctx context.Context, k *block) (size int64, err error) {
	for k != nil {
		if err := ctx.Err(); err != nil {
			return size, err
		}
		if _, err := in.out.Write(k.raw); err != nil {
			return size, err
		}
		n := int64(len(k.raw))
		if size += n; size > MaxBytes {
			in.fail(k.n, flawed(1, "Split it.", "the file is larger than %d GiB", MaxBytes>>30))
		}
		k.uses.Store(2)
		in.toHash <- k
		in.toRead <- k
		if in.moved != nil {
			in.moved(n)
		}
		if in.failed.Load() {
			return size, errFlawed
		}
		if k, err = in.next(); err != nil {
			return size, err
		}
	}
	return size, nil
}

func (in *intake) next() (*block, error) {
	k, bad, err := in.src.next()
	if err != nil {
		return nil, err
	}
	if k != nil {
		in.mu.Lock()
		in.lines = append(in.lines, 0)
		in.mu.Unlock()
	}
	if bad != nil {
		in.fail(k.n, bad)
		return nil, errFlawed
	}
	return k, nil
}

// parse profiles blocks until there are no more.
func (in *intake) parse(p *profiler) {
	w := newWalker(in.table.Delimiter[0], len(in.table.Columns))
	for k := range in.toRead {
		if !in.failed.Load() || in.before(k.n) {
			in.parseOne(w, p, k)
		}
		in.release(k)
	}
}

func (in *intake) parseOne(w *walker, p *profiler, k *block) {
	bad := badBytes(k.data)
	var lines int64
	if bad == nil {
		_, lines, bad = w.walk(k.data, p)
	}
	if bad != nil {
		in.fail(k.n, bad)
		return
	}
	in.mu.Lock()
	in.lines[k.n] += lines
	in.mu.Unlock()
}

// fail keeps the flaw of the earliest block. Blocks before it are still parsed,
// because their lines are counted and because they may have an earlier flaw.
func (in *intake) fail(n int, bad *flaw) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.bad == nil || n < in.badIn {
		in.bad, in.badIn = bad, n
	}
	in.failed.Store(true)
}

func (in *intake) before(n int) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.bad == nil || n < in.badIn
}

// verdict turns the flaw's line into a line of the file.
func (in *intake) verdict() *flaw {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.bad == nil || in.bad.line == 0 {
		return in.bad
	}
	for i := range in.badIn {
		in.bad.line += in.lines[i]
	}
	if in.badIn == 0 {
		in.bad.line += in.lines[0]
	}
	return in.bad
}

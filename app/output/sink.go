package output

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"tresor/app/fault"
	"tresor/app/store"
	"tresor/app/vault"
	"tresor/sandbox"
)

// Folder is where a program puts its outputs, inside the container.
const Folder = "/work/out"

// Caps bound one collection. The runner has the same bounds; the host does not rely on them.
type Caps struct {
	Files int
	Bytes int64 // all files together
}

// Sink takes the files of one job. Take is for Runner.Collect; then Commit makes
// the bytes durable and Record writes the rows, or Abort forgets everything.
// One goroutine uses it.
type Sink struct {
	s       *Service
	caps    Caps
	bytes   int64
	staged  []staged
	seen    map[string]bool
	refused []sandbox.Refusal
	sort    Sorter
}

// Sorter says of a file at a path in the container whether it is an output to be
// held, and whether it is wanted at all; one that is wanted and not held is the
// caller's, who finds it in Taken.
type Sorter func(path string) (held, wanted bool)

// Taken is one file that a Sink took.
type Taken struct {
	Path       string // in the container
	Held       bool   // Record makes an output of it
	vault.Blob        // empty before Commit
}

type staged struct {
	w    *vault.Writer
	path string // among the job's outputs
	at   string // in the container
	held bool
	Shape
	blob vault.Blob
}

// Sink returns an empty Sink.
func (s *Service) Sink(caps Caps) *Sink {
	return &Sink{s: s, caps: caps, seen: map[string]bool{}}
}

// SinkFor is Sink for files at any path: their paths as outputs are those in the
// container without the leading slash. What sort does not want is passed over.
func (s *Service) SinkFor(caps Caps, sort Sorter) *Sink {
	k := s.Sink(caps)
	k.sort = sort
	return k
}

// Take stages one file. A file that may not be taken is noted in Refused and is
// no error; an error means that the host could not keep it.
func (k *Sink) Take(f sandbox.File, r io.Reader) error {
	held := true
	if k.sort != nil {
		var wanted bool
		if held, wanted = k.sort(f.Path); !wanted {
			return nil
		}
	}
	name, why := k.admit(f)
	if why != "" {
		k.refuse(f.Path, why)
		return nil
	}
	w, err := k.s.vault.Create()
	if err != nil {
		return fault.Wrap("output.Take", err)
	}
	shape, n, err := copyAll(w, name, f.Size, r)
	if err != nil {
		w.Abort()
		return fault.Wrap("output.Take", err)
	}
	if n != f.Size {
		w.Abort()
		k.refuse(f.Path, fmt.Sprintf("it was announced with %d bytes and held %d", f.Size, n))
		return nil
	}
	k.bytes += n
	k.seen[name] = true
	k.staged = append(k.staged, staged{w: w, path: name, at: f.Path, held: held, Shape: shape})
	return nil
}

// copyAll reads at most size+1 bytes: one more than announced is already a lie.
func copyAll(w io.Writer, name string, size int64, r io.Reader) (Shape, int64, error) {
	c := &counter{r: io.LimitReader(r, size+1)}
	shape, err := Examine(name, io.TeeReader(c, w))
	return shape, c.n, err
}

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// admit returns the file's path inside the output folder, or why it is refused.
func (k *Sink) admit(f sandbox.File) (name, why string) {
	if err := sandbox.CheckPath(f.Path); err != nil {
		return "", err.Error()
	}
	folder := Folder + "/"
	if k.sort != nil {
		folder = "/"
	}
	name, inside := strings.CutPrefix(f.Path, folder)
	switch {
	case !inside:
		return "", "it lies outside " + Folder
	case f.Size < 0:
		return "", "its size is not a number of bytes"
	case k.seen[name]:
		return "", "the same path was handed over twice"
	case len(k.staged) >= k.caps.Files:
		return "", fmt.Sprintf("a job may leave %d files", k.caps.Files)
	case f.Size > k.caps.Bytes-k.bytes:
		return "", fmt.Sprintf("%s%d bytes", sandbox.OutputsTooLarge, k.caps.Bytes)
	}
	return name, ""
}

func (k *Sink) refuse(path, why string) {
	if len(k.refused) < sandbox.MaxRefusals {
		k.refused = append(k.refused, sandbox.Refusal{Path: sandbox.Printable(path), Reason: why})
	}
}

// Refused lists what Take did not take.
func (k *Sink) Refused() []sandbox.Refusal { return k.refused }

// Taken lists what was taken, in the order it came.
func (k *Sink) Taken() []Taken {
	list := make([]Taken, len(k.staged))
	for i, f := range k.staged {
		list[i] = Taken{Path: f.at, Held: f.held, Blob: f.blob}
	}
	return list
}

// Len is the number of files taken.
func (k *Sink) Len() int { return len(k.staged) }

// Commit makes all bytes durable in the vault, several files at a time because
// each waits for the disk. On an error nothing counts: call Abort.
func (k *Sink) Commit(ctx context.Context) error {
	const atOnce = 8
	var wg sync.WaitGroup
	errs := make([]error, len(k.staged))
	slots := make(chan struct{}, atOnce)
	for i := range k.staged {
		wg.Add(1)
		slots <- struct{}{}
		go func() {
			defer func() { <-slots; wg.Done() }()
			k.staged[i].blob, errs[i] = k.staged[i].w.Commit()
		}()
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return fault.Wrap("output.Commit", err)
	}
	return fault.Wrap("output.Commit", ctx.Err())
}

// Abort forgets everything that was not committed. It may be called at any time, twice too.
func (k *Sink) Abort() {
	for _, f := range k.staged {
		f.w.Abort()
	}
	k.staged = nil
}

// Record writes the rows of what Commit made durable and is to be held, in place of any earlier
// collection of the same job, and returns them by path.
func (k *Sink) Record(tx *store.Tx, job, project string) ([]Output, error) {
	if _, err := tx.Exec(`DELETE FROM output WHERE job = ?`, job); err != nil {
		return nil, fault.Wrap("output.Record", err)
	}
	for _, f := range k.staged {
		if !f.held {
			continue
		}
		_, err := tx.Exec(`INSERT INTO output (`+columns+`, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			k.s.ids(), job, project, f.path, f.blob.SHA256, f.blob.Size, string(f.Kind), f.Rows, f.Cols, string(Held), store.Millis(tx.Now()))
		if err != nil {
			return nil, fault.Wrap("output.Record", err)
		}
	}
	return k.s.ListByJob(tx, job)
}

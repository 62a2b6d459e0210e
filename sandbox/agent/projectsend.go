package agent

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"time"

	"tresor/sandbox"
)

// What is sent in one request: the task service keeps all of it or nothing.
var (
	batchFiles = 500
	batchBytes = int64(64 << 20)
)

// How often a Send begins again for a file that changes under it, and how long it waits
// for a task service that says "not so fast" or is being restarted.
const (
	sendTries = 4
	sendPause = 300 * time.Millisecond
)

// found is a file of the folder that may be news for the project.
type found struct {
	name  string
	stamp stamp
}

// errMoving: a file changed while it was read.
var errMoving = errors.New("the file changes while it is read")

// Send puts what is new in the folder into the project, for a task that may need it. What
// some process is still writing is not new yet. Folders whose name begins with a dot hold
// an engine's own notes, which change all the time and are nobody's input: they wait for
// Finish. The error says what was refused and why.
func (p *Project) Send(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for try := 0; ; try++ {
		news, err := p.look(false)
		if len(news) > 0 {
			open := written(p.where)
			news = slices.DeleteFunc(news, func(f found) bool { return open[f.name] })
		}
		for len(news) > 0 && err == nil {
			var n int
			n, err = p.batch(ctx, news)
			news = news[n:]
		}
		if err == nil || final(err) || try >= sendTries {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(sendPause << try):
		}
	}
}

// Finish puts everything that is new into the project, and does without the files that it
// refuses: those are said in the log and by Refused. notes tells whether the engine's own notes are whole.
func (p *Project) Finish(ctx context.Context, notes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	news, err := p.look(notes)
	for tries := 0; len(news) > 0 && err == nil; {
		var n int
		n, err = p.batch(ctx, news)
		var d *Denial
		switch {
		case err == nil:
			news, tries = news[n:], 0
		case errors.As(err, &d) && holds(news, d.File):
			p.refuse(d.File, d.Text)
			news, err = slices.DeleteFunc(news, func(f found) bool { return f.name == d.File }), nil
		case !final(err) && tries < sendTries && ctx.Err() == nil:
			tries, err = tries+1, nil
			time.Sleep(sendPause << tries)
		}
	}
	if err != nil {
		p.refuse("", fmt.Sprintf("%d files or more were not kept in the project: %s", len(news), sandbox.Printable(err.Error())))
	}
}

func (p *Project) refuse(name, why string) {
	p.over.Add(path.Join(p.target, name), why)
	p.once(name, why)
}

func holds(list []found, name string) bool {
	return slices.ContainsFunc(list, func(f found) bool { return f.name == name })
}

// batch sends the first files of the list, as many as one request takes, and says how many.
func (p *Project) batch(ctx context.Context, news []found) (n int, err error) {
	v, err := p.open()
	if err != nil {
		return 0, err
	}
	defer v.close()
	var list []found
	for bytes := int64(0); n < len(news) && len(list) < batchFiles; n++ {
		f := news[n]
		if p.same(v, f) {
			continue
		}
		if bytes += f.stamp.size; len(list) > 0 && bytes > batchBytes {
			break
		}
		list = append(list, f)
	}
	if len(list) == 0 {
		return n, nil
	}
	sent := make(map[string]*known, len(list))
	err = p.link.put(ctx, func(w *tar.Writer) error {
		for _, f := range list {
			k, err := p.pack(w, v, f.name)
			if err != nil {
				return at(f.name, err)
			}
			if k != nil {
				sent[f.name] = k
			}
		}
		return nil
	})
	if err == nil {
		for name, k := range sent {
			p.know(name, k)
		}
	}
	return n, err
}

// same says whether a file that looks new has the content that the project has already.
func (p *Project) same(v *volume, f found) bool {
	was := p.files[f.name]
	if was == nil || was.stamp != (stamp{}) && (was.stamp.size != f.stamp.size || was.stamp.runs != f.stamp.runs) {
		return false
	}
	file, err := openRegular(v, f.name)
	if err != nil {
		return false
	}
	defer file.Close()
	if sum, err := sumOfFile(file); err != nil || sum != was.sum || file.stat.Size != f.stamp.size {
		return false
	}
	was.stamp = file.settled
	return true
}

// pack writes one file into an archive; nil when it is none any more.
func (p *Project) pack(w *tar.Writer, v *volume, name string) (*known, error) {
	file, err := openRegular(v, name)
	if err != nil || irregular(&file.stat) != "" {
		return nil, nil
	}
	defer file.Close()
	size := file.stat.Size
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: int64(file.stat.Mode & 0o777), Format: tar.FormatPAX, PAXRecords: map[string]string{seenRecord: neverSeen}}
	if was := p.files[name]; was != nil {
		h.PAXRecords[seenRecord] = was.sum
	}
	if err := w.WriteHeader(h); err != nil {
		return nil, err
	}
	sum := sha256.New()
	if n, err := io.Copy(io.MultiWriter(w, sum), io.LimitReader(file, size)); err != nil {
		return nil, err
	} else if n != size || unchanged(file.File, &file.stat) != nil {
		return nil, errMoving
	}
	return &known{hex.EncodeToString(sum.Sum(nil)), file.settled, size}, nil
}

// What the task service is told about the version of a file that the folder has seen; app/gateway reads it.
const (
	seenRecord = "TRESOR.seen"
	neverSeen  = "none"
)

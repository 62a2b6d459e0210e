package job

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"tresor/app/fault"
	"tresor/app/live"
	"tresor/sandbox"
)

// logFile is the stored log of one task: the bytes of the stream from 0 on, so
// its size is the offset to go on from after a restart.
type logFile struct {
	s    *Service
	job  string
	task int
	max  int64
	f    *os.File
	pos  int64 // of the stream
	kept int64 // bytes in the file, at most max
	told time.Time
	side *streams
}

func (s *Service) logPath(job string, task int) string {
	return filepath.Join(s.folder(job), fmt.Sprintf("log-%d", task))
}

// markerRoom lets the agent's last line, which says that the log was cut at its
// limit, still be kept.
const markerRoom = 256

func (s *Service) openLog(job string, task int, max int64) (*logFile, error) {
	if err := makeFolder(s.folder(job), 0o711); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(s.logPath(job, task), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	side, err := openStreams(s.streamPath(job, task))
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &logFile{s: s, job: job, task: task, max: max + markerRoom, f: f, pos: info.Size(), kept: info.Size(), side: side}, nil
}

// write takes the next piece of the stream. What was stored before is skipped; a
// gap, where the engine has dropped something, is marked.
func (l *logFile) write(c sandbox.Chunk) error {
	data := c.Data
	if c.Offset < l.pos {
		data = data[min(int64(len(data)), l.pos-c.Offset):]
	}
	if c.Offset > l.pos {
		data = append([]byte("\n[part of the log was lost]\n"), data...)
	}
	data = data[:min(int64(len(data)), max(l.max-l.kept, 0))]
	if err := l.side.note(l.kept, c.Err); len(data) > 0 && err != nil {
		return err
	}
	n, err := l.f.Write(data)
	l.kept += int64(n)
	if err != nil { // a full disk: the rest is asked for again
		l.pos = max(l.pos, min(l.pos+int64(n), c.Offset+int64(len(c.Data))))
		return err
	}
	l.pos = max(l.pos, c.Offset+int64(len(c.Data)))
	l.tell(false)
	return nil
}

// tell lets open pages know that there is more to fetch, at most ten times a second.
// The bytes themselves go only through workspace.
func (l *logFile) tell(last bool) {
	now := l.s.Now()
	if !last && now.Sub(l.told) < 100*time.Millisecond {
		return
	}
	l.told = now
	l.s.Live.Publish(Subject(l.job), live.Event{Type: "log", At: now, Data: map[string]any{"task": l.task, "size": l.kept}})
}

// close makes the log durable.
func (l *logFile) close() error {
	l.tell(true)
	return errors.Join(l.f.Sync(), l.f.Close(), l.side.close())
}

// LogContent opens the stored log of a job from byte `from`: the logs of its tasks
// one after another. It returns the size of all of it too. Only workspace calls
// it, which asks who reads, meters and audits.
func (s *Service) LogContent(_ context.Context, id string, from int64) (io.ReadCloser, int64, error) {
	const op = "job.LogContent"
	if from < 0 {
		return nil, 0, fault.New(op, fault.Invalid, "The offset %d is negative.", from)
	}
	all := &joined{}
	var total int64
	for n := 0; n < maxOwnTasks; n++ {
		f, err := os.Open(s.logPath(id, n))
		if errors.Is(err, os.ErrNotExist) {
			break
		}
		if err != nil {
			return nil, 0, errors.Join(fault.Wrap(op, err), all.Close())
		}
		all.files = append(all.files, f)
		size, err := skipInto(f, from-total)
		if err != nil {
			return nil, 0, errors.Join(fault.Wrap(op, err), all.Close())
		}
		all.parts = append(all.parts, f)
		total += size
	}
	all.r = io.MultiReader(all.parts...)
	return all, total, nil
}

func skipInto(f *os.File, skip int64) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	_, err = f.Seek(min(max(skip, 0), info.Size()), io.SeekStart)
	return info.Size(), err
}

type joined struct {
	r     io.Reader
	parts []io.Reader
	files []*os.File
}

func (j *joined) Read(p []byte) (int, error) { return j.r.Read(p) }

func (j *joined) Close() error {
	var errs []error
	for _, f := range j.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

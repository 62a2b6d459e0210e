package job

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"slices"
	"strings"

	"tresor/app/fault"
)

// streams notes in a file beside a log which of its bytes were standard error: a
// record of 9 bytes, offset and stream, where the stream changes. Without the file
// everything was standard output.
type streams struct {
	path string
	f    *os.File
	err  bool // the stream of what comes next, as noted
	n    int  // records
}

const (
	streamRecord = 9
	maxStreams   = 1 << 16 // records; what changes more often is shown as one stream
)

// openStreams goes on where an earlier server stopped.
func openStreams(path string) (*streams, error) {
	list, err := readStreams(path)
	st := &streams{path: path, n: len(list)}
	if len(list) > 0 {
		st.err = list[len(list)-1].err
	}
	return st, err
}

// note says that the byte at offset `at` and those after it belong to a stream.
func (st *streams) note(at int64, err bool) error {
	if st.err == err || st.n >= maxStreams {
		return nil
	}
	if st.f == nil {
		f, err := os.OpenFile(st.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return err
		}
		if err := f.Truncate(int64(st.n) * streamRecord); err != nil { // a record torn by a crash
			return errors.Join(err, f.Close())
		}
		st.f = f
	}
	var rec [streamRecord]byte
	binary.BigEndian.PutUint64(rec[:], uint64(at))
	if err {
		rec[8] = 1
	}
	if _, err := st.f.Write(rec[:]); err != nil {
		return err
	}
	st.err, st.n = err, st.n+1
	return nil
}

func (st *streams) close() error {
	if st.f == nil {
		return nil
	}
	return errors.Join(st.f.Sync(), st.f.Close())
}

// change is where a stream begins.
type change struct {
	at  int64
	err bool
}

// readStreams reads the records; a torn last one is left out.
func readStreams(path string) ([]change, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxStreams*streamRecord))
	if err != nil {
		return nil, err
	}
	var list []change
	for ; len(b) >= streamRecord; b = b[streamRecord:] {
		list = append(list, change{int64(binary.BigEndian.Uint64(b)), b[8] == 1})
	}
	return list, nil
}

// piece is a part of a log that belongs to one stream.
type piece struct{ from, to int64 }

// pieces returns the last parts of one stream in a log of some size that hold at
// most max bytes together, in order.
func pieces(list []change, size int64, stderr bool, max int64) []piece {
	var out []piece // from the end: a program may change its stream with every byte
	end := size
	for i := len(list); i >= 0 && max > 0; i-- {
		c := change{}
		if i > 0 {
			c = list[i-1]
		}
		if c.at >= end { // noted and not written, or noted again after a crash
			continue
		}
		if c.err == stderr {
			from := c.at
			if end-from > max {
				from = end - max
			}
			out = append(out, piece{from, end})
			max -= end - from
		}
		end = c.at
	}
	slices.Reverse(out)
	return out
}

// TaskOutput returns the end of what one task wrote to standard output or standard
// error, at most max bytes, as UTF-8; empty when there is nothing. It is for callers
// inside only: whoever calls it has made sure of that.
func (s *Service) TaskOutput(_ context.Context, id string, task int, stderr bool, max int64) (string, error) {
	const op = "job.TaskOutput"
	f, err := os.Open(s.logPath(id, task))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fault.Wrap(op, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fault.Wrap(op, err)
	}
	list, err := readStreams(s.streamPath(id, task))
	if err != nil {
		return "", fault.Wrap(op, err)
	}
	var text []byte
	for _, p := range pieces(list, info.Size(), stderr, max) {
		at := len(text)
		text = append(text, make([]byte, p.to-p.from)...)
		if _, err := f.ReadAt(text[at:], p.from); err != nil {
			return "", fault.Wrap(op, err)
		}
	}
	return strings.ToValidUTF8(string(text), "\uFFFD"), nil
}

func (s *Service) streamPath(job string, task int) string { return s.logPath(job, task) + ".streams" }

package agent

import (
	"encoding/binary"
	"io"
	"math"
	"os"
	"sort"
)

// marks are the positions at which a log turns from one stream to the other; it starts
// with standard output. They are also written to a file, for the collector.
type marks struct {
	turns []int64
	file  *os.File // nil: memory only
}

// maxTurns bounds the memory that a command can take by turning at every byte: after so many,
// everything belongs to the last stream.
const maxTurns = 1 << 20

// turn notes that what comes at offset is of this stream.
func (m *marks) turn(offset int64, errs bool) {
	if errs == (len(m.turns)%2 == 1) || len(m.turns) >= maxTurns {
		return
	}
	m.turns = append(m.turns, offset)
	if m.file != nil {
		_, _ = m.file.Write(binary.BigEndian.AppendUint64(nil, uint64(offset))) // lost, it costs a colour
	}
}

// at says which stream the byte at offset is of, and where that stream ends.
func (m *marks) at(offset int64) (errs bool, until int64) {
	i := sort.Search(len(m.turns), func(i int) bool { return m.turns[i] > offset })
	if i == len(m.turns) {
		return i%2 == 1, math.MaxInt64
	}
	return i%2 == 1, m.turns[i]
}

// readMarks reads what a first agent wrote, which a command may have changed since: turns
// come in order, and the first that does not is the end of them.
func readMarks(r io.Reader) (m marks) {
	b, _ := io.ReadAll(io.LimitReader(r, 8*maxTurns))
	last := int64(-1)
	for ; len(b) >= 8; b = b[8:] {
		at := int64(binary.BigEndian.Uint64(b))
		if at < 0 || at < last {
			break
		}
		m.turns, last = append(m.turns, at), at
	}
	return m
}

package dataset

import (
	"bytes"
	"io"
	"sync/atomic"
)

// block is a run of whole records. Several readers share it; the last one to
// release it gives its buffer back.
type block struct {
	n    int    // position in the file, from 0
	data []byte // whole records
	raw  []byte // what was newly read for it: these bytes, block by block, are the file
	buf  []byte
	uses atomic.Int32
}

// blocks cuts a stream into blocks at line ends that lie outside quotes, so that
// blocks can be parsed side by side. Memory is bounded by the number of buffers.
type blocks struct {
	r    io.Reader
	size int // bytes read at once
	free chan []byte
	tail []byte // begun record, copied in front of the next block
	odd  bool   // tail ends inside quotes
	n    int
	done bool
}

const bufferSize = blockSize + MaxRecord + slack

func newBlocks(r io.Reader, buffers int) *blocks {
	b := &blocks{r: r, size: blockSize, free: make(chan []byte, buffers)}
	for range buffers {
		b.free <- nil // made at first use: small files need one
	}
	return b
}

// release gives the buffer back; the block is dead afterwards.
func (b *blocks) release(k *block) { b.free <- k.buf }

// next returns the next block, or nil at the end. It waits for a free buffer.
func (b *blocks) next() (*block, *flaw, error) {
	if b.done {
		return nil, nil, nil
	}
	buf := <-b.free
	if buf == nil {
		buf = make([]byte, bufferSize)
	}
	k := &block{n: b.n, buf: buf}
	had := copy(buf, b.tail)
	got, err := readFull(b.r, buf[had:had+b.size])
	if err != nil && err != io.EOF {
		return nil, nil, err
	}
	b.done = err == io.EOF
	b.n++
	k.raw = buf[had : had+got]
	bad := b.cut(k, buf[:had+got], had)
	return k, bad, nil
}

// cut ends the block at its last line end outside quotes and keeps the rest.
func (b *blocks) cut(k *block, all []byte, had int) *flaw {
	odd := b.odd != (bytes.Count(all[had:], quote)%2 == 1)
	if b.done {
		k.data, b.tail = all, nil
		return nil
	}
	end := lastLineEnd(all, odd)
	k.data, b.odd = all[:end], odd
	b.tail = append(b.tail[:0], all[end:]...)
	if len(b.tail) <= MaxRecord {
		return nil
	}
	line := int64(bytes.Count(k.data, []byte{'\n'})) + 1
	if odd {
		return flawed(line, "Look for a quote that is opened and never closed.", "a record is longer than 1 MiB and stands inside an open quote")
	}
	return flawed(line, "Split the file into shorter lines; is it CSV at all?", "a line is longer than 1 MiB")
}

var quote = []byte{'"'}

// lastLineEnd returns the offset after the last '\n' that lies outside quotes,
// or 0. odd says whether the end of all lies inside quotes.
func lastLineEnd(all []byte, odd bool) int {
	for end := len(all); ; {
		i := bytes.LastIndexByte(all[:end], '\n')
		if i < 0 {
			return 0
		}
		odd = odd != (bytes.Count(all[i+1:end], quote)%2 == 1)
		if !odd {
			return i + 1
		}
		end = i
	}
}

// readFull fills p unless the stream ends or breaks first; the end is io.EOF
// even when some bytes came.
func readFull(r io.Reader, p []byte) (int, error) {
	n, err := io.ReadFull(r, p)
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	return n, err
}

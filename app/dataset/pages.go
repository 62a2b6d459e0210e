package dataset

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// pager appends rows to an empty table of an SQLite file that nobody has open,
// page by page in the format of https://www.sqlite.org/fileformat2.html. SQLite
// itself has made the file, its schema and every root page; this writes only the
// b-tree pages of rows that come in order, which is many times as fast as
// INSERT. The file is worth nothing until finish and seal have returned.
type pager struct {
	f    *os.File
	w    *bufio.Writer // pages from begin on, in order
	size int           // bytes of a page
	next uint32        // number of the next page that is appended

	leaf    []byte // being filled: cell pointers from the front, cells from the back
	cells   int
	content int // offset of the lowest cell
	rowid   int64
	done    []child // full leaves of the present table
}

// child is a page with the largest rowid below it.
type child struct {
	page uint32
	last int64
}

const (
	leafType     = 0x0d
	interiorType = 0x05
	leafHead     = 8
	interiorHead = 12
	// lockOffset is where SQLite keeps its locks: the page there holds no data.
	lockOffset = 1 << 30
)

// openPager continues the file at path after its last page.
func openPager(path string) (*pager, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	head := make([]byte, 100)
	if _, err := io.ReadFull(f, head); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	p := &pager{f: f, size: int(binary.BigEndian.Uint16(head[16:]))}
	if p.size == 1 {
		p.size = 1 << 16
	}
	end, err := f.Seek(0, io.SeekEnd)
	if err == nil && (p.size < 512 || end%int64(p.size) != 0) {
		err = fmt.Errorf("pages of %d bytes in a file of %d", p.size, end)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	p.next = uint32(end/int64(p.size)) + 1
	p.w = bufio.NewWriterSize(f, 1<<20)
	p.clear()
	return p, nil
}

func (p *pager) clear() {
	p.leaf = make([]byte, p.size)
	p.cells, p.content = 0, p.size
}

// add appends the next row, a record in SQLite's format.
func (p *pager) add(record []byte) error {
	p.rowid++
	local, rest := len(record), 0
	if local > p.size-35 {
		local = p.localPart(len(record))
		rest = 4
	}
	var head [18]byte
	n := putVarint(head[:], uint64(len(record)))
	n += putVarint(head[n:], uint64(p.rowid))
	need := n + local + rest
	if p.content-need < leafHead+2*(p.cells+1) {
		if err := p.flush(); err != nil {
			return err
		}
	}
	p.content -= need
	at := p.leaf[p.content:]
	copy(at, head[:n])
	copy(at[n:], record[:local])
	binary.BigEndian.PutUint16(p.leaf[leafHead+2*p.cells:], uint16(p.content))
	p.cells++
	if rest == 0 {
		return nil
	}
	// The leaf keeps its place in memory, so the overflow pages come before it.
	binary.BigEndian.PutUint32(at[n+local:], p.upcoming())
	return p.overflow(record[local:])
}

// localPart is how much of a long record stays in its leaf.
func (p *pager) localPart(n int) int {
	least := (p.size-12)*32/255 - 23
	k := least + (n-least)%(p.size-4)
	if k <= p.size-35 {
		return k
	}
	return least
}

// overflow writes what does not fit into a leaf as a chain of pages.
func (p *pager) overflow(rest []byte) error {
	for len(rest) > 0 {
		page := make([]byte, p.size)
		n := copy(page[4:], rest)
		rest = rest[n:]
		if len(rest) > 0 {
			binary.BigEndian.PutUint32(page, p.after(p.upcoming()))
		}
		if _, err := p.put(page); err != nil {
			return err
		}
	}
	return nil
}

// upcoming is the number that the next page gets: never that of the lock page.
func (p *pager) upcoming() uint32 { return p.skip(p.next) }

func (p *pager) after(n uint32) uint32 { return p.skip(n + 1) }

func (p *pager) skip(n uint32) uint32 {
	if n == uint32(lockOffset/p.size)+1 {
		return n + 1
	}
	return n
}

// put appends a page and returns its number.
func (p *pager) put(page []byte) (uint32, error) {
	for p.next != p.upcoming() {
		if _, err := p.w.Write(make([]byte, p.size)); err != nil {
			return 0, err
		}
		p.next++
	}
	_, err := p.w.Write(page)
	p.next++
	return p.next - 1, err
}

func (p *pager) headLeaf() {
	p.leaf[0] = leafType
	binary.BigEndian.PutUint16(p.leaf[3:], uint16(p.cells))
	binary.BigEndian.PutUint16(p.leaf[5:], uint16(p.content)) // 65,536 is written as 0
}

// flush appends the leaf. Its last row is the one before the row being added.
func (p *pager) flush() error {
	p.headLeaf()
	n, err := p.put(p.leaf)
	p.done = append(p.done, child{n, p.rowid - 1})
	p.clear()
	return err
}

// finish completes the table whose root page is root. The next add begins the
// next table.
func (p *pager) finish(root uint32) error {
	defer func() { p.rowid, p.done = 0, nil; p.clear() }()
	if len(p.done) == 0 {
		p.headLeaf()
		return p.rewrite(root, p.leaf)
	}
	p.rowid++ // flush is called for the row after the last one
	if err := p.flush(); err != nil {
		return err
	}
	level := p.done
	fan := (p.size - interiorHead) / (4 + 9 + 2)
	for len(level) > fan {
		var err error
		if level, err = p.raise(level, fan); err != nil {
			return err
		}
	}
	return p.rewrite(root, p.interior(level))
}

// raise puts one level of pages above the given one, evenly filled.
func (p *pager) raise(level []child, fan int) ([]child, error) {
	groups := (len(level) + fan - 1) / fan
	up := make([]child, 0, groups)
	for g := range groups {
		part := level[g*len(level)/groups : (g+1)*len(level)/groups]
		n, err := p.put(p.interior(part))
		if err != nil {
			return nil, err
		}
		up = append(up, child{n, part[len(part)-1].last})
	}
	return up, nil
}

// interior makes a page that points to the given ones.
func (p *pager) interior(part []child) []byte {
	page := make([]byte, p.size)
	last := len(part) - 1
	content := p.size
	for i, c := range part[:last] {
		var cell [13]byte
		binary.BigEndian.PutUint32(cell[:], c.page)
		n := 4 + putVarint(cell[4:], uint64(c.last))
		content -= n
		copy(page[content:], cell[:n])
		binary.BigEndian.PutUint16(page[interiorHead+2*i:], uint16(content))
	}
	page[0] = interiorType
	binary.BigEndian.PutUint16(page[3:], uint16(last))
	binary.BigEndian.PutUint16(page[5:], uint16(content))
	binary.BigEndian.PutUint32(page[8:], part[last].page)
	return page
}

// rewrite replaces a page that SQLite made.
func (p *pager) rewrite(n uint32, page []byte) error {
	_, err := p.f.WriteAt(page, int64(n-1)*int64(p.size))
	return err
}

// seal writes the new size into the file's header and closes it.
func (p *pager) seal() error {
	err := p.w.Flush()
	head := make([]byte, 100)
	if _, e := p.f.ReadAt(head, 0); e != nil {
		err = errors.Join(err, e)
	}
	change := binary.BigEndian.Uint32(head[24:]) + 1
	binary.BigEndian.PutUint32(head[24:], change)
	binary.BigEndian.PutUint32(head[28:], p.next-1)
	binary.BigEndian.PutUint32(head[92:], change) // the size is valid for this change
	if err == nil {
		_, err = p.f.WriteAt(head, 0)
	}
	return errors.Join(err, p.f.Close())
}

// putVarint writes SQLite's variable-length integer: big-endian groups of seven
// bits, the ninth byte whole.
func putVarint(b []byte, v uint64) int {
	if v < 0x80 {
		b[0] = byte(v)
		return 1
	}
	if v >= 1<<56 {
		b[8] = byte(v)
		v >>= 8
		for i := 7; i >= 0; i-- {
			b[i] = byte(v&0x7f) | 0x80
			v >>= 7
		}
		return 9
	}
	n := 1
	for x := v >> 7; x > 0; x >>= 7 {
		n++
	}
	for i := n - 1; i >= 0; i-- {
		b[i] = byte(v&0x7f) | 0x80
		v >>= 7
	}
	b[n-1] &= 0x7f
	return n
}

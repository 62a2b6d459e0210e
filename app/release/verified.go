package release

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"

	"tresor/app/fault"
)

const blockSize = 256 << 10

// verified reads a file of which every block has been hashed as part of the
// whole, and hashes each block again before it gives out any of it. So bytes
// that change on the disk between the check and the reading still never leave.
type verified struct {
	f      *os.File
	size   int64
	blocks [][sha256.Size]byte
	at     int64
	block  []byte // the one in memory
	n      int    // its number; -1 none
}

var errSwapped = errors.New("a block changed after it was verified")

// verify reads all of f and compares it with the hash and size it must have.
func verify(ctx context.Context, f *os.File, size int64, sum string) (*verified, error) {
	v := &verified{f: f, size: size, block: make([]byte, 0, blockSize), n: -1}
	whole := sha256.New()
	for at := int64(0); at < size; at += blockSize {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := v.load(at); err != nil {
			return nil, err
		}
		_, _ = whole.Write(v.block) // a hash takes everything
		v.blocks = append(v.blocks, sha256.Sum256(v.block))
	}
	if n, err := f.ReadAt(make([]byte, 1), size); n != 0 || err != io.EOF {
		return nil, errSwapped // longer than the release
	}
	if hex.EncodeToString(whole.Sum(nil)) != sum {
		return nil, errSwapped
	}
	return v, nil
}

// load reads the block that starts at at.
func (v *verified) load(at int64) error {
	v.n = -1
	v.block = v.block[:min(blockSize, v.size-at)]
	if n, err := v.f.ReadAt(v.block, at); n < len(v.block) {
		if err == io.EOF {
			return errSwapped // shorter than the release
		}
		return err
	}
	return nil
}

func (v *verified) Read(b []byte) (int, error) {
	if v.at >= v.size {
		return 0, io.EOF
	}
	n := int(v.at / blockSize)
	if v.n != n {
		if err := v.load(int64(n) * blockSize); err != nil {
			return 0, changed(err)
		}
		if sha256.Sum256(v.block) != v.blocks[n] {
			return 0, changed(errSwapped)
		}
		v.n = n
	}
	k := copy(b, v.block[v.at%blockSize:])
	v.at += int64(k)
	return k, nil
}

func (v *verified) Seek(off int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		off += v.at
	case io.SeekEnd:
		off += v.size
	}
	if off < 0 || whence < io.SeekStart || whence > io.SeekEnd {
		return v.at, fault.New("release.Seek", fault.Invalid, "There is no such place in the release.")
	}
	v.at = off
	return off, nil
}

func (v *verified) Close() error { return v.f.Close() }

// changed gives a failed reading its text: an unreadable disk and foreign bytes
// are different news.
func changed(err error) error {
	const op = "release.read"
	if errors.Is(err, errSwapped) {
		return fault.Kinded(op, fault.Internal, err, "The bytes of this release are not those that were approved, so none are given out. Tell the operator.")
	}
	return fault.Kinded(op, fault.Unavailable, err, "The release could not be read. Try again; if it stays, tell the operator.")
}

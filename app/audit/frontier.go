package audit

import (
	"errors"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"encoding/base64"
)

// frontier recomputes a tree leaf by leaf in memory of its depth only.
type frontier struct {
	n     int64
	stack []tlog.Hash // complete subtrees, largest first
}

// add takes the next leaf and returns the hashes that it completes, in the order
// in which tlog stores them: the leaf's own, then each parent that is now whole.
func (f *frontier) add(leaf []byte) []tlog.Hash {
	h := tlog.RecordHash(leaf)
	done := []tlog.Hash{h}
	for rest := f.n; rest&1 == 1; rest >>= 1 {
		h = tlog.NodeHash(f.stack[len(f.stack)-1], h)
		f.stack = f.stack[:len(f.stack)-1]
		done = append(done, h)
	}
	f.stack = append(f.stack, h)
	f.n++
	return done
}

// emptyRoot is SHA-256 of nothing (RFC 6962 2.1), the root of an empty tree.
var emptyRoot = tlog.Hash{0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55}

// root is the tree's root now.
func (f *frontier) root() tlog.Hash {
	if len(f.stack) == 0 {
		return emptyRoot
	}
	h := f.stack[len(f.stack)-1]
	for i := len(f.stack) - 2; i >= 0; i-- {
		h = tlog.NodeHash(f.stack[i], h)
	}
	return h
}

// parseUnsigned reads a checkpoint without judging its signature.
func parseUnsigned(text string) (Checkpoint, error) {
	lines := strings.SplitN(text, "\n", 4)
	if len(lines) < 4 {
		return Checkpoint{}, errors.New("that is not a checkpoint")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	raw, err2 := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || err2 != nil || size < 0 || len(raw) != tlog.HashSize {
		return Checkpoint{}, errors.New("that is not a checkpoint")
	}
	return Checkpoint{Size: size, Root: tlog.Hash(raw), Note: []byte(text)}, nil
}

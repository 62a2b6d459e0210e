package link

import (
	"encoding/binary"
	"time"

	"tresor/fed/wire"
)

// guard reads the yamux frames of a peer before yamux does and stops what yamux
// would pay for: a goroutine per ping, a stream per open, endless empty frames.
type guard struct {
	accept bool // whether the peer may open streams
	opens  bucket
	pings  bucket

	hdr  [headerSize]byte
	have int    // bytes of hdr that came
	skip uint32 // bytes of a body still to come
}

// The yamux frame: version, type, flags (2), stream (4), length (4).
const (
	headerSize = 12
	typeData   = 0
	typeWindow = 1
	typePing   = 2
	typeGoAway = 3
	flagSYN    = 1
)

// hasBody reports whether p is the header of a data frame with a body.
func hasBody(p []byte) bool {
	return len(p) == headerSize && p[0] == 0 && p[1] == typeData && binary.BigEndian.Uint32(p[8:]) > 0
}

func newGuard(accept bool, l Limits) *guard {
	return &guard{accept: accept, opens: bucket{rate: l.OpenRate}, pings: bucket{rate: l.PingRate}}
}

// check looks at the next bytes of the stream.
func (g *guard) check(p []byte, now time.Time) *wire.Refusal {
	for len(p) > 0 {
		if g.skip > 0 {
			n := min(int(g.skip), len(p))
			g.skip -= uint32(n)
			p = p[n:]
			continue
		}
		n := copy(g.hdr[g.have:], p)
		g.have += n
		p = p[n:]
		if g.have < headerSize {
			return nil
		}
		g.have = 0
		if r := g.frame(now); r != nil {
			return r
		}
	}
	return nil
}

func (g *guard) frame(now time.Time) *wire.Refusal {
	flags, size := binary.BigEndian.Uint16(g.hdr[2:]), binary.BigEndian.Uint32(g.hdr[8:])
	syn := flags&flagSYN != 0
	switch g.hdr[1] {
	case typeData, typeWindow:
		if g.hdr[1] == typeData {
			g.skip = size
			if size > window {
				return wire.Refuse(wire.CodeSize, "the peer sent a frame of %d bytes, at most %d are allowed", size, window)
			}
		}
		if syn && !g.accept {
			return wire.Refuse(wire.CodeFlood, "the peer opened a stream, which only a hub may")
		}
		if syn && !g.opens.take(now) {
			return wire.Refuse(wire.CodeFlood, "the peer opened more than %.0f streams a second", g.opens.rate)
		}
		if size == 0 && flags == 0 && !g.pings.take(now) {
			return wire.Refuse(wire.CodeFlood, "the peer sent too many empty frames")
		}
	case typePing, typeGoAway:
		if !g.pings.take(now) {
			return wire.Refuse(wire.CodeFlood, "the peer sent more than %.0f pings a second", g.pings.rate)
		}
	default:
		return wire.Refuse(wire.CodeMalformed, "the peer sent a frame of an unknown type")
	}
	return nil
}

// bucket lets rate events a second pass, and twice that at once.
type bucket struct {
	rate float64
	left float64
	last time.Time
}

func (b *bucket) take(now time.Time) bool {
	if b.last.IsZero() {
		b.left = 2 * b.rate
	} else {
		b.left = min(2*b.rate, b.left+b.rate*now.Sub(b.last).Seconds())
	}
	b.last = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

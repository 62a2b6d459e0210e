package gateway

import (
	"archive/zip"
	"context"
	"io"
	"strings"
	"sync"

	"tresor/app/fault"
	"tresor/app/release"
	"tresor/plugins/protocol"
)

// chunk is the most that ReadRelease gives at a time.
const chunk = 1 << 20

// outputsFolder is where a release keeps its files, below the zip's own folder.
const outputsFolder = "data/outputs/"

// ReadRelease reads released bytes from offset; an empty Data is the end.
func (h *host) ReadRelease(ctx context.Context, id string, offset int64) (protocol.Chunk, error) {
	p, err := h.party(ctx)
	if err != nil {
		return protocol.Chunk{}, h.fail(err)
	}
	c, err := h.readRelease(ctx, p, id, offset)
	return c, h.fail(err)
}

func (h *host) readRelease(ctx context.Context, p *party, id string, offset int64) (protocol.Chunk, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if offset < 0 {
		return protocol.Chunk{}, malformed("The offset is negative.")
	}
	if h.zipID != id || offset == 0 {
		h.drop()
		x, err := h.s.parcel(ctx, p, h.plugin, id)
		if err != nil {
			return protocol.Chunk{}, err
		}
		zip, r, err := h.s.open(ctx, p, x)
		if err != nil {
			return protocol.Chunk{}, err
		}
		h.zip, h.zipID, h.zipInfo = zip, id, r
		if err := h.s.sent(ctx, p, x, r.SHA256, r.Size, "", h.who.Correlation); err != nil {
			h.drop()
			return protocol.Chunk{}, err
		}
	}
	c := protocol.Chunk{Data: []byte{}, Total: h.zipInfo.Size}
	if offset >= c.Total {
		h.drop()
		return c, nil
	}
	if _, err := h.zip.Seek(offset, io.SeekStart); err != nil {
		return c, err
	}
	c.Data = make([]byte, min(chunk, c.Total-offset))
	_, err := io.ReadFull(h.zip, c.Data)
	return c, err
}

// member opens one file of the zip. Releases store files as they are, so a part of
// one is a part of the zip.
func member(z io.ReadSeeker, r release.Release, path string) (io.ReadSeeker, error) {
	at := &readerAt{r: z}
	files, err := zip.NewReader(at, r.Size)
	if err != nil {
		return nil, fault.Wrap("gateway.member", err)
	}
	for _, f := range files.File {
		_, name, _ := strings.Cut(f.Name, "/")
		if name != outputsFolder+path || f.Method != zip.Store {
			continue
		}
		start, err := f.DataOffset()
		if err != nil {
			return nil, fault.Wrap("gateway.member", err)
		}
		return io.NewSectionReader(at, start, int64(f.UncompressedSize64)), nil
	}
	return nil, fault.New("gateway.member", fault.Internal, "The release does not hold the file that its list names. Tell the operator.")
}

// readerAt reads at places of a stream that can only seek.
type readerAt struct {
	mu sync.Mutex
	r  io.ReadSeeker
}

func (a *readerAt) ReadAt(b []byte, off int64) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, err := a.r.Seek(off, io.SeekStart); err != nil {
		return 0, err
	}
	n, err := io.ReadFull(a.r, b)
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	return n, err
}

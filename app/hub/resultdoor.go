package hub

import (
	"archive/zip"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"tresor/app/fault"
)

// result gives out what a node released: the zip, or one file in it.
func (s *Service) result(w http.ResponseWriter, r *http.Request, c caller, to place) error {
	if err := s.inProject(r.Context(), c, to.id); err != nil {
		return err
	}
	f, err := s.Result(r.Context(), c.actor(), to.id, to.node)
	if err != nil {
		return err
	}
	defer f.Close()
	if to.path != "" {
		return sendEntry(w, r, f, to.path)
	}
	h := w.Header()
	h.Set("Content-Type", "application/zip")
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": f.Name}))
	h.Set("Content-Length", strconv.FormatInt(f.Size, 10))
	h.Set("Tresor-SHA256", f.SHA256)
	if r.Method != http.MethodHead {
		_, _ = io.Copy(w, f) // the other end is gone: nobody to tell
	}
	return nil
}

// sendEntry gives one file of the zip, named as in its manifest.
func sendEntry(w http.ResponseWriter, r *http.Request, f *ResultFile, name string) error {
	const op = "hub.result"
	z, err := zip.NewReader(f, f.Size)
	if err != nil {
		return fault.Kinded(op, fault.Internal, err, "The result on this hub's disk cannot be read.")
	}
	e := entryOf(z, name)
	if e == nil {
		return fault.New(op, fault.NotFound, "The result has no file %q.", clip(name, 80))
	}
	in, err := e.Open()
	if err != nil {
		return fault.Kinded(op, fault.Internal, err, "The result on this hub's disk cannot be read.")
	}
	defer in.Close()
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name[strings.LastIndexByte(name, '/')+1:]}))
	h.Set("Content-Length", strconv.FormatUint(e.UncompressedSize64, 10))
	if r.Method != http.MethodHead {
		_, _ = io.Copy(w, in) // as above
	}
	return nil
}

// entryOf finds a released file: it lies below data/outputs/ of the one folder.
func entryOf(z *zip.Reader, name string) *zip.File {
	for _, e := range z.File {
		if folder, rest, ok := strings.Cut(e.Name, "/data/outputs/"); ok && !strings.Contains(folder, "/") && rest == name {
			return e
		}
	}
	return nil
}

package hub

import (
	"archive/zip"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"tresor/app/fault"
	"tresor/app/release"
)

// result gives out what a node released: the zip, or one file in it, whole or the
// ranges that were asked for (RFC 9110, section 14).
func (s *Service) result(w http.ResponseWriter, r *http.Request, c caller, to place) error {
	const op = "hub.result"
	if err := s.inProject(r.Context(), c, to.id); err != nil {
		return err
	}
	f, err := s.Result(r.Context(), c.actor(), to.id, to.node)
	if err != nil {
		return err
	}
	defer f.Close()
	w.Header().Set("Tresor-SHA256", f.SHA256)
	if to.path == "" {
		if err := release.Describe(w.Header(), "application/zip", f.Name, f.SHA256); err != nil {
			return fault.Wrap(op, err)
		}
		http.ServeContent(w, r, "", time.Time{}, f)
		return nil
	}
	z, err := zip.NewReader(f, f.Size)
	if err != nil {
		return unreadable(op, err)
	}
	e := entryOf(z, to.path)
	if e == nil {
		return fault.New(op, fault.NotFound, "The result has no file %q.", clip(to.path, 80))
	}
	return sendEntry(w, r, f, e, to.path)
}

func unreadable(op string, err error) error {
	return fault.Kinded(op, fault.Internal, err, "The result on this hub's disk cannot be read.")
}

// sendEntry gives one file of the zip, named as in its manifest. Releases store files
// as they are, so a part of one is a part of the zip; one that is packed all the same
// is given whole.
func sendEntry(w http.ResponseWriter, r *http.Request, f *ResultFile, e *zip.File, name string) error {
	const op = "hub.sendEntry"
	in, err := e.Open()
	if err != nil {
		return unreadable(op, err)
	}
	defer in.Close()
	if err := release.Describe(w.Header(), "application/octet-stream", name[strings.LastIndexByte(name, '/')+1:], f.sumOf(name)); err != nil {
		return fault.Wrap(op, err)
	}
	if e.Method == zip.Store {
		start, err := e.DataOffset()
		if err != nil {
			return unreadable(op, err)
		}
		http.ServeContent(w, r, "", time.Time{}, io.NewSectionReader(f, start, int64(e.UncompressedSize64)))
		return nil
	}
	w.Header().Set("Accept-Ranges", "none")
	w.Header().Set("Content-Length", strconv.FormatUint(e.UncompressedSize64, 10))
	if r.Method != http.MethodHead {
		_, _ = io.Copy(w, in) // the other end is gone: nobody to tell
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

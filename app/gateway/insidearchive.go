package gateway

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"tresor/app/tree"
)

// postFiles keeps the files of a tar archive below a folder, all or none.
func (s *Service) postFiles(w http.ResponseWriter, r *http.Request, who Caller, folder string) error {
	if folder != "" && !strings.HasSuffix(folder, "/") {
		return malformed("An archive is posted to a folder. End its address with a slash.")
	}
	b, err := s.begin(r, who)
	if err != nil {
		return err
	}
	err = b.unpack(w, folder)
	b.hands.Wait()
	if err == nil && b.lost != nil {
		err = b.at(w, b.lost.Path, b.why)
	}
	if err != nil {
		return err
	}
	if len(b.list) > 0 {
		if err := b.keep(w); err != nil {
			return err
		}
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// unpack reads the archive. Only plain files are taken; folders are made by what is in them.
func (b *batch) unpack(w http.ResponseWriter, folder string) error {
	files := tar.NewReader(b.r.Body)
	for {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return malformed("The body is no whole tar archive.")
		}
		if h.Typeflag == tar.TypeDir || h.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		name := folder + strings.TrimPrefix(h.Name, "./")
		if h.Typeflag != tar.TypeReg || strings.HasSuffix(name, "/") {
			return b.at(w, name, malformed("%s is no plain file, and only those are kept.", quoted(name)))
		}
		clean, err := tree.Clean(name)
		if err == nil && len(b.list) > 0 {
			b.most, err = b.s.puts.another(b.p.counts[0].key, b.most)
		}
		if err == nil && len(b.list) == MaxBatch {
			err = malformed("The archive has more than %d files. Send several.", MaxBatch)
		}
		if err == nil {
			err = b.fits(h.Size)
		}
		if err == nil {
			err = b.take(b.add(clean, h.PAXRecords[SeenRecord], h.Mode&0o111 != 0), h.Size, files)
		}
		if err != nil {
			return b.at(w, name, err)
		}
	}
}

// at says which of many files an error is about.
func (b *batch) at(w http.ResponseWriter, name string, err error) error {
	if err != nil {
		w.Header().Set(FileHeader, url.PathEscape(name))
	}
	return err
}

// add notes one file whose bytes follow.
func (b *batch) add(clean, seen string, executable bool) *incoming {
	f := &incoming{tree.File{Path: clean, Executable: executable}, seen}
	b.list = append(b.list, f)
	return f
}

// smallFile is up to what size a file is read whole before it is written.
const smallFile = 64 << 10

// take keeps the bytes of one file of an archive: a small one beside the next ones.
func (b *batch) take(f *incoming, size int64, body io.Reader) error {
	b.most -= size
	if size > smallFile {
		return b.store(f, body, size)
	}
	content, err := io.ReadAll(body)
	if err != nil {
		return cutShort(err)
	}
	b.slots <- struct{}{}
	b.hands.Go(func() {
		defer func() { <-b.slots }()
		if err := b.store(f, bytes.NewReader(content), size); err != nil {
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.lost == nil {
				b.lost, b.why = f, err
			}
		}
	})
	return nil
}

// store writes the bytes of one file, at most so many, into the vault.
func (b *batch) store(f *incoming, body io.Reader, most int64) error {
	blob, err := b.s.Vault.Put(b.r.Context(), body, most)
	b.s.puts.spent(b.p.counts[0].key, max(blob.Size, 0))
	f.SHA256, f.Size = blob.SHA256, blob.Size
	return cutShort(err)
}

func cutShort(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return malformed("The request ended before all of it was here.")
	}
	return err
}

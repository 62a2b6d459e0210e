package crate

import (
	"archive/zip"
	"io"
	"io/fs"
	"sort"
	"strings"

	"tresor/app/fault"
)

// Limits bound what Verify is willing to read.
type Limits struct {
	Files int   // entries in the archive
	Bytes int64 // of all files, unpacked
	Text  int64 // of one tag file or the metadata document, which are held in memory
	Ratio int64 // unpacked to packed size of one file, above a megabyte
}

// DefaultLimits are generous for any release and small enough that a hostile
// archive costs seconds.
var DefaultLimits = Limits{Files: 20_000, Bytes: 64 << 30, Text: 32 << 20, Ratio: 200}

// openBag reads the directory of the archive and refuses what could make a
// reader see another file than we check: odd names, duplicates, links,
// overlapping or encrypted entries, more than one top folder. It returns the
// files by their path from the bag's root.
func openBag(r io.ReaderAt, size int64, lim Limits) (folder string, files map[string]*zip.File, err error) {
	const op = "crate.Verify"
	z, err := zip.NewReader(r, size)
	if err != nil {
		return "", nil, fault.Kinded(op, fault.Invalid, err, "This is not a complete zip file.")
	}
	if len(z.File) > lim.Files {
		return "", nil, fault.New(op, fault.Exhausted, "The zip holds more than %d files.", lim.Files)
	}
	names := newTree()
	files = map[string]*zip.File{}
	for _, f := range z.File {
		top, rest, ok := strings.Cut(f.Name, "/")
		if folder == "" {
			folder = top
		}
		if !ok || top != folder || !folderPattern.MatchString(top) {
			return "", nil, fault.New(op, fault.Invalid, "The zip does not hold exactly one top-level folder.")
		}
		if strings.HasSuffix(f.Name, "/") && f.UncompressedSize64 == 0 && f.Mode().IsDir() {
			continue // a folder's own entry says nothing
		}
		if err := plain(f, lim); err != nil {
			return "", nil, err
		}
		if err := names.add(rest); err != nil {
			return "", nil, err
		}
		files[rest] = f
	}
	return folder, files, apart(z.File, size, lim)
}

// plain refuses entries that are not simply a compressed or stored file.
func plain(f *zip.File, lim Limits) error {
	const op = "crate.Verify"
	if f.Mode()&^fs.ModePerm != 0 {
		return fault.New(op, fault.Invalid, "The zip entry %q is a link or a special file.", f.Name)
	}
	if f.Flags&1 != 0 || (f.Method != zip.Store && f.Method != zip.Deflate) {
		return fault.New(op, fault.Invalid, "The zip entry %q is encrypted or compressed in an unknown way.", f.Name)
	}
	const small = 1 << 20
	if u, c := f.UncompressedSize64, f.CompressedSize64; u > small && u/uint64(lim.Ratio) > c {
		return fault.New(op, fault.Exhausted, "The zip entry %q claims to unpack to more than %d times its size.", f.Name, lim.Ratio)
	}
	return nil
}

// apart refuses entries that share bytes, the trick of the small zip that
// unpacks to petabytes, and a total above the limit.
func apart(files []*zip.File, size int64, lim Limits) error {
	const op = "crate.Verify"
	type span struct{ from, to uint64 }
	var spans []span
	left := uint64(lim.Bytes)
	for _, f := range files {
		if f.UncompressedSize64 > left {
			return fault.New(op, fault.Exhausted, "The zip unpacks to more than %d bytes.", lim.Bytes)
		}
		left -= f.UncompressedSize64
		at, err := f.DataOffset()
		if err != nil {
			return fault.Kinded(op, fault.Invalid, err, "The zip entry %q is damaged.", f.Name)
		}
		to := uint64(at) + f.CompressedSize64
		if to > uint64(size) || to < uint64(at) {
			return fault.New(op, fault.Invalid, "The zip entry %q reaches beyond the end of the file.", f.Name)
		}
		spans = append(spans, span{uint64(at), to})
	}
	sort.Slice(spans, func(i, j int) bool { return spans[i].from < spans[j].from })
	for i := 1; i < len(spans); i++ {
		if spans[i].from < spans[i-1].to {
			return fault.New(op, fault.Invalid, "Entries of the zip share bytes.")
		}
	}
	return nil
}

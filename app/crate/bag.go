package crate

import (
	"archive/zip"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"regexp"
	"sort"
	"strings"
	"time"

	"tresor/app/fault"
)

// Bag is what Write puts into one zip.
type Bag struct {
	Folder     string            // the one top-level folder; letters, digits, "-", "_" and "."
	ExternalID string            // "urn:uuid:…", the same for request and response
	Info       map[string]string // more lines of bag-info.txt, such as "Source-Organization"
	Files      []File            // the payload, in any order; one of them is MetadataName
}

// File is one payload file. Path is relative to the payload folder data/, with
// slashes. Open is called once and must give exactly Size bytes.
type File struct {
	Path string
	Size int64
	Open func() (io.ReadCloser, error)
}

const (
	bagitName    = "bagit.txt"
	bagitText    = "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
	infoName     = "bag-info.txt"
	manifestName = "manifest-sha512.txt"
	tagsName     = "tagmanifest-sha512.txt"
	payload      = "data/"
)

var (
	folderPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)
	uuidPattern   = regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	labelPattern  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{0,63}$`)
)

// epoch is the time of every entry: the bytes depend on the content alone. It
// is the earliest that a zip can state.
var epoch = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// Write writes the bag as a zip, uncompressed so that its bytes do not depend
// on a compressor's version: the same files give the same hash. Each file is
// read once. Invalid when a name is unfit or a file is not as long as it says;
// w then holds half a zip and must be thrown away.
func Write(w io.Writer, b Bag) error {
	if err := b.check(); err != nil {
		return err
	}
	z := &bagWriter{zip: zip.NewWriter(w), folder: b.Folder + "/"}
	files := append([]File(nil), b.Files...)
	sort.Slice(files, func(i, j int) bool { return files[i].Path < files[j].Path })
	var manifest, tags sums
	var total int64
	for _, f := range files {
		sum, err := z.payload(f)
		if err != nil {
			return err
		}
		manifest = append(manifest, entry{payload + f.Path, sum})
		total += f.Size
	}
	info := b.info(total, len(files))
	for _, tag := range []struct{ name, text string }{
		{bagitName, bagitText}, {infoName, info}, {manifestName, manifest.text()},
	} {
		sum, err := z.text(tag.name, tag.text)
		if err != nil {
			return err
		}
		tags = append(tags, entry{tag.name, sum})
	}
	if _, err := z.text(tagsName, tags.text()); err != nil {
		return err
	}
	return fault.Wrap("crate.Write", z.zip.Close())
}

func (b Bag) check() error {
	const op = "crate.Write"
	if !folderPattern.MatchString(b.Folder) {
		return fault.New(op, fault.Invalid, "The package's folder name %q is not allowed.", b.Folder)
	}
	if !uuidPattern.MatchString(b.ExternalID) {
		return fault.New(op, fault.Invalid, "The package's identifier %q is not urn:uuid: and a UUID.", b.ExternalID)
	}
	names, metadata := newTree(), false
	for _, f := range b.Files {
		if err := names.add(payload + f.Path); err != nil {
			return err
		}
		metadata = metadata || f.Path == MetadataName
	}
	if !metadata {
		return fault.New(op, fault.Invalid, "The package lacks its description, %s.", MetadataName)
	}
	return checkInfo(b.Info)
}

func checkInfo(info map[string]string) error {
	for k, v := range info {
		if !labelPattern.MatchString(k) || strings.ContainsAny(v, "\r\n") || k == "External-Identifier" || k == "Payload-Oxum" {
			return fault.New("crate.Write", fault.Invalid, "The line %q of the package's information is not allowed.", k)
		}
	}
	return nil
}

func (b Bag) info(bytes int64, files int) string {
	lines := []string{
		"External-Identifier: " + b.ExternalID,
		fmt.Sprintf("Payload-Oxum: %d.%d", bytes, files),
	}
	for k, v := range b.Info {
		lines = append(lines, k+": "+v)
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n") + "\n"
}

type bagWriter struct {
	zip    *zip.Writer
	folder string
}

func (z *bagWriter) create(name string) (io.Writer, error) {
	h := &zip.FileHeader{Name: z.folder + name, Method: zip.Store, Modified: epoch}
	h.SetMode(fs.FileMode(0o644))
	return z.zip.CreateHeader(h)
}

// payload copies one file into the zip and returns its SHA-512 in hex.
func (z *bagWriter) payload(f File) (sum string, err error) {
	const op = "crate.Write"
	w, err := z.create(payload + f.Path)
	if err != nil {
		return "", fault.Wrap(op, err)
	}
	r, err := f.Open()
	if err != nil {
		return "", fault.Wrap(op, err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	h := sha512.New()
	n, err := io.Copy(io.MultiWriter(w, h), io.LimitReader(r, f.Size+1))
	if err != nil {
		return "", fault.Wrap(op, err)
	}
	if n != f.Size {
		return "", fault.New(op, fault.Invalid, "The file %q is not %d bytes long as its record says.", f.Path, f.Size)
	}
	return digest(h), nil
}

func (z *bagWriter) text(name, text string) (string, error) {
	w, err := z.create(name)
	if err != nil {
		return "", fault.Wrap("crate.Write", err)
	}
	h := sha512.New()
	_, err = io.WriteString(io.MultiWriter(w, h), text)
	return digest(h), fault.Wrap("crate.Write", err)
}

func digest(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

package dataset

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"tresor/app/fault"
)

// Manifest is the text whose SHA-256 names a version: one line
// "<sha256> <size> <name>" with LF for each file, sorted by name. Anybody who
// has the files can make it again with sha256sum.
func Manifest(files []File) []byte {
	sorted := append([]File(nil), files...)
	sort.Slice(sorted, func(i, j int) bool { return sorted[i].Name < sorted[j].Name })
	var b strings.Builder
	for _, f := range sorted {
		fmt.Fprintf(&b, "%s %d %s\n", f.SHA256, f.Size, f.Name)
	}
	return []byte(b.String())
}

func manifestHash(files []File) string {
	sum := sha256.Sum256(Manifest(files))
	return hex.EncodeToString(sum[:])
}

// Verify reads the files of a version and compares them with its manifest. A
// difference is fault.Internal: the bytes on the disk are not those that came.
func (s *Service) Verify(ctx context.Context, v Version) error {
	const op = "dataset.Verify"
	if manifestHash(v.Files) != v.SHA256 {
		return fault.New(op, fault.Internal, "The record of version %d does not match its hash. Restore the database from a backup.", v.N)
	}
	for _, f := range v.Files {
		path := filepath.Join(versionDir(s.Dir, v.DatasetID, v.N), "files", f.Name)
		sum, err := hashFile(ctx, path)
		if err != nil {
			return fault.Kinded(op, fault.Internal, err, "The file %s of version %d cannot be read. Restore the dataset from a backup.", f.Name, v.N)
		}
		if sum != f.SHA256 {
			return fault.New(op, fault.Internal, "The file %s of version %d has changed on the disk. Restore the dataset from a backup and find out who could write there.", f.Name, v.N)
		}
	}
	return nil
}

func hashFile(ctx context.Context, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	for buf := make([]byte, blockSize); ctx.Err() == nil; {
		n, err := f.Read(buf)
		h.Write(buf[:n])
		if err == io.EOF {
			return hex.EncodeToString(h.Sum(nil)), nil
		}
		if err != nil {
			return "", err
		}
	}
	return "", ctx.Err()
}

func i64(n int64) string { return strconv.FormatInt(n, 10) }

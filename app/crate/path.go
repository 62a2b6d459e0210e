package crate

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"tresor/app/fault"
)

// maxPath is the longest path in a bag, in bytes: common file systems and zip
// tools take it.
const maxPath = 1024

// checkPath refuses every name that a person's unzip might take for another
// file than the one that was checked.
func checkPath(p string) error {
	const op = "crate.checkPath"
	if p == "" || len(p) > maxPath || !utf8.ValidString(p) {
		return fault.New(op, fault.Invalid, "A file in the package has an empty, over-long or badly encoded name.")
	}
	for _, r := range p {
		if !unicode.IsPrint(r) || r == '\\' {
			return fault.New(op, fault.Invalid, "The file name %q in the package holds a character that is not allowed.", p)
		}
	}
	for _, part := range strings.Split(p, "/") {
		if part == "" || part == "." || part == ".." {
			return fault.New(op, fault.Invalid, "The file name %q in the package is not a plain relative path.", p)
		}
	}
	return nil
}

// tree remembers file names and refuses one that is there already, differs only
// by case, or is a folder of another: some systems would write one over the other.
type tree struct {
	files   map[string]string // folded path -> path
	folders map[string]string // folded folder -> a path in it
}

func newTree() *tree { return &tree{map[string]string{}, map[string]string{}} }

func (t *tree) add(p string) error {
	const op = "crate.tree"
	if err := checkPath(p); err != nil {
		return err
	}
	key := strings.ToLower(p)
	if other, ok := t.files[key]; ok {
		return fault.New(op, fault.Invalid, "The package holds both %q and %q: on some systems one would replace the other.", other, p)
	}
	if other, ok := t.folders[key]; ok {
		return fault.New(op, fault.Invalid, "The package holds %q both as a file and as the folder of %q.", p, other)
	}
	for i, c := range key {
		if c != '/' {
			continue
		}
		if other, ok := t.files[key[:i]]; ok {
			return fault.New(op, fault.Invalid, "The package holds %q both as a file and as the folder of %q.", other, p)
		}
		t.folders[key[:i]] = p
	}
	t.files[key] = p
	return nil
}

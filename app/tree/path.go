package tree

import (
	"path"
	"strings"

	"tresor/app/fault"
	"tresor/sandbox"
)

// MaxPath bounds a path in a tree, in bytes.
const MaxPath = 900

// Clean checks the path of a file and returns it without slashes at its ends.
// fault.Invalid says what is wrong with it.
func Clean(p string) (string, error) {
	c, err := cleanFolder(p)
	if err == nil && c == "" {
		return "", refused(p, "it names all of the project's files and no one of them")
	}
	return c, err
}

// cleanFolder is Clean where "" and "/" mean the whole tree.
func cleanFolder(p string) (string, error) {
	c := strings.Trim(p, "/")
	switch {
	case c == "":
		return "", nil
	case len(c) > MaxPath:
		return "", refused(p, "it is longer than 900 bytes")
	case path.Clean(c) != c || c == "." || c == ".." || strings.HasPrefix(c, "../"):
		return "", refused(p, "it holds an empty, \".\" or \"..\" folder")
	}
	if err := sandbox.CheckPath("/" + c); err != nil {
		return "", refused(p, err.Error())
	}
	return c, nil
}

func refused(p, why string) error {
	return fault.New("tree.Clean", fault.Invalid, "The path %q cannot be used for the project's files: %s. Use a path such as results/table.csv.", clip(p), why)
}

func clip(s string) string {
	s = sandbox.Printable(s)
	if len(s) > 100 {
		return s[:100] + "…"
	}
	return s
}

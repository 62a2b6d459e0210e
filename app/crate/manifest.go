package crate

import (
	"regexp"
	"sort"
	"strings"

	"tresor/app/fault"
)

// entry is one line of a manifest: a path from the bag's root and its SHA-512.
type entry struct{ path, sum string }

type sums []entry

// BagIt keeps lines whole by writing these three in percent form (RFC 8493, 2.1.3).
var (
	escape   = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	unescape = strings.NewReplacer("%25", "%", "%0D", "\r", "%0d", "\r", "%0A", "\n", "%0a", "\n")
)

func (s sums) text() string {
	sorted := append(sums(nil), s...)
	sort.Slice(sorted, func(i, j int) bool { return sorted[i].path < sorted[j].path })
	var b strings.Builder
	for _, e := range sorted {
		b.WriteString(e.sum + "  " + escape.Replace(e.path) + "\n")
	}
	return b.String()
}

var manifestLine = regexp.MustCompile(`^([0-9a-fA-F]{128})[ \t]+\*?(\S.*)$`)

// parseManifest reads a SHA-512 manifest into path -> lower-case hash.
func parseManifest(name, text string) (map[string]string, error) {
	const op = "crate.parseManifest"
	out := map[string]string{}
	for i, line := range lines(text) {
		m := manifestLine.FindStringSubmatch(line)
		if m == nil {
			return nil, fault.New(op, fault.Invalid, "Line %d of %s is not a SHA-512 and a file name.", i+1, name)
		}
		path := unescape.Replace(m[2])
		if err := checkPath(path); err != nil {
			return nil, err
		}
		if _, twice := out[path]; twice {
			return nil, fault.New(op, fault.Invalid, "%s lists %q twice.", name, path)
		}
		out[path] = strings.ToLower(m[1])
	}
	return out, nil
}

// parseInfo reads bag-info.txt; a line that begins with a blank continues the
// one before. Of a repeated label the first counts.
func parseInfo(text string) (map[string]string, error) {
	out, last := map[string]string{}, ""
	for i, line := range lines(text) {
		if last != "" && (line[0] == ' ' || line[0] == '\t') {
			out[last] += " " + strings.TrimSpace(line)
			continue
		}
		label, value, ok := strings.Cut(line, ":")
		if !ok || !labelPattern.MatchString(strings.TrimSpace(label)) {
			return nil, fault.New("crate.parseInfo", fault.Invalid, "Line %d of %s is not a label and a value.", i+1, infoName)
		}
		last = strings.TrimSpace(label)
		if _, twice := out[last]; twice {
			last = "" // its continuation lines do not belong to the first one
			continue
		}
		out[last] = strings.TrimSpace(value)
	}
	return out, nil
}

// lines splits a tag file, which may end its lines with LF, CR or CRLF, and
// drops empty lines.
func lines(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
}

package model

import (
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Bounds of a body, before anything in it is looked at.
const (
	MaxBody   = 2 << 20 // bytes
	maxDepth  = 32      // objects and arrays in each other
	maxValues = 100_000
)

// kind is what a JSON value is, as a message calls it.
type kind string

const (
	isNull   kind = "null"
	isBool   kind = "true or false"
	isNumber kind = "a number"
	isString kind = "a string"
	isArray  kind = "a list"
	isObject kind = "an object"
)

// value is one JSON value. The library's decoder takes the last of two equal
// keys, mends broken text and says neither; a gate may not.
type value struct {
	kind  kind
	text  string   // of a string: decoded; of a number: as written; of a bool: true, false
	keys  []string // of an object
	items []value  // of an array or object
}

var words = [...]value{{kind: isNull, text: "null"}, {kind: isBool, text: "true"}, {kind: isBool, text: "false"}}

// get gives the member of an object, and null when it is not there.
func (v value) get(key string) value {
	for i, k := range v.keys {
		if k == key {
			return v.items[i]
		}
	}
	return value{kind: isNull}
}

// parser reads one JSON document (RFC 8259) and stops at the first fault.
type parser struct {
	b      []byte
	at     int
	values int
}

// parse reads a body that is one JSON value.
func parse(body []byte) (value, error) {
	if len(body) > MaxBody {
		return value{}, &Problem{Large: true, Text: fmt.Sprintf("The body has %d bytes; at most %d are read. Put large files in a dataset or in the project's own files and name them as inputs.", len(body), MaxBody)}
	}
	p := &parser{b: body}
	p.space()
	v, err := p.value(0)
	if err != nil {
		return value{}, err
	}
	p.space()
	if p.at < len(p.b) {
		return value{}, p.fault("there is something behind the end of the value")
	}
	return v, nil
}

func (p *parser) fault(what string) error {
	return &Problem{Text: fmt.Sprintf("The body is not JSON that can be read: at byte %d %s.", p.at, what)}
}

func (p *parser) space() {
	for p.at < len(p.b) && (p.b[p.at] == ' ' || p.b[p.at] == '\n' || p.b[p.at] == '\t' || p.b[p.at] == '\r') {
		p.at++
	}
}

func (p *parser) value(depth int) (value, error) {
	if p.at >= len(p.b) {
		return value{}, p.fault("it ends too early")
	}
	if p.values++; p.values > maxValues {
		return value{}, &Problem{Large: true, Text: fmt.Sprintf("The body holds more than %d values. Split the work into several tasks.", maxValues)}
	}
	if depth > maxDepth {
		return value{}, p.fault(fmt.Sprintf("lists and objects lie in each other more than %d deep", maxDepth))
	}
	switch c := p.b[p.at]; {
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.array(depth)
	case c == '"':
		s, err := p.string()
		return value{kind: isString, text: s}, err
	case c == '-' || c >= '0' && c <= '9':
		return p.number()
	}
	for _, w := range words {
		if p.at+len(w.text) <= len(p.b) && string(p.b[p.at:p.at+len(w.text)]) == w.text {
			p.at += len(w.text)
			return w, nil
		}
	}
	return value{}, p.fault("no JSON value begins")
}

func (p *parser) array(depth int) (value, error) {
	v := value{kind: isArray}
	p.at++
	for {
		p.space()
		if len(v.items) == 0 && p.took(']') {
			return v, nil
		}
		item, err := p.value(depth + 1)
		if err != nil {
			return v, err
		}
		v.items = append(v.items, item)
		p.space()
		if p.took(']') {
			return v, nil
		}
		if !p.took(',') {
			return v, p.fault("a list needs a comma or its end")
		}
	}
}

func (p *parser) object(depth int) (value, error) {
	v := value{kind: isObject}
	seen := map[string]bool(nil)
	p.at++
	for {
		p.space()
		if len(v.items) == 0 && p.took('}') {
			return v, nil
		}
		if p.at >= len(p.b) || p.b[p.at] != '"' {
			return v, p.fault("an object needs a key in quotes")
		}
		key, err := p.string()
		if err != nil {
			return v, err
		}
		if seen, err = p.unique(v.keys, seen, key); err != nil {
			return v, err
		}
		p.space()
		if !p.took(':') {
			return v, p.fault("a key needs a colon behind it")
		}
		p.space()
		item, err := p.value(depth + 1)
		if err != nil {
			return v, err
		}
		v.keys, v.items = append(v.keys, key), append(v.items, item)
		p.space()
		if p.took('}') {
			return v, nil
		}
		if !p.took(',') {
			return v, p.fault("an object needs a comma or its end")
		}
	}
}

// unique refuses a key that the object has already. Few keys are compared one by
// one; many go through a set, or a flood of keys would take its square in time.
func (p *parser) unique(keys []string, seen map[string]bool, key string) (map[string]bool, error) {
	again := false
	if len(keys) < 16 {
		for _, k := range keys {
			again = again || k == key
		}
	} else {
		if seen == nil {
			seen = make(map[string]bool, 2*len(keys))
			for _, k := range keys {
				seen[k] = true
			}
		}
		again = seen[key]
		seen[key] = true
	}
	if again {
		return seen, p.fault("the key " + Quote(key) + " stands a second time in its object; keep one")
	}
	return seen, nil
}

func (p *parser) took(c byte) bool {
	if p.at < len(p.b) && p.b[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *parser) digits() bool {
	from := p.at
	for p.at < len(p.b) && p.b[p.at] >= '0' && p.b[p.at] <= '9' {
		p.at++
	}
	return p.at > from
}

func (p *parser) number() (value, error) {
	from := p.at
	p.took('-')
	if !p.took('0') && !p.digits() {
		return value{}, p.fault("a number has no digits")
	}
	if p.took('.') && !p.digits() {
		return value{}, p.fault("a number has no digits behind its point")
	}
	if p.took('e') || p.took('E') {
		if !p.took('+') {
			p.took('-')
		}
		if !p.digits() {
			return value{}, p.fault("a number has no digits in its exponent")
		}
	}
	return value{kind: isNumber, text: string(p.b[from:p.at])}, nil
}

// string reads a string; the common one without escapes is taken in one piece.
func (p *parser) string() (string, error) {
	p.at++
	for i := p.at; i < len(p.b); i++ {
		switch c := p.b[i]; {
		case c == '"':
			s := p.b[p.at:i]
			if !utf8.Valid(s) {
				return "", p.fault("a string is not UTF-8")
			}
			p.at = i + 1
			return string(s), nil
		case c == '\\':
			return p.escaped(i)
		case c < ' ':
			p.at = i
			return "", p.fault("a control character stands in a string; write it as \\n, \\t or \\u00XX")
		}
	}
	return "", p.fault("a string has no end")
}

// escaped reads a string whose first backslash is at i.
func (p *parser) escaped(i int) (string, error) {
	out := append(make([]byte, 0, i-p.at+64), p.b[p.at:i]...)
	p.at = i
	for p.at < len(p.b) {
		c := p.b[p.at]
		switch {
		case c == '"':
			p.at++
			if !utf8.Valid(out) {
				return "", p.fault("a string is not UTF-8")
			}
			return string(out), nil
		case c < ' ':
			return "", p.fault("a control character stands in a string; write it as \\n, \\t or \\u00XX")
		case c != '\\':
			out = append(out, c)
			p.at++
		default:
			r, err := p.escape()
			if err != nil {
				return "", err
			}
			out = utf8.AppendRune(out, r)
		}
	}
	return "", p.fault("a string has no end")
}

var escapes = map[byte]rune{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// escape reads one escape. Half of a pair is refused: it stands for no character.
func (p *parser) escape() (rune, error) {
	if p.at+1 >= len(p.b) {
		return 0, p.fault("a string has no end")
	}
	if r, ok := escapes[p.b[p.at+1]]; ok {
		p.at += 2
		return r, nil
	}
	r, ok := p.unit()
	if !ok {
		return 0, p.fault("there is no such escape")
	}
	if utf16.IsSurrogate(r) {
		low, ok := p.unit()
		if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
			return 0, p.fault("half of a surrogate pair stands alone")
		}
	}
	return r, nil
}

// unit reads \uXXXX.
func (p *parser) unit() (rune, bool) {
	if p.at+6 > len(p.b) || p.b[p.at] != '\\' || p.b[p.at+1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(p.b[p.at+2:p.at+6]), 16, 16)
	if err != nil {
		return 0, false
	}
	p.at += 6
	return rune(n), true
}

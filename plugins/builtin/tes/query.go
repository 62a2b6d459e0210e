package tes

import (
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"tresor/plugins/builtin/tes/model"
	"tresor/plugins/protocol"
)

// maxQuery bounds a query string, in bytes.
const maxQuery = 32 << 10

// query is the parameters of a request. Empty counts as absent.
type query url.Values

func readQuery(raw string) (query, error) {
	if len(raw) > maxQuery {
		return nil, invalid("", "The query of the address is too long; ask with fewer conditions.")
	}
	v, err := url.ParseQuery(raw)
	if err != nil {
		return nil, invalid("", "The query of the address cannot be read; escape what stands behind the question mark.")
	}
	return query(v), nil
}

// one gives a parameter that may stand once.
func (q query) one(name string) (string, error) {
	values := q[name]
	if len(values) > 1 {
		return "", invalid(name, "The parameter is given more than once; give it once.")
	}
	if len(values) == 0 {
		return "", nil
	}
	return clean(name, values[0])
}

func clean(name, s string) (string, error) {
	if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
		return "", invalid(name, "The parameter is not UTF-8 text.")
	}
	return s, nil
}

func (q query) view() (model.View, error) {
	s, err := q.one("view")
	if err != nil {
		return "", err
	}
	v, ok := model.ParseView(s)
	if !ok {
		return "", invalid("view", "There is no view "+model.Quote(s)+"; ask for MINIMAL, BASIC or FULL.")
	}
	return v, nil
}

func hostView(v model.View) protocol.View {
	switch v {
	case model.Full:
		return protocol.Full
	case model.Basic:
		return protocol.Basic
	}
	return protocol.Minimal
}

// listing is what a list request asks for.
type listing struct {
	view   model.View
	size   int
	token  string
	prefix string
	state  model.State // empty: any
	tags   []protocol.Tag
}

func readListing(raw string) (l listing, err error) {
	q, err := readQuery(raw)
	if err != nil {
		return l, err
	}
	if l.view, err = q.view(); err != nil {
		return l, err
	}
	if l.size, err = q.size(); err != nil {
		return l, err
	}
	if l.token, err = q.one("page_token"); err != nil {
		return l, err
	}
	if l.prefix, err = q.one("name_prefix"); err != nil {
		return l, err
	}
	if l.state, err = q.state(); err != nil {
		return l, err
	}
	l.tags, err = q.tags()
	return l, err
}

func (q query) size() (int, error) {
	s, err := q.one("page_size")
	if err != nil || s == "" {
		return model.DefaultPage, err
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > model.MaxPageSize {
		return 0, invalid("page_size", "Ask for a whole number from 1 to "+strconv.Itoa(model.MaxPageSize)+".")
	}
	return n, nil
}

func (q query) state() (model.State, error) {
	s, err := q.one("state")
	if err != nil {
		return "", err
	}
	if s != "" && !model.State(s).Valid() {
		return "", invalid("state", "There is no state "+model.Quote(s)+"; ask for QUEUED, INITIALIZING, RUNNING, COMPLETE, EXECUTOR_ERROR, SYSTEM_ERROR or CANCELED.")
	}
	return model.State(s), nil
}

// tags zips tag_key and tag_value by position. A value that is missing or empty
// asks for the key with any value.
func (q query) tags() ([]protocol.Tag, error) {
	keys, values := q["tag_key"], q["tag_value"]
	if len(keys) > model.MaxQueryTags {
		return nil, invalid("tag_key", "At most "+strconv.Itoa(model.MaxQueryTags)+" conditions on tags are taken.")
	}
	if len(values) > len(keys) {
		return nil, invalid("tag_value", "There are more values than keys; each tag_value belongs to the tag_key in the same place.")
	}
	var out []protocol.Tag
	for i, k := range keys {
		t := protocol.Tag{Key: k, Any: true}
		if i < len(values) && values[i] != "" {
			t.Value, t.Any = values[i], false
		}
		if k == "" && t.Any {
			continue // nothing was asked: a form with an empty line
		}
		for _, s := range []string{t.Key, t.Value} {
			if _, err := clean("tag_key", s); err != nil {
				return nil, err
			}
		}
		if k == "" {
			return nil, invalid("tag_key", "A tag_value stands without its tag_key.")
		}
		out = append(out, t)
	}
	return out, nil
}

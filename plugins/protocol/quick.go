package protocol

import (
	"encoding/json"
	"strconv"
	"strings"
)

// Every frame has a header, and a list of tasks is mostly pages of minimal jobs. Both
// have a way of their own beside encoding/json, which writes the same bytes and reads
// them in one pass; what is spelled otherwise is left to encoding/json.

// append writes h behind b.
func (h header) append(b []byte) ([]byte, error) {
	if h.Error != nil || !simple(h.Name) || !simple(h.Token) {
		head, err := json.Marshal(h)
		return append(b, head...), err
	}
	b = strconv.AppendUint(append(b, `{"id":`...), h.ID, 10)
	b = append(append(b, `,"kind":"`...), h.Kind...)
	if h.Name != "" {
		b = append(append(b, `","name":"`...), h.Name...)
	}
	if h.Token != "" {
		b = append(append(b, `","token":"`...), h.Token...)
	}
	b = append(b, '"')
	if h.Body != 0 {
		b = strconv.AppendInt(append(b, `,"body":`...), int64(h.Body), 10)
	}
	before := `,"parts":[`
	for _, n := range h.Parts {
		b = strconv.AppendInt(append(b, before...), int64(n), 10)
		before = ","
	}
	if len(h.Parts) > 0 {
		b = append(b, ']')
	}
	return append(b, '}'), nil
}

// simple reports whether s stands in JSON as it is.
func simple(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || strings.IndexByte(`"\<>&`, c) >= 0 {
			return false
		}
	}
	return true
}

// quick reads a header as append writes it. false: it is another spelling, or has an
// error, and nothing was read.
func (h *header) quick(b []byte) bool {
	var q header
	id, s, ok := number(string(b), `{"id":`)
	q.ID = uint64(id)
	if ok {
		q.Kind, s, ok = word(s, `,"kind":"`)
	}
	if ok && strings.HasPrefix(s, `,"name"`) {
		q.Name, s, ok = word(s, `,"name":"`)
	}
	if ok && strings.HasPrefix(s, `,"token"`) {
		q.Token, s, ok = word(s, `,"token":"`)
	}
	if ok && strings.HasPrefix(s, `,"body"`) {
		q.Body, s, ok = number(s, `,"body":`)
	}
	for before := `,"parts":[`; ok && s != "}" && s != "]}"; before = "," {
		n := 0
		n, s, ok = number(s, before)
		q.Parts = append(q.Parts, n)
	}
	if !ok || (s == "]}") != (len(q.Parts) > 0) {
		return false
	}
	*h = q
	return true
}

// number cuts a whole number of at most 15 digits after prefix.
func number(s, prefix string) (n int, rest string, ok bool) {
	if s, ok = strings.CutPrefix(s, prefix); !ok {
		return 0, s, false
	}
	i := 0
	for ; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
		if i == 15 {
			return 0, s, false
		}
		n = 10*n + int(s[i]-'0')
	}
	return n, s[i:], i > 0 && (s[0] != '0' || i == 1)
}

// quick reads the JSON of a page of minimal jobs as the host writes it, in one pass and
// without an allocation for each: a list of tasks is mostly this. false: it is another
// page, or another spelling, and nothing was read.
func (p *JobPage) quick(b []byte) bool {
	s, ok := strings.CutPrefix(string(b), `{"jobs":[`)
	jobs := make([]JobState, 0, len(s)/50)
	for ok && !strings.HasPrefix(s, "]") {
		if len(jobs) > 0 {
			s, ok = strings.CutPrefix(s, ",")
		}
		var j JobState
		if ok {
			j.ID, s, ok = word(s, `{"id":"`)
		}
		if ok {
			j.State, s, ok = word(s, `,"state":"`)
		}
		if ok {
			s, ok = strings.CutPrefix(s, "}")
			jobs = append(jobs, j)
		}
	}
	if !ok {
		return false
	}
	next := ""
	if s != "]}" {
		if next, s, ok = word(s, `],"next":"`); !ok || s != "}" {
			return false
		}
	}
	p.Jobs, p.Next = jobs, next
	return true
}

// word cuts a text of plain ASCII after prefix, and the quote behind it.
func word(s, prefix string) (text, rest string, ok bool) {
	if s, ok = strings.CutPrefix(s, prefix); !ok {
		return "", s, false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"':
			return s[:i], s[i+1:], true
		case c < ' ' || c > '~' || c == '\\':
			return "", s, false
		}
	}
	return "", s, false
}

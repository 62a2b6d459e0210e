package protocol

import "strings"

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

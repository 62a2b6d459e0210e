package protocol

// splitter is a message with byte fields: split returns it without them, and
// them in a fixed order (none when all are empty). joiner puts them back; it
// reports whether the number of parts fits the message.
type splitter interface{ split() (any, [][]byte) }

type joiner interface{ join([][]byte) bool }

// one is the parts of a message with one byte field.
func one(b []byte) [][]byte {
	if len(b) == 0 {
		return nil
	}
	return [][]byte{b}
}

func set(to *[]byte, parts [][]byte) bool {
	if len(parts) != 1 {
		return false
	}
	*to = parts[0]
	return true
}

func (r Request) split() (any, [][]byte) {
	b := r.Body
	r.Body = nil
	return r, one(b)
}

func (r *Request) join(p [][]byte) bool { return set(&r.Body, p) }

func (w work) split() (any, [][]byte) {
	if w.Request == nil {
		return w, nil
	}
	r := *w.Request
	body := r.Body
	r.Body = nil
	w.Request = &r
	if w.Ahead != nil && len(w.Ahead.answer) > 0 {
		return w, append([][]byte{body}, w.Ahead.answer...)
	}
	return w, one(body)
}

func (w *work) join(p [][]byte) bool {
	if w.Request == nil || len(p) == 0 || len(p) > 1 && w.Ahead == nil {
		return false
	}
	w.Request.Body = filled(p[0])
	if w.Ahead != nil {
		w.Ahead.answer = p[1:]
	}
	return true
}

func (r Response) split() (any, [][]byte) {
	b := r.Body
	r.Body = nil
	return r, one(b)
}

func (r *Response) join(p [][]byte) bool { return set(&r.Body, p) }

func (c Chunk) split() (any, [][]byte) {
	b := c.Data
	c.Data = nil
	return c, one(b)
}

func (c *Chunk) join(p [][]byte) bool { return set(&c.Data, p) }

func (s JobState) split() (any, [][]byte) {
	b := s.Document
	s.Document = nil
	return s, one(b)
}

func (s *JobState) join(p [][]byte) bool { return set(&s.Document, p) }

// split gives the document, then each input's content.
func (r JobRequest) split() (any, [][]byte) {
	parts := [][]byte{r.Document}
	some := len(r.Document) > 0
	r.Document = nil
	inputs := make([]Input, len(r.Inputs))
	for i, in := range r.Inputs {
		some = some || len(in.Content) > 0
		parts = append(parts, in.Content)
		in.Content = nil
		inputs[i] = in
	}
	if !some {
		return r, nil
	}
	r.Inputs = inputs
	return r, parts
}

func (r *JobRequest) join(p [][]byte) bool {
	if len(p) != 1+len(r.Inputs) {
		return false
	}
	r.Document = filled(p[0])
	for i := range r.Inputs {
		r.Inputs[i].Content = filled(p[i+1])
	}
	return true
}

// split gives each job's document.
func (p JobPage) split() (any, [][]byte) {
	some := false
	for _, j := range p.Jobs {
		some = some || len(j.Document) > 0
	}
	if !some {
		return p, nil
	}
	jobs, parts := make([]JobState, len(p.Jobs)), make([][]byte, len(p.Jobs))
	for i, j := range p.Jobs {
		parts[i] = j.Document
		j.Document = nil
		jobs[i] = j
	}
	p.Jobs = jobs
	return p, parts
}

func (p *JobPage) join(parts [][]byte) bool {
	if len(parts) != len(p.Jobs) {
		return false
	}
	for i := range p.Jobs {
		p.Jobs[i].Document = filled(parts[i])
	}
	return true
}

// documents are what Publish answers.
type documents []Document

func (d documents) split() (any, [][]byte) {
	out, parts := make(documents, len(d)), make([][]byte, len(d))
	for i, x := range d {
		parts[i] = x.Body
		x.Body = nil
		out[i] = x
	}
	return out, parts
}

func (d *documents) join(p [][]byte) bool {
	if len(p) != len(*d) {
		return false
	}
	for i := range *d {
		(*d)[i].Body = filled(p[i])
	}
	return true
}

func filled(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

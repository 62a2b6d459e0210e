package protocol

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// Lookup declares a route whose answer begins with one question to the host: State of
// the job that the path names, or the first page of Jobs. The host asks it before it
// hands a matching request over, as the plugin would, and sends the answer along; the
// plugin's first call of the request, when it is this one, is then answered without a
// way back. Nothing else changes: a request that does not match, an answer that is too
// large and another first call go the way they would without. A plugin gains nothing
// that it could not ask itself: the question is asked of the Host of the request.
type Lookup struct {
	Method string `json:"method"` // GET or HEAD
	// Path is compared part by part with Request.Path. The part {id} stands for the job's
	// id: letters, digits, dots, dashes and underscores. A path without it is a list.
	Path  string          `json:"path"`
	Limit int             `json:"limit,omitempty"` // of a list: JobQuery.Limit
	Query string          `json:"query,omitempty"` // name of the query parameter that chooses the view; a list with any other parameter is not looked up
	Views map[string]View `json:"views"`           // what its values mean; "": it is missing or empty
}

// Bounds of what a plugin has looked up.
const (
	MaxLookups = 16       // of one plugin
	jobPart    = "{id}"   // in Lookup.Path
	maxLookup  = 100      // bytes of a path, of a value that chooses a view, and of a job's id
	maxViews   = 16       // values that choose a view
	mostJobs   = 2048     // in a page
	maxAsked   = 16 << 10 // bytes of a path and of a query that are looked at
)

var (
	lookupPath = regexp.MustCompile(`^(/([A-Za-z0-9._-]+|\{id\}))+$`)
	lookupWord = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,39}$`)
)

// checkLookups refuses declarations that are too many, in doubt or not clear.
func checkLookups(all []Lookup) error {
	if len(all) > MaxLookups {
		return invalid("the plugin has %d routes looked up, at most %d are allowed", len(all), MaxLookups)
	}
	seen := map[string]bool{}
	for _, l := range all {
		if err := l.check(); err != nil {
			return err
		}
		if seen[l.Method+l.Path] {
			return invalid("the route %s %s is looked up twice", l.Method, l.Path)
		}
		seen[l.Method+l.Path] = true
	}
	return nil
}

func (l Lookup) check() error {
	jobs := strings.Count(l.Path, jobPart)
	switch {
	case l.Method != http.MethodGet && l.Method != http.MethodHead:
		return invalid("the route %q is looked up for the method %q; only GET and HEAD can be", clip(l.Path), clip(l.Method))
	case len(l.Path) > maxLookup || !lookupPath.MatchString(l.Path) || jobs > 1:
		return invalid("the path %q is no pattern: it has parts of letters, digits, dots, dashes and underscores, and at most one %s", clip(l.Path), jobPart)
	case jobs == 1 && l.Limit != 0, jobs == 0 && (l.Limit < 1 || l.Limit > mostJobs):
		return invalid("the route %q needs either %s in its path or a limit of 1 to %d", clip(l.Path), jobPart, mostJobs)
	case l.Query != "" && !lookupWord.MatchString(l.Query):
		return invalid("the route %q has its view chosen by %q, which is no name of a parameter", clip(l.Path), clip(l.Query))
	case l.Views[""] == "" || len(l.Views) > maxViews || l.Query == "" && len(l.Views) > 1:
		return invalid("the route %q does not say which view is meant without a parameter, or has too many views", clip(l.Path))
	}
	for value, v := range l.Views {
		if !plain(value, maxLookup) || v != Minimal && v != Basic && v != Full {
			return invalid("the route %q has the unknown view %q", clip(l.Path), clip(string(v)))
		}
	}
	return nil
}

// question is what a request will ask first, as far as l can tell; nil: it cannot.
func (l Lookup) question(r Request) *ahead {
	if r.Method != l.Method {
		return nil
	}
	id, ok := l.match(r.Path)
	if !ok {
		return nil
	}
	view, ok := l.view(r.Query)
	switch {
	case !ok:
		return nil
	case l.Limit > 0:
		return &ahead{Jobs: &JobQuery{View: view, Limit: l.Limit}}
	}
	return &ahead{State: &stateOf{id, view}}
}

// match compares a path with the pattern.
func (l Lookup) match(path string) (id string, ok bool) {
	before, after, job := strings.Cut(l.Path, jobPart)
	if !job {
		return "", path == l.Path
	}
	id, ok = strings.CutPrefix(path, before)
	if ok {
		id, ok = strings.CutSuffix(id, after)
	}
	return id, ok && jobID(id)
}

// jobID reports whether s may be the id of a job in a path.
func jobID(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '-', c == '_':
		default:
			return false
		}
	}
	return s != "" && len(s) <= maxLookup && s != "." && s != ".."
}

// view reads the view from a query. What a plugin might refuse is left to it.
func (l Lookup) view(query string) (View, bool) {
	if query == "" {
		return l.Views[""], true
	}
	q, err := url.ParseQuery(query)
	if err != nil || len(q[l.Query]) > 1 {
		return "", false
	}
	for name := range q {
		if l.Limit > 0 && name != l.Query {
			return "", false
		}
	}
	v, ok := l.Views[q.Get(l.Query)]
	return v, ok
}

// ahead is a question that a plugin was going to ask, and its answer: an error, or the
// JSON of a JobState or JobPage and their raw parts, which travel behind the request's
// own. The plugin's side reads it when it is asked for.
type ahead struct {
	State *stateOf  `json:"state,omitempty"` // the question: one of these two
	Jobs  *JobQuery `json:"jobs,omitempty"`
	Error *Error    `json:"error,omitempty"`

	answer [][]byte // the JSON, the raw parts; none: there is an error, or no answer
}

// lookAhead asks h what the request will ask first. nil: nothing is known before.
func lookAhead(ctx context.Context, all []Lookup, r Request, h Host) *ahead {
	if len(r.Path) > maxAsked || len(r.Query) > maxAsked {
		return nil
	}
	for _, l := range all {
		if a := l.question(r); a != nil && a.ask(ctx, h) {
			return a
		}
	}
	return nil
}

// ask answers the question. A failure that is not an answer is left for the call
// that the plugin makes itself.
func (a *ahead) ask(ctx context.Context, h Host) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	var v any
	var err error
	if a.State != nil {
		v, err = h.State(ctx, a.State.ID, a.State.View)
	} else {
		v, err = h.Jobs(ctx, *a.Jobs)
	}
	if err != nil {
		a.Error = wireError(err)
		return ctx.Err() == nil
	}
	body, parts, err := encode(v)
	a.answer = append([][]byte{body}, parts...)
	return err == nil && ctx.Err() == nil
}

// state is the answer to State(id, view), if that was the question.
func (a *ahead) state(id string, v View) (s JobState, ok bool, err error) {
	if a == nil || a.State == nil || *a.State != (stateOf{id, v}) {
		return s, false, nil
	}
	ok, err = a.read(&s)
	return s, ok, err
}

// jobs is the answer to Jobs(q), if that was the question.
func (a *ahead) jobs(q JobQuery) (p JobPage, ok bool, err error) {
	if a == nil || a.Jobs == nil || q.View != a.Jobs.View || q.Limit != a.Jobs.Limit || q.After != "" || q.NamePrefix != "" || len(q.States)+len(q.Tags) > 0 {
		return p, false, nil
	}
	ok, err = a.read(&p)
	return p, ok, err
}

// read gives the answer as a call would. An answer that is none is asked for again.
func (a *ahead) read(to any) (ok bool, err error) {
	if a.Error != nil {
		return true, a.Error.clean()
	}
	return len(a.answer) > 0 && frame{body: a.answer[0], parts: a.answer[1:]}.into(to) == nil, nil
}

package protocol

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
)

var (
	oneJob = Lookup{Method: "GET", Path: "/v1/jobs/{id}", Query: "view", Views: map[string]View{"": Minimal, "ALL": Full}}
	inJob  = Lookup{Method: "HEAD", Path: "/jobs/{id}/state", Views: map[string]View{"": Basic}}
	page   = Lookup{Method: "GET", Path: "/v1/jobs", Limit: 50, Query: "view", Views: map[string]View{"": Minimal, "SOME": Basic}}
)

func TestCheckLookups(t *testing.T) {
	with := func(f func(*Lookup)) []Lookup {
		l := oneJob
		f(&l)
		return []Lookup{l}
	}
	for _, c := range []struct {
		name string
		l    []Lookup
		want string // in the text; "" is well
	}{
		{"none", nil, ""},
		{"one of each form", []Lookup{oneJob, inJob, page}, ""},
		{"too many", make([]Lookup, MaxLookups+1), "at most 16"},
		{"the same route twice", []Lookup{oneJob, oneJob}, "looked up twice"},
		{"a method that changes things", with(func(l *Lookup) { l.Method = "POST" }), "only GET and HEAD"},
		{"no method", with(func(l *Lookup) { l.Method = "" }), "only GET and HEAD"},
		{"no path", with(func(l *Lookup) { l.Path = "" }), "is no pattern"},
		{"a path without a slash", with(func(l *Lookup) { l.Path = "jobs/{id}" }), "is no pattern"},
		{"a slash at the end", with(func(l *Lookup) { l.Path = "/jobs/{id}/" }), "is no pattern"},
		{"an id within a part", with(func(l *Lookup) { l.Path = "/jobs/x{id}" }), "is no pattern"},
		{"two ids", with(func(l *Lookup) { l.Path = "/{id}/{id}" }), "is no pattern"},
		{"another place", with(func(l *Lookup) { l.Path = "/jobs/{name}" }), "is no pattern"},
		{"an expression", with(func(l *Lookup) { l.Path = "/jobs/.*+/{id}" }), "is no pattern"},
		{"a long path", with(func(l *Lookup) { l.Path = "/" + strings.Repeat("x", maxLookup) }), "is no pattern"},
		{"an id and a limit", with(func(l *Lookup) { l.Limit = 1 }), "either {id}"},
		{"neither", with(func(l *Lookup) { l.Path = "/jobs" }), "either {id}"},
		{"a page beyond the bound", with(func(l *Lookup) { l.Path, l.Limit = "/jobs", mostJobs+1 }), "either {id}"},
		{"a parameter that is none", with(func(l *Lookup) { l.Query = "a&b" }), "no name of a parameter"},
		{"no view without a parameter", with(func(l *Lookup) { l.Views = map[string]View{"ALL": Full} }), "which view"},
		{"views that nothing chooses", with(func(l *Lookup) { l.Query = "" }), "which view"},
		{"an unknown view", with(func(l *Lookup) { l.Views = map[string]View{"": "everything"} }), "unknown view"},
		{"a value with a break", with(func(l *Lookup) { l.Views = map[string]View{"": Basic, "\n": Full} }), "unknown view"},
	} {
		d := described
		d.Lookups = c.l
		err := CheckDescription(d)
		if (err == nil) != (c.want == "") || (err != nil && (code(err) != CodeInvalid || !strings.Contains(err.Error(), c.want))) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestLookupQuestions(t *testing.T) {
	for _, c := range []struct {
		name, method, path, query string
		l                         Lookup
		want                      *ahead
	}{
		{"a job", "GET", "/v1/jobs/0192f0c8-7d2e", "", oneJob, &ahead{State: &stateOf{"0192f0c8-7d2e", Minimal}}},
		{"a view", "GET", "/v1/jobs/1", "view=ALL", oneJob, &ahead{State: &stateOf{"1", Full}}},
		{"an empty view", "GET", "/v1/jobs/1", "view=", oneJob, &ahead{State: &stateOf{"1", Minimal}}},
		{"a parameter beside", "GET", "/v1/jobs/1", "x=y&view=ALL", oneJob, &ahead{State: &stateOf{"1", Full}}},
		{"a view that it does not name", "GET", "/v1/jobs/1", "view=all", oneJob, nil},
		{"two views", "GET", "/v1/jobs/1", "view=ALL&view=", oneJob, nil},
		{"a query that cannot be read", "GET", "/v1/jobs/1", "view=%zz", oneJob, nil},
		{"another method", "HEAD", "/v1/jobs/1", "", oneJob, nil},
		{"no id", "GET", "/v1/jobs/", "", oneJob, nil},
		{"upwards", "GET", "/v1/jobs/..", "", oneJob, nil},
		{"a part more", "GET", "/v1/jobs/1/x", "", oneJob, nil},
		{"an id with an escape", "GET", "/v1/jobs/%31", "", oneJob, nil},
		{"a verb behind the id", "GET", "/v1/jobs/1:cancel", "", oneJob, nil},
		{"an id of 101 bytes", "GET", "/v1/jobs/" + strings.Repeat("x", 101), "", oneJob, nil},
		{"another path", "GET", "/v2/jobs/1", "", oneJob, nil},
		{"a part behind", "HEAD", "/jobs/1/state", "view=ALL", inJob, &ahead{State: &stateOf{"1", Basic}}},
		{"the part behind is missing", "HEAD", "/jobs/1", "", inJob, nil},
		{"the parts overlap", "HEAD", "/jobs/state", "", inJob, nil},
		{"a page", "GET", "/v1/jobs", "", page, &ahead{Jobs: &JobQuery{View: Minimal, Limit: 50}}},
		{"a page's view", "GET", "/v1/jobs", "view=SOME", page, &ahead{Jobs: &JobQuery{View: Basic, Limit: 50}}},
		{"a page with a condition", "GET", "/v1/jobs", "view=SOME&after=1", page, nil},
	} {
		if got := c.l.question(Request{Method: c.method, Path: c.path, Query: c.query}); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func FuzzLookup(f *testing.F) {
	f.Add("/v1/jobs/1", "view=ALL")
	f.Add("/v1/jobs", "view")
	f.Add("/jobs//state", "%")
	f.Fuzz(func(t *testing.T, path, query string) {
		for _, l := range []Lookup{oneJob, inJob, page} {
			if a := l.question(Request{Method: l.Method, Path: path, Query: query}); a != nil && a.State != nil && (!jobID(a.State.ID) || !strings.Contains(path, a.State.ID)) {
				t.Errorf("%q asks for %q", path, a.State.ID)
			}
		}
	})
}

// counted is a Host that counts what is asked and answers as it is told.
type counted struct {
	nothing
	asked []string
	size  int // of a document
	err   error
	panic bool
}

func (c *counted) State(_ context.Context, id string, v View) (JobState, error) {
	c.asked = append(c.asked, id+" "+string(v))
	if c.panic && len(c.asked) == 1 {
		panic("on purpose")
	}
	return JobState{ID: id, State: "held", Document: make([]byte, c.size)}, c.err
}

func (c *counted) Jobs(_ context.Context, q JobQuery) (JobPage, error) {
	c.asked = append(c.asked, "page "+string(q.View))
	return JobPage{Jobs: []JobState{{ID: "1", Document: []byte("d")}, {ID: "2"}}, Next: "2"}, c.err
}

// asking is an adapter that makes the calls in a request's header, and answers what it was told.
type asking struct{ echo }

func (asking) ServeRequest(ctx context.Context, r Request, h Host) (Response, error) {
	var said []string
	for _, call := range r.Header["Calls"] {
		var err error
		switch what, arg, _ := strings.Cut(call, " "); what {
		case "state":
			id, view, _ := strings.Cut(arg, " ")
			var s JobState
			s, err = h.State(ctx, id, View(view))
			said = append(said, s.ID+" "+s.State)
		case "page":
			var p JobPage
			p, err = h.Jobs(ctx, JobQuery{View: View(arg), Limit: 50, After: r.RemoteID})
			for _, j := range p.Jobs {
				said = append(said, j.ID+string(j.Document))
			}
		case "cancel":
			err = h.Cancel(ctx, arg)
		}
		if err != nil {
			return Response{}, err
		}
	}
	return Response{Status: 200, Body: []byte(strings.Join(said, ","))}, nil
}

func TestLookAhead(t *testing.T) {
	none := &Error{Code: CodeNotFound, Text: "there is no such job"}
	for _, c := range []struct {
		name, path string
		calls      []string
		host       counted
		body       int
		after      string
		asked      string // of the host
		says, code string
	}{
		{name: "the question that was foreseen", path: "/v1/jobs/1", calls: []string{"state 1 minimal"}, asked: "1 minimal", says: "1 held"},
		{name: "with a document and a body", path: "/v1/jobs/1", calls: []string{"state 1 minimal"}, host: counted{size: 9}, body: 9, asked: "1 minimal", says: "1 held"},
		{name: "a page", path: "/v1/jobs", calls: []string{"page minimal"}, asked: "page minimal", says: "1d,2"},
		{name: "the second question is asked anew", path: "/v1/jobs/1", calls: []string{"state 1 minimal", "state 1 minimal"}, asked: "1 minimal,1 minimal", says: "1 held,1 held"},
		{name: "a change before the question", path: "/v1/jobs/1", calls: []string{"cancel 1", "state 1 minimal"}, asked: "1 minimal,1 minimal", says: "1 held"},
		{name: "another job", path: "/v1/jobs/1", calls: []string{"state 2 minimal"}, asked: "1 minimal,2 minimal", says: "2 held"},
		{name: "another view", path: "/v1/jobs/1", calls: []string{"state 1 full"}, asked: "1 minimal,1 full", says: "1 held"},
		{name: "a job instead of a page", path: "/v1/jobs", calls: []string{"state 1 minimal"}, asked: "page minimal,1 minimal", says: "1 held"},
		{name: "a page that goes on", path: "/v1/jobs", after: "1", calls: []string{"page minimal"}, asked: "page minimal,page minimal", says: "1d,2"},
		{name: "nothing is asked", path: "/v1/jobs/1", asked: "1 minimal"},
		{name: "a route that is not declared", path: "/v2/jobs/1", calls: []string{"state 1 minimal"}, asked: "1 minimal", says: "1 held"},
		{name: "a refusal", path: "/v1/jobs/1", calls: []string{"state 1 minimal"}, host: counted{err: none}, asked: "1 minimal", code: CodeNotFound},
		{name: "a page's refusal", path: "/v1/jobs", calls: []string{"page minimal"}, host: counted{err: none}, asked: "page minimal", code: CodeNotFound},
		{name: "a failure that is not for the plugin", path: "/v1/jobs/1", calls: []string{"state 1 minimal"}, host: counted{err: errors.New("secret")}, asked: "1 minimal", code: CodeInternal},
		{name: "a panic is left to the plugin's own call", path: "/v1/jobs/1", calls: []string{"state 1 minimal"}, host: counted{panic: true}, asked: "1 minimal,1 minimal", says: "1 held"},
		{name: "too large beside the request", path: "/v1/jobs/1", calls: []string{"state 1 minimal"}, host: counted{size: MaxMessage - 1000}, body: 2000, asked: "1 minimal,1 minimal", says: "1 held"},
		{name: "too large for any message", path: "/v1/jobs/1", calls: []string{"state 1 minimal"}, host: counted{size: MaxMessage + 1}, asked: "1 minimal,1 minimal", code: CodeExhausted},
	} {
		r := pair(t, asking{})
		r.LookAhead([]Lookup{oneJob, page})
		resp, err := r.ServeRequest(context.Background(), Request{Method: "GET", Path: c.path, RemoteID: c.after, Header: map[string][]string{"Calls": c.calls}, Body: make([]byte, c.body)}, &c.host)
		if got := strings.Join(c.host.asked, ","); got != c.asked || code(err) != c.code || string(resp.Body) != c.says {
			t.Errorf("%s: the host was asked %q, want %q; the answer is %q, %v, want %q, %q", c.name, got, c.asked, resp.Body, err, c.says, c.code)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

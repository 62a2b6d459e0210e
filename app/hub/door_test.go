package hub

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"tresor/app/access"
	"tresor/app/apptest/tesclient"
	"tresor/app/identity"
	"tresor/app/store"
	"tresor/fed/task"
)

// ask sends one request with a token and gives status, headers and body.
func (r *rig) ask(method, path, token, body string) (int, http.Header, string) {
	r.t.Helper()
	q, err := http.NewRequest(method, r.server.URL+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if token != "" {
		q.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b := make([]byte, 64<<10)
	n := 0
	for {
		k, err := resp.Body.Read(b[n:])
		if n += k; err != nil || n == len(b) {
			break
		}
	}
	return resp.StatusCode, resp.Header, string(b[:n])
}

const goodTask = `{"executors":[{"image":"tresor/sql","command":["true"]}]}`

func withTags(tags string) string {
	return `{"executors":[{"image":"tresor/sql","command":["true"]}],"tags":` + tags + `}`
}

// TestDoorRefuses says no with the right status and a sentence.
func TestDoorRefuses(t *testing.T) {
	r := newRig(t)
	for _, name := range []string{"north", "east"} {
		r.enrol(newFakeNode(t, name))
	}
	id := r.create("")
	for _, c := range []struct {
		name, method, path, token, body string
		status                          int
		says                            string
	}{
		{"no token", "GET", "/v1/tasks", "", "", 401, "token"},
		{"wrong token", "GET", "/v1/tasks", "trh_wrong", "", 401, "token"},
		{"a token of another kind", "GET", "/v1/tasks", "trs_abc", "", 401, "token"},
		{"a token as long as a book", "GET", "/v1/tasks", "trh_" + strings.Repeat("a", 5000), "", 401, "token"},
		{"unknown node", "POST", "/v1/tasks", r.token, withTags(`{"tres":"north|west"}`), 400, "has no node \"west\". It has: east, north."},
		{"empty name between bars", "POST", "/v1/tasks", r.token, withTags(`{"tres":"north||east"}`), 400, "has no node"},
		{"another project", "POST", "/v1/tasks", r.token, withTags(`{"project":"borealis"}`), 400, "is for the project aurora"},
		{"no executors", "POST", "/v1/tasks", r.token, `{}`, 400, "executor"},
		{"no JSON", "POST", "/v1/tasks", r.token, `<task/>`, 400, ""},
		{"too large", "POST", "/v1/tasks", r.token, `{"name":"` + strings.Repeat("a", task.MaxBody) + `"}`, 413, "2 MiB"},
		{"bad view", "GET", "/v1/tasks?view=ALL", r.token, "", 400, "MINIMAL"},
		{"bad page size", "GET", "/v1/tasks?page_size=0", r.token, "", 400, "page_size"},
		{"huge page size", "GET", "/v1/tasks?page_size=2049", r.token, "", 400, "page_size"},
		{"bad page token", "GET", "/v1/tasks?page_token=abc", r.token, "", 400, "page_token"},
		{"a value without a key", "GET", "/v1/tasks?tag_value=x", r.token, "", 400, "tag_value"},
		{"twice", "GET", "/v1/tasks?state=QUEUED&state=RUNNING", r.token, "", 400, "once"},
		{"no such state", "GET", "/v1/tasks?state=DONE", r.token, "", 400, "no state"},
		{"no such task", "GET", "/v1/tasks/" + ids(), r.token, "", 404, "no such task"},
		{"cancel no such task", "POST", "/v1/tasks/" + ids() + ":cancel", r.token, "", 404, "no such task"},
		{"no such address", "GET", "/v1/runs", r.token, "", 404, "no such address"},
		{"up and away", "GET", "/v1/tasks/%2e%2e", r.token, "", 404, "no such address"},
		{"a slash in an id", "GET", "/v1/tasks/a%2Fb", r.token, "", 404, "no such address"},
		{"wrong method", "DELETE", "/v1/tasks/" + id, r.token, "", 405, "takes GET"},
		{"cancel by GET", "GET", "/v1/tasks/" + id + ":cancel", r.token, "", 405, "takes POST"},
		{"result before there is one", "GET", "/results/" + id + "/north", r.token, "", 404, "released nothing"},
		{"result of another node", "GET", "/results/" + id + "/west", r.token, "", 404, "no part"},
		{"result of another task", "GET", "/results/" + ids() + "/north", r.token, "", 404, "no such task"},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, head, body := r.ask(c.method, "/ga4gh/tes"+c.path, c.token, c.body)
			if status != c.status || !strings.Contains(body, strings.ReplaceAll(c.says, `"`, `\"`)) {
				t.Errorf("%d %s", status, body)
			}
			if head.Get("Content-Type") != "application/problem+json" || head.Get("Cache-Control") != "no-store" {
				t.Errorf("headers %v", head)
			}
			if status == 401 && head.Get("WWW-Authenticate") == "" {
				t.Error("a 401 without WWW-Authenticate")
			}
		})
	}
}

// TestTokens: a token ends when it is revoked, expires, its person leaves the
// project or is disabled; one for another project sees nothing of this one.
func TestTokens(t *testing.T) {
	r := newRig(t)
	r.enrol(newFakeNode(t, "north"))
	id := r.create("")
	works := func(token string) bool {
		status, _, _ := r.ask("GET", "/ga4gh/tes/v1/tasks", token, "")
		return status == 200
	}
	ctx := context.Background()
	other, err := r.s.CreateProject(ctx, r.operator, ProjectDraft{Slug: "borealis", Name: "Borealis"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.s.SetMember(ctx, r.operator, "borealis", r.rosa.ID, access.Lead); err != nil {
		t.Fatal(err)
	}
	r.rosa.Projects[other.ID] = access.Lead
	fresh := func(project string) Token {
		tok, err := r.s.NewToken(ctx, r.rosa, TokenDraft{Name: "x", Project: project, Days: 1})
		if err != nil {
			t.Fatal(err)
		}
		return tok
	}
	foreign := fresh("borealis")
	if status, _, body := r.ask("GET", "/ga4gh/tes/v1/tasks/"+id, foreign.Token, ""); status != 404 {
		t.Errorf("a token of another project saw the task: %d %s", status, body)
	}
	if status, _, _ := r.ask("POST", "/ga4gh/tes/v1/tasks/"+id+":cancel", foreign.Token, ""); status != 404 {
		t.Errorf("a token of another project cancelled: %d", status)
	}
	if status, _, body := r.ask("POST", "/ga4gh/tes/v1/tasks", foreign.Token, goodTask); status != 409 || !strings.Contains(body, "no nodes") {
		t.Errorf("%d %s", status, body)
	}
	revoked := fresh("aurora")
	if !works(revoked.Token) || r.s.RevokeToken(ctx, access.Actor{ID: "else"}, revoked.ID, "x") == nil {
		t.Error("before")
	}
	if err := r.s.RevokeToken(ctx, r.rosa, revoked.ID, ""); err != nil || works(revoked.Token) {
		t.Errorf("revoked: %v", err)
	}
	expired := fresh("aurora")
	if err := r.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE hub_token SET expires_at = 1 WHERE id = ?`, expired.ID)
		return err
	}); err != nil || works(expired.Token) {
		t.Errorf("expired: %v", err)
	}
	list, err := r.s.Tokens(ctx, r.rosa)
	if err != nil || len(list) != 4 || list[0].Token != "" {
		t.Errorf("%d tokens, %v", len(list), err)
	}
	if _, err := r.s.ChangeProject(ctx, r.operator, "aurora", ProjectChange{State: new(string)}); err == nil {
		t.Error("a project without a state")
	}
	closed := Closed
	if _, err := r.s.ChangeProject(ctx, r.operator, "aurora", ProjectChange{State: &closed}); err != nil {
		t.Fatal(err)
	}
	if status, _, body := r.ask("POST", "/ga4gh/tes/v1/tasks", r.token, goodTask); status != 409 || !strings.Contains(body, "closed") {
		t.Errorf("%d %s", status, body)
	}
	if _, err := r.s.DropMember(ctx, r.operator, "aurora", r.rosa.ID, "Left."); err != nil || works(r.token) {
		t.Errorf("dropped: %v", err)
	}
	for _, d := range []TokenDraft{{Project: "borealis"}, {Name: "x", Project: "nothing"}, {Name: "x", Project: "borealis", Days: 91}, {Name: "x\ny", Project: "borealis"}} {
		if _, err := r.s.NewToken(ctx, r.rosa, d); err == nil {
			t.Errorf("a token was made of %+v", d)
		}
	}
}

// TestListing drives filters and pages with a strict client.
func TestListing(t *testing.T) {
	r := newRig(t)
	r.enrol(newFakeNode(t, "north"))
	c := r.client()
	for i := range 7 {
		x := r.task()
		x.Name = fmt.Sprintf("run-%d", i)
		x.Tags = map[string]string{"n": fmt.Sprint(i % 2), "all": ""}
		if _, err := c.Create(t.Context(), x); err != nil {
			t.Fatal(err)
		}
	}
	for _, q := range []struct {
		name string
		q    tesclient.Query
		want int
	}{
		{"everything", tesclient.Query{}, 7},
		{"pages of two", tesclient.Query{Size: 2}, 7},
		{"pages of seven", tesclient.Query{Size: 7, View: "FULL"}, 7},
		{"prefix", tesclient.Query{NamePrefix: "run-3"}, 1},
		{"prefix that is a pattern", tesclient.Query{NamePrefix: "run%"}, 0},
		{"state", tesclient.Query{State: "QUEUED"}, 7},
		{"state of none", tesclient.Query{State: "COMPLETE"}, 0},
		{"tag", tesclient.Query{Keys: []string{"n"}, Values: []string{"1"}}, 3},
		{"tag with any value", tesclient.Query{Keys: []string{"all"}}, 7},
		{"two tags", tesclient.Query{Keys: []string{"all", "n"}, Values: []string{"", "0"}, View: "BASIC"}, 4},
		{"tag of none", tesclient.Query{Keys: []string{"m"}}, 0},
	} {
		t.Run(q.name, func(t *testing.T) {
			all, err := c.Walk(t.Context(), q.q)
			if err != nil || len(all) != q.want {
				t.Errorf("%d tasks, %v", len(all), err)
			}
		})
	}
	info, err := c.Info(t.Context())
	if err != nil || info.Name != "Hub of the test" {
		t.Errorf("%+v, %v", info, err)
	}
}

// TestRepeat: the same Idempotency-Key is the same task.
func TestRepeat(t *testing.T) {
	r := newRig(t)
	r.enrol(newFakeNode(t, "north"))
	c := r.client()
	c.Key = "k1"
	a, err := c.Create(t.Context(), r.task())
	if err != nil {
		t.Fatal(err)
	}
	r.restart()
	if b, err := c.Create(t.Context(), r.task()); err != nil || b != a {
		t.Errorf("%s and %s, %v", a, b, err)
	}
	x := r.task()
	x.Name = "other"
	if _, err := c.Create(t.Context(), x); err == nil || !strings.Contains(err.Error(), "409") {
		t.Errorf("the key was taken for another task: %v", err)
	}
}

// TestTres chooses nodes by name, in any case and with blanks.
func TestTres(t *testing.T) {
	r := newRig(t)
	for _, name := range []string{"north", "east", "south"} {
		r.enrol(newFakeNode(t, name))
	}
	for tag, want := range map[string]string{"": "east north south", "north": "north", "South | NORTH": "north south", "east|east": "east"} {
		got, err := r.s.Task(t.Context(), r.operator, r.create(tag))
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, p := range got.Parts {
			names = append(names, p.Name)
		}
		if strings.Join(names, " ") != want {
			t.Errorf("tres %q: %v", tag, names)
		}
	}
}

// TestVisibility: who sees a task, cancels it and opens results.
func TestVisibility(t *testing.T) {
	r := newRig(t)
	n := newFakeNode(t, "north")
	r.enrol(n)
	n.connect(r)
	id := r.create("")
	n.release("a")
	r.until(id, "COMPLETE")
	stranger := access.Actor{ID: "sam", Handle: "sam"}
	auditor := access.Actor{ID: "ada", Handle: "ada", Roles: []access.Role{access.Auditor}}
	for _, c := range []struct {
		name               string
		actor              access.Actor
		see, cancel, opens bool
	}{
		{"the researcher", r.rosa, true, true, true},
		{"the operator", r.operator, true, true, false},
		{"an auditor", auditor, true, false, false},
		{"a stranger", stranger, false, false, false},
	} {
		_, err := r.s.Task(t.Context(), c.actor, id)
		_, cerr := r.s.Cancel(t.Context(), c.actor, id)
		f, ferr := r.s.Result(t.Context(), c.actor, id, "north")
		if (err == nil) != c.see || (cerr == nil) != c.cancel || (ferr == nil) != c.opens {
			t.Errorf("%s: %v, %v, %v", c.name, err, cerr, ferr)
		}
		if ferr == nil {
			f.Close()
		}
		all, err := r.s.Tasks(t.Context(), c.actor, TaskFilter{})
		if err != nil || (len(all) == 1) != c.see {
			t.Errorf("%s lists %d, %v", c.name, len(all), err)
		}
	}
}

// TestCancelOfOthers: a token cancels what its person may cancel.
func TestCancelOfOthers(t *testing.T) {
	r := newRig(t)
	r.enrol(newFakeNode(t, "north"))
	id := r.create("")
	ctx := t.Context()
	p, token := r.member("ruth")
	cancel := func() int {
		status, _, _ := r.ask("POST", "/ga4gh/tes/v1/tasks/"+id+":cancel", token, "")
		return status
	}
	if got := cancel(); got != 403 {
		t.Errorf("a researcher cancelled another's task: %d", got)
	}
	_, err := r.s.SetMember(ctx, r.operator, "aurora", p.ID, access.Lead)
	must(t, err)
	if got := cancel(); got != 200 {
		t.Errorf("the lead: %d", got)
	}
	r.until(id, "CANCELED")
	disabled := true
	_, err = r.people.ChangePerson(ctx, r.operator, p.ID, identity.Change{Disabled: &disabled, Reason: "Left."})
	must(t, err)
	if got := cancel(); got != 401 {
		t.Errorf("a disabled account: %d", got)
	}
}

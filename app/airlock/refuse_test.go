package airlock_test

import (
	"strings"
	"testing"

	"tresor/app/access"
	"tresor/app/airlock"
	"tresor/app/airlock/airlocktest"
	"tresor/app/fault"
)

// TestRefusals names every refusal of every verb; nothing may change by one.
func TestRefusals(t *testing.T) {
	h := airlocktest.New(t)
	draft := h.Draft("a.csv", airlocktest.Safe)
	sent := h.Submitted("b.csv", airlocktest.Safe)
	done := h.Approved("c.csv", airlocktest.Safe)
	item := sent.Items[0].ID
	words := airlocktest.Words()
	long := strings.Repeat("x", 6000)
	empty := ""
	with := func(f func(*airlock.Text)) airlock.Text { t := airlocktest.Words(); f(&t); return t }
	held := h.Job("d.csv", airlocktest.Safe)
	running := h.Job("e.csv", airlocktest.Safe)
	h.Exec(`UPDATE job SET state = 'running' WHERE id = ?`, running)
	try := func(what string, kind fault.Kind, err error) {
		t.Helper()
		if err == nil || fault.KindOf(err) != kind {
			t.Errorf("%s: %v, want %v", what, err, kind)
		}
		if m := fault.Message(err); !strings.HasSuffix(m, ".") && !strings.HasSuffix(m, "too.") {
			t.Errorf("%s: message %q is not a sentence", what, m)
		}
	}
	get := func(who, id string) error { _, err := h.Airlock.Get(ctx, h.People[who], id); return err }
	draftBy := func(who, job string, w airlock.Text) error {
		_, err := h.Airlock.Draft(ctx, h.People[who], job, w)
		return err
	}
	vote := func(who, id, decision, comment string) error {
		_, err := h.Airlock.Vote(ctx, h.People[who], id, decision, comment)
		return err
	}
	view := func(who, id, item string, offset int) error {
		_, err := h.Airlock.View(ctx, h.People[who], id, item, offset, 10)
		return err
	}
	edit := func(who, id string, e airlock.Edits) error {
		_, err := h.Airlock.Edit(ctx, h.People[who], id, e)
		return err
	}
	submit := func(who, id string) error { _, err := h.Airlock.Submit(ctx, h.People[who], id); return err }
	withdraw := func(who, id string) error { _, err := h.Airlock.Withdraw(ctx, h.People[who], id); return err }
	comment := func(who, id, text, item string) error {
		_, err := h.Airlock.Comment(ctx, h.People[who], id, text, item)
		return err
	}

	try("draft: an outsider", fault.NotFound, draftBy("otto", held, words))
	try("draft: a checker", fault.Denied, draftBy("carl", held, words))
	try("draft: no such job", fault.NotFound, draftBy("rosa", "nope", words))
	try("draft: a job that runs", fault.Conflict, draftBy("rosa", running, words))
	try("draft: the job has an open request", fault.Conflict, draftBy("rosa", draft.Job, words))
	try("draft: another job's output", fault.Invalid, draftBy("rosa", held, with(func(t *airlock.Text) { t.Outputs = []string{sent.Items[0].Output} })))
	try("draft: text too long", fault.Invalid, draftBy("rosa", held, with(func(t *airlock.Text) { t.Context = long })))
	try("draft: a job without outputs", fault.Invalid, draftBy("rosa", h.Job(), words))

	try("get: an outsider", fault.NotFound, get("otto", sent.ID))
	try("get: an operator", fault.Denied, get("olga", sent.ID))
	try("get: a checker before submission", fault.NotFound, get("carl", draft.ID))
	try("get: nothing there", fault.NotFound, get("carl", "nope"))

	try("edit: another member", fault.Denied, edit("lena", draft.ID, airlock.Edits{}))
	try("edit: after submission", fault.Conflict, edit("rosa", sent.ID, airlock.Edits{Title: &words.Title}))
	try("edit: no title", fault.Invalid, edit("rosa", draft.ID, airlock.Edits{Title: &empty}))
	try("edit: no outputs of the job", fault.Invalid, edit("rosa", draft.ID, airlock.Edits{Outputs: []string{"nope"}}))

	try("submit: another member", fault.Denied, submit("lena", draft.ID))
	try("submit: a checker", fault.NotFound, submit("carl", draft.ID))
	try("submit: twice", fault.Conflict, submit("rosa", sent.ID))
	for what, e := range map[string]airlock.Edits{"context": {Context: &empty}, "population": {Population: &empty}, "controls": {Controls: &empty}} {
		r := h.Draft("x.csv", airlocktest.Safe)
		if err := edit("rosa", r.ID, e); err != nil {
			t.Fatal(err)
		}
		try("submit: no "+what, fault.Invalid, submit("rosa", r.ID))
	}
	bad := h.Draft("model.rds", "RDX3 whatever")
	try("submit: a file nobody can look at", fault.Invalid, submit("rosa", bad.ID))
	if err := edit("rosa", bad.ID, airlock.Edits{Exception: &words.Context}); err != nil {
		t.Fatal(err)
	}
	try("submit: a file nobody can look at, with an exception", fault.Invalid, submit("rosa", bad.ID))
	try("submit: a picture that cannot be read", fault.Invalid, submit("rosa", h.Draft("x.png", "not a picture").ID))

	try("vote: the requester", fault.Denied, vote("rosa", sent.ID, airlock.Approve, ""))
	try("vote: a member who is a checker", fault.Denied, vote("mia", sent.ID, airlock.Approve, ""))
	try("vote: the lead", fault.Denied, vote("lena", sent.ID, airlock.Approve, ""))
	try("vote: a steward", fault.Denied, vote("stefan", sent.ID, airlock.Approve, ""))
	try("vote: an operator", fault.Denied, vote("olga", sent.ID, airlock.Approve, ""))
	try("vote: an outsider", fault.NotFound, vote("otto", sent.ID, airlock.Approve, ""))
	try("vote: on a draft", fault.NotFound, vote("carl", draft.ID, airlock.Approve, ""))
	try("vote: on a decided request", fault.Conflict, vote("cyril", done.ID, airlock.Approve, ""))
	try("vote: approve unseen", fault.Conflict, vote("carl", sent.ID, airlock.Approve, ""))
	try("vote: reject without a reason", fault.Invalid, vote("carl", sent.ID, airlock.Reject, " "))
	try("vote: change without a reason", fault.Invalid, vote("carl", sent.ID, airlock.Change, ""))
	try("vote: no such decision", fault.Invalid, vote("carl", sent.ID, "maybe", "x"))
	try("vote: comment too long", fault.Invalid, vote("carl", sent.ID, airlock.Reject, long))
	system := access.System
	if _, err := h.Airlock.Vote(ctx, system, sent.ID, airlock.Approve, ""); fault.KindOf(err) != fault.Denied {
		t.Errorf("vote: the server itself: %v", err)
	}
	h.Vote("carl", sent.ID, airlock.Approve)
	try("vote: twice", fault.Conflict, vote("carl", sent.ID, airlock.Reject, "x"))

	try("view: an outsider", fault.NotFound, view("otto", sent.ID, item, 0))
	try("view: an operator", fault.Denied, view("olga", sent.ID, item, 0))
	try("view: a steward", fault.Denied, view("stefan", sent.ID, item, 0))
	try("view: an auditor", fault.Denied, view("audrey", sent.ID, item, 0))
	try("view: a checker before submission", fault.NotFound, view("carl", draft.ID, draft.Items[0].ID, 0))
	try("view: another request's file", fault.NotFound, view("cemile", sent.ID, draft.Items[0].ID, 0))
	try("view: a negative offset", fault.Invalid, view("cemile", sent.ID, item, -1))

	try("comment: an outsider", fault.NotFound, comment("otto", sent.ID, "x", ""))
	try("comment: an operator", fault.Denied, comment("olga", sent.ID, "x", ""))
	try("comment: nothing said", fault.Invalid, comment("carl", sent.ID, "  ", ""))
	try("comment: too long", fault.Invalid, comment("carl", sent.ID, long, ""))
	try("comment: on a file elsewhere", fault.NotFound, comment("carl", sent.ID, "x", "nope"))

	try("withdraw: a checker", fault.Denied, withdraw("carl", sent.ID))
	try("withdraw: a plain member", fault.Denied, withdraw("mia", sent.ID))
	if err := withdraw("rosa", sent.ID); err != nil {
		t.Fatal(err)
	}
	try("withdraw: twice", fault.Conflict, withdraw("rosa", sent.ID))
	try("comment: on a withdrawn request", fault.Conflict, comment("rosa", sent.ID, "x", ""))
	if _, err := h.Airlock.List(ctx, h.People["rosa"], airlock.Filter{States: []airlock.State{"nope"}}); fault.KindOf(err) != fault.Invalid {
		t.Errorf("list: no such state: %v", err)
	}
	if _, err := h.Airlock.List(ctx, h.People["otto"], airlock.Filter{Project: h.Project}); fault.KindOf(err) != fault.NotFound {
		t.Errorf("list: a project not visible: %v", err)
	}
}

// TestListShowsWhatOneMaySee: drafts exist for members only.
func TestListShowsWhatOneMaySee(t *testing.T) {
	h := airlocktest.New(t)
	h.Draft("a.csv", airlocktest.Safe)
	h.Submitted("b.csv", airlocktest.Safe)
	for who, want := range map[string]int{"rosa": 2, "lena": 2, "mia": 2, "carl": 1, "stefan": 1, "audrey": 1, "olga": 0, "otto": 0} {
		list, err := h.Airlock.List(ctx, h.People[who], airlock.Filter{})
		if err != nil || len(list) != want {
			t.Errorf("%s sees %d requests, want %d (%v)", who, len(list), want, err)
		}
	}
	page, err := h.Airlock.List(ctx, h.People["rosa"], airlock.Filter{Limit: 1})
	if err != nil || len(page) != 1 || page[0].State != airlock.Submitted {
		t.Fatalf("first page: %+v (%v)", page, err)
	}
	page, err = h.Airlock.List(ctx, h.People["rosa"], airlock.Filter{Before: page[0].ID, States: []airlock.State{airlock.Draft}})
	if err != nil || len(page) != 1 || page[0].State != airlock.Draft {
		t.Fatalf("second page: %+v (%v)", page, err)
	}
}

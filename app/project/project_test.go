package project

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/store"
)

type rig struct {
	t   *testing.T
	db  *store.DB
	log *audit.Log
	now time.Time
	n   int
	*Service
}

var (
	operator = access.Actor{ID: "olga", Name: "Olga", Roles: []access.Role{access.Operator}}
	steward  = access.Actor{ID: "stefan", Name: "Stefan", Roles: []access.Role{access.Steward}}
	auditor  = access.Actor{ID: "ada", Name: "Ada", Roles: []access.Role{access.Auditor}}
	stranger = access.Actor{ID: "sam", Name: "Sam"}
)

// people is who exists: the ids above, rosa, and two that may not become members.
var people = map[string]Person{
	"olga": {ID: "olga", Name: "Olga", Roles: operator.Roles},
	"rosa": {ID: "rosa", Handle: "rosa", Name: "Rosa"},
	"lena": {ID: "lena", Handle: "lena", Name: "Lena"},
	"gone": {ID: "gone", Name: "Gone", Disabled: true},
}

var datasets = map[string]Named{
	"d1":      {ID: "d1", Slug: "randhie", Name: "RAND", Version: 1},
	"randhie": {ID: "d1", Slug: "randhie", Name: "RAND", Version: 1},
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, now: time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)}
	dir := t.TempDir()
	var err error
	if r.db, err = store.Open(t.Context(), filepath.Join(dir, "tresor.db"), store.Options{Now: func() time.Time { return r.now }}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.db.Close() })
	if r.log, err = audit.Open(t.Context(), r.db, filepath.Join(dir, "audit.key"), "tresor/test"); err != nil {
		t.Fatal(err)
	}
	r.Service = New(r.db, r.log, func() string { r.n++; return fmt.Sprintf("p%d", r.n) }, Links{
		People: func(_ *store.Tx, id string) (Person, error) {
			if p, ok := people[id]; ok {
				return p, nil
			}
			return Person{}, fault.New("test", fault.NotFound, "There is no such person.")
		},
		Datasets: func(_ *store.Tx, id string) (Named, error) {
			if d, ok := datasets[id]; ok {
				return d, nil
			}
			return Named{}, fault.New("test", fault.NotFound, "There is no such dataset.")
		},
	})
	return r
}

func (r *rig) project(slug string) Project {
	r.t.Helper()
	p, err := r.Create(r.t.Context(), operator, Draft{Slug: slug, Name: "Aurora", Purpose: "Effect of cost sharing."})
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

// events are the verbs of the project's timeline.
func (r *rig) events(id string) string {
	r.t.Helper()
	var verbs []string
	err := r.db.View(r.t.Context(), func(tx *store.Tx) error {
		list, err := r.log.Timeline(tx, Subject(id))
		for _, e := range list {
			verbs = append(verbs, e.Verb)
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return strings.Join(verbs, " ")
}

func at(t time.Time) *time.Time { return &t }
func ptr[T any](v T) *T         { return &v }

func TestCreate(t *testing.T) {
	r := newRig(t)
	p := r.project("aurora")
	if p.State != Active || p.Approval != ImageOnly || p.Threshold != DefaultThreshold || p.Reviewers != DefaultReviewers || p.Waiver != nil {
		t.Errorf("defaults: %+v", p)
	}
	if got := r.events(p.ID); got != "project.created" {
		t.Errorf("audit: %s", got)
	}
}

func TestCreateRefuses(t *testing.T) {
	r := newRig(t)
	r.project("taken")
	ok := Draft{Slug: "new", Name: "New", Purpose: "A purpose."}
	with := func(f func(*Draft)) Draft { d := ok; f(&d); return d }
	cases := []struct {
		name  string
		actor access.Actor
		d     Draft
		kind  fault.Kind
		want  string
	}{
		{"steward", steward, ok, fault.Denied, "Only an operator"},
		{"stranger", stranger, ok, fault.Denied, ""},
		{"taken", operator, with(func(d *Draft) { d.Slug = "taken" }), fault.Conflict, "taken"},
		{"slug", operator, with(func(d *Draft) { d.Slug = "No good" }), fault.Invalid, "short name"},
		{"no name", operator, with(func(d *Draft) { d.Name = " " }), fault.Invalid, "name is missing"},
		{"no purpose", operator, with(func(d *Draft) { d.Purpose = "" }), fault.Invalid, "purpose is missing"},
		{"long purpose", operator, with(func(d *Draft) { d.Purpose = strings.Repeat("p", 4001) }), fault.Invalid, "longer than 4000"},
		{"control characters", operator, with(func(d *Draft) { d.Name = "a\x00" }), fault.Invalid, "control characters"},
		{"ended already", operator, with(func(d *Draft) { d.EndsAt = at(r.now) }), fault.Invalid, "has passed already"},
		{"operator weakens", operator, with(func(d *Draft) { d.Approval = NoneAtAll; d.Reason = "r" }), fault.Denied, "Only a data steward"},
		{"unknown approval", access.System, with(func(d *Draft) { d.Approval = "maybe" }), fault.Invalid, "not an approval mode"},
		{"no approval without a reason", access.System, with(func(d *Draft) { d.Approval = NoneAtAll }), fault.Invalid, "Give the reason"},
		{"low threshold without a reason", access.System, with(func(d *Draft) { d.Threshold = 5 }), fault.Invalid, "Give the reason"},
		{"threshold", access.System, with(func(d *Draft) { d.Threshold = -1 }), fault.Invalid, "from 1 to"},
		{"three reviewers", access.System, with(func(d *Draft) { d.Reviewers = 3 }), fault.Invalid, "one or two"},
		{"one reviewer without a reason", access.System, with(func(d *Draft) { d.Reviewers = 1; d.WaiverUntil = at(r.now.AddDate(0, 1, 0)) }), fault.Invalid, "Give the reason"},
		{"one reviewer without an end", access.System, with(func(d *Draft) { d.Reviewers = 1; d.Reason = "small unit" }), fault.Invalid, "until when"},
		{"one reviewer for ever", access.System, with(func(d *Draft) { d.Reviewers = 1; d.Reason = "small unit"; d.WaiverUntil = at(r.now.AddDate(2, 0, 0)) }), fault.Invalid, "at most a year"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p, err := r.Create(t.Context(), c.actor, c.d)
			if fault.KindOf(err) != c.kind || err == nil || !strings.Contains(fault.Message(err), c.want) {
				t.Errorf("got %v, %+v", err, p)
			}
		})
	}
	if list, _ := r.List(t.Context(), operator); len(list) != 1 {
		t.Errorf("%d projects", len(list))
	}
}

func TestWaiverEndsByItself(t *testing.T) {
	r := newRig(t)
	r.project("aurora")
	until := r.now.AddDate(0, 1, 0)
	p, err := r.Change(t.Context(), steward, "aurora", Change{Reviewers: ptr(1), WaiverUntil: &until, Reason: "Only one checker this month."})
	if err != nil || p.Reviewers != 1 || p.Waiver == nil || p.Waiver.Expired {
		t.Fatalf("%+v, %v", p, err)
	}
	if p, err = r.Change(t.Context(), steward, "aurora", Change{Threshold: ptr(20)}); err != nil || p.Reviewers != 1 || p.Threshold != 20 {
		t.Errorf("another change of policy: %+v, %v", p, err)
	}
	if p, err = r.Change(t.Context(), operator, "aurora", Change{Name: ptr("Borealis")}); err != nil || p.Reviewers != 1 {
		t.Errorf("a change of name: %+v, %v", p, err)
	}
	r.now = until
	if p, err = r.Get(t.Context(), steward, "aurora"); err != nil || p.Reviewers != 2 || !p.Waiver.Expired {
		t.Errorf("after its end: %+v, %v", p, err)
	}
	if p, err = r.Change(t.Context(), steward, "aurora", Change{Reviewers: ptr(2)}); err != nil || p.Waiver != nil {
		t.Errorf("lifted: %+v, %v", p, err)
	}
	if got := r.events(p.ID); got != "project.created project.policy-changed project.policy-changed project.changed project.policy-changed" {
		t.Errorf("audit: %s", got)
	}
}

func TestChangeRefuses(t *testing.T) {
	r := newRig(t)
	r.project("aurora")
	lead := access.Actor{ID: "lena", Name: "Lena", Projects: map[string]access.Role{"p1": access.Lead}}
	cases := []struct {
		name  string
		actor access.Actor
		id    string
		c     Change
		kind  fault.Kind
	}{
		{"stranger cannot see it", stranger, "aurora", Change{Name: ptr("x")}, fault.NotFound},
		{"unknown", operator, "nope", Change{Name: ptr("x")}, fault.NotFound},
		{"lead changes the name", lead, "aurora", Change{Name: ptr("x")}, fault.Denied},
		{"lead changes the policy", lead, "aurora", Change{Threshold: ptr(10)}, fault.Denied},
		{"operator changes the policy", operator, "aurora", Change{Threshold: ptr(10)}, fault.Denied},
		{"steward changes the name", steward, "aurora", Change{Name: ptr("x")}, fault.Denied},
		{"auditor", auditor, "aurora", Change{Name: ptr("x")}, fault.Denied},
		{"nothing", operator, "aurora", Change{}, fault.Invalid},
		{"empty name", operator, "aurora", Change{Name: ptr("")}, fault.Invalid},
		{"end in the past", operator, "aurora", Change{EndsAt: at(r.now.AddDate(0, 0, -1))}, fault.Invalid},
		{"close without a reason", operator, "aurora", Change{State: ptr(Closed)}, fault.Invalid},
		{"unknown state", operator, "aurora", Change{State: ptr(State("paused")), Reason: "r"}, fault.Invalid},
		{"weaken without a reason", steward, "aurora", Change{Approval: ptr(NoneAtAll)}, fault.Invalid},
		{"one reviewer without an end", steward, "aurora", Change{Reviewers: ptr(1), Reason: "r"}, fault.Invalid},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if _, err := r.Change(t.Context(), c.actor, c.id, c.c); fault.KindOf(err) != c.kind || err == nil {
				t.Errorf("got %v", err)
			}
		})
	}
	if got := r.events("p1"); got != "project.created" {
		t.Errorf("audit after refusals: %s", got)
	}
}

func TestOpenForNewWork(t *testing.T) {
	r := newRig(t)
	p := r.project("aurora")
	open := func() error {
		return r.db.View(t.Context(), func(tx *store.Tx) error { return r.Open(tx, p.ID) })
	}
	change := func(c Change) {
		t.Helper()
		if _, err := r.Change(t.Context(), operator, p.ID, c); err != nil {
			t.Fatal(err)
		}
	}
	if err := open(); err != nil {
		t.Errorf("a new project: %v", err)
	}
	change(Change{State: ptr(Closed), Reason: "Finished."})
	if err := open(); fault.KindOf(err) != fault.Conflict {
		t.Errorf("closed: %v", err)
	}
	change(Change{State: ptr(Active), Reason: "One more table.", EndsAt: at(r.now.AddDate(0, 0, 1))})
	if err := open(); err != nil {
		t.Errorf("reopened: %v", err)
	}
	r.now = r.now.AddDate(0, 0, 1)
	if err := open(); fault.KindOf(err) != fault.Conflict || !strings.Contains(fault.Message(err), "ended on 25 November 2026") {
		t.Errorf("ended: %v", err)
	}
	if got, _ := r.Get(t.Context(), operator, p.ID); !got.Ended {
		t.Error("the project does not say that it has ended")
	}
	change(Change{NoEnd: true})
	if err := open(); err != nil {
		t.Errorf("without an end: %v", err)
	}
	if got := r.events(p.ID); got != "project.created project.closed project.reopened project.changed" {
		t.Errorf("audit: %s", got)
	}
}

func TestReopenAfterTheEndNeedsANewOne(t *testing.T) {
	r := newRig(t)
	p := r.project("aurora")
	for _, c := range []Change{{EndsAt: at(r.now.AddDate(0, 0, 1))}, {State: ptr(Closed), Reason: "r"}} {
		if _, err := r.Change(t.Context(), operator, p.ID, c); err != nil {
			t.Fatal(err)
		}
	}
	r.now = r.now.AddDate(0, 0, 2)
	if _, err := r.Change(t.Context(), operator, p.ID, Change{State: ptr(Active), Reason: "r"}); fault.KindOf(err) != fault.Conflict {
		t.Errorf("got %v", err)
	}
}

func TestWhoSeesProjects(t *testing.T) {
	r := newRig(t)
	p := r.project("aurora")
	r.project("borealis")
	member := access.Actor{ID: "rosa", Name: "Rosa", Projects: map[string]access.Role{p.ID: access.Researcher}}
	for _, c := range []struct {
		actor access.Actor
		n     int
	}{{operator, 2}, {steward, 2}, {auditor, 2}, {member, 1}, {stranger, 0}} {
		if list, err := r.List(t.Context(), c.actor); err != nil || len(list) != c.n {
			t.Errorf("%s sees %d projects (%v), want %d", c.actor.Name, len(list), err, c.n)
		}
	}
	if _, err := r.Get(t.Context(), member, "borealis"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("another project: %v", err)
	}
}

package release_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"sync"
	"testing"

	"tresor/app/airlock"
	"tresor/app/airlock/airlocktest"
	"tresor/app/fault"
	"tresor/app/release"
	"tresor/app/store"
)

func TestMakeOpenVerify(t *testing.T) {
	h := newHouse(t)
	approved := h.Approved("visits.csv", airlocktest.Safe, "notes.md", "# Visits\n")
	r, err := h.releases.Make(ctx, h.People["rosa"], approved.ID)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Files) != 2 || r.Title != approved.Title || r.ProjectName != "Aurora" || r.MadeBy.Handle != "rosa" {
		t.Errorf("%+v", r)
	}
	b := h.bytes(t, r.ID)
	rep, err := verify(b, h.Log.VerifierKey())
	if err != nil {
		t.Fatal(err)
	}
	if !rep.Signed || rep.Release != r.ID || rep.SHA256 != r.SHA256 || len(rep.Files) != 2 || int64(len(b)) != r.Size {
		t.Errorf("%+v", rep)
	}
	if rep, err = verify(b, ""); err != nil || rep.Signed {
		t.Errorf("without a key: signed %v (%v)", rep.Signed, err)
	}
	for what, want := range map[string]string{
		`SELECT state FROM airlock_request`: "released", `SELECT state FROM job`: "released", `SELECT group_concat(DISTINCT state) FROM output`: "released",
		`SELECT release_id FROM airlock_request`: r.ID, `SELECT count(*) FROM release_opening`: "1",
	} {
		if got := h.Text(what); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	got, err := h.releases.Get(ctx, h.People["lena"], r.ID)
	if err != nil || got.Opened != 1 {
		t.Errorf("opened %d times (%v)", got.Opened, err)
	}
}

// TestReleasedBytesAreReviewedBytes (T-T1): what is in the zip has the hash that
// the reviewers saw, for every kind of file.
func TestReleasedBytesAreReviewedBytes(t *testing.T) {
	h := newHouse(t)
	approved := h.Approved("visits.csv", airlocktest.Safe, "sub/notes.txt", "n = 120\n")
	r, err := h.releases.Make(ctx, h.People["rosa"], approved.ID)
	if err != nil {
		t.Fatal(err)
	}
	z := open(t, h.bytes(t, r.ID))
	for _, it := range approved.Items {
		v, err := h.Airlock.View(ctx, h.People["carl"], approved.ID, it.ID, 0, 100)
		if err != nil || v.Kind == "none" {
			t.Errorf("%s cannot be viewed after the release: %v", it.Path, err)
		}
		if got := read(t, z, "release-"+r.ID+"/data/outputs/"+it.Path); len(got) != int(it.Size) {
			t.Errorf("%s: %d bytes", it.Path, len(got))
		}
	}
}

func open(t *testing.T, b []byte) *zip.Reader {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func read(t *testing.T, z *zip.Reader, name string) string {
	t.Helper()
	f, err := z.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestManifestSaysWhyItCouldLeave: and nothing that the reviewers did not see.
func TestManifestSaysWhyItCouldLeave(t *testing.T) {
	h := newHouse(t)
	why := "The small group is fictional."
	d := h.Draft("visits.csv", airlocktest.Small)
	if _, err := h.Airlock.Edit(ctx, h.People["rosa"], d.ID, airlock.Edits{Exception: &why}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Airlock.Submit(ctx, h.People["rosa"], d.ID); err != nil {
		t.Fatal(err)
	}
	h.Vote("carl", d.ID, airlock.Approve)
	h.Vote("cemile", d.ID, airlock.Approve)
	r, err := h.releases.Make(ctx, h.People["carl"], d.ID)
	if err != nil {
		t.Fatal(err)
	}
	z := open(t, h.bytes(t, r.ID))
	text := read(t, z, "release-"+r.ID+"/data/manifest.json")
	var m release.Manifest
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatal(err)
	}
	if m.Request.Exception != why || m.Checks.Blocks != 1 || len(m.Findings) == 0 || m.Findings[0].Rule != "T2" || len(m.Approval.Reviewers) != 2 ||
		m.Job.Tasks[0].Image != "sha256:abc" || m.Job.Datasets[0].SHA256 != "feed" || m.Checks.RulesSHA256 == "" || m.Approval.Seq == 0 {
		t.Errorf("%s", text)
	}
	for _, no := range []string{"Said by", "p-carl", "SELECT"} { // comments, person ids, code
		if strings.Contains(text, no) {
			t.Errorf("the manifest holds %q", no)
		}
	}
}

func TestRefusals(t *testing.T) {
	h := newHouse(t)
	approved := h.Approved("a.csv", airlocktest.Safe)
	made := h.make(t, "b.csv", airlocktest.Safe)
	half := h.Submitted("c.csv", airlocktest.Safe)
	h.Vote("carl", half.ID, airlock.Approve)
	rejected := h.Submitted("d.csv", airlocktest.Safe)
	h.Vote("carl", rejected.ID, airlock.Reject)
	h.Vote("cemile", rejected.ID, airlock.Reject)
	gone := h.Approved("e.csv", airlocktest.Safe)
	if _, err := h.Airlock.Withdraw(ctx, h.People["rosa"], gone.ID); err != nil {
		t.Fatal(err)
	}
	draft := h.Draft("f.csv", airlocktest.Safe)
	for _, c := range []struct {
		name, who, request string
		kind               fault.Kind
	}{
		{"make: an outsider", "otto", approved.ID, fault.NotFound},
		{"make: an operator", "olga", approved.ID, fault.Denied},
		{"make: a steward", "stefan", approved.ID, fault.Denied},
		{"make: an auditor", "audrey", approved.ID, fault.Denied},
		{"make: under review", "rosa", half.ID, fault.Conflict},
		{"make: a draft", "rosa", draft.ID, fault.Conflict},
		{"make: rejected", "rosa", rejected.ID, fault.Conflict},
		{"make: withdrawn after approval", "rosa", gone.ID, fault.Conflict},
		{"make: nothing there", "rosa", "nope", fault.NotFound},
	} {
		if r, err := h.releases.Make(ctx, h.People[c.who], c.request); fault.KindOf(err) != c.kind || err == nil || r.ID != "" {
			t.Errorf("%s: %v, want %v", c.name, err, c.kind)
		}
	}
	for _, c := range []struct {
		name, who string
		kind      fault.Kind
	}{
		{"open: an outsider", "otto", fault.NotFound},
		{"open: an operator", "olga", fault.Denied},
		{"open: a checker", "carl", fault.Denied},
		{"open: an auditor", "audrey", fault.Denied},
	} {
		f, r, err := h.releases.Open(ctx, h.People[c.who], made.ID)
		if fault.KindOf(err) != c.kind || err == nil || f != nil || r.ID != "" {
			t.Errorf("%s: %v, want %v", c.name, err, c.kind)
		}
	}
	if _, _, err := h.releases.Open(ctx, h.People["rosa"], "nope"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("open: nothing there: %v", err)
	}
	if got := h.Text(`SELECT count(*) FROM release_opening`); got != "0" {
		t.Errorf("%s refused openings were counted", got)
	}
	for who, want := range map[string]int{"rosa": 1, "carl": 1, "stefan": 1, "audrey": 1, "olga": 0, "otto": 0} {
		list, err := h.releases.List(ctx, h.People[who], release.Filter{})
		if err != nil || len(list) != want {
			t.Errorf("%s sees %d releases, want %d (%v)", who, len(list), want, err)
		}
	}
	if _, err := h.releases.Get(ctx, h.People["otto"], made.ID); fault.KindOf(err) != fault.NotFound {
		t.Errorf("get: an outsider: %v", err)
	}
	if _, err := h.releases.List(ctx, h.People["otto"], release.Filter{Project: h.Project}); fault.KindOf(err) != fault.NotFound {
		t.Errorf("list: a project not visible: %v", err)
	}
}

// TestSwappedBytesNeverLeave: bytes that changed after the review end the
// release, and a zip that changed after it was made gives out nothing.
func TestSwappedBytesNeverLeave(t *testing.T) {
	h := newHouse(t)
	approved := h.Approved("visits.csv", airlocktest.Safe)
	sum := approved.Items[0].SHA256
	h.overwrite(t, sum, strings.Replace(airlocktest.Safe, "10922", "10923", 1))
	if _, err := h.releases.Make(ctx, h.People["rosa"], approved.ID); fault.KindOf(err) != fault.Internal || !strings.Contains(fault.Message(err), "not those that were reviewed") {
		t.Fatalf("made of other bytes: %v", err)
	}
	if got := h.Text(`SELECT count(*) FROM release`) + h.Text(`SELECT state FROM airlock_request`); got != "0approved" {
		t.Errorf("after the refusal: %s", got)
	}
	h.overwrite(t, sum, airlocktest.Safe)
	r, err := h.releases.Make(ctx, h.People["rosa"], approved.ID)
	if err != nil {
		t.Fatal(err)
	}
	good := h.bytes(t, r.ID)
	for name, bad := range map[string]string{"changed": strings.Replace(string(good), "10922", "10923", 1), "cut": string(good[:len(good)-1]), "longer": string(good) + "x"} {
		h.overwrite(t, r.SHA256, bad)
		if f, _, err := h.releases.Open(ctx, h.People["rosa"], r.ID); err == nil || f != nil {
			t.Errorf("%s: opened", name)
		}
	}
	h.overwrite(t, r.SHA256, string(good))
	if got := h.bytes(t, r.ID); !bytes.Equal(got, good) {
		t.Error("the right bytes do not open")
	}
}

// TestRacingMakes: many at once make one release.
func TestRacingMakes(t *testing.T) {
	h := newHouse(t)
	approved := h.Approved("visits.csv", airlocktest.Safe)
	var wg sync.WaitGroup
	ids := make([]string, 8)
	for i := range ids {
		wg.Go(func() {
			r, err := h.releases.Make(ctx, h.People["rosa"], approved.ID)
			if err != nil {
				t.Error(err)
			}
			ids[i] = r.ID
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Errorf("two releases: %v", ids)
		}
	}
	if got := h.Text(`SELECT count(*) FROM release`); got != "1" {
		t.Errorf("%s releases", got)
	}
}

// TestAuditTrail: the log holds one event of each step, with the zip's hash.
func TestAuditTrail(t *testing.T) {
	h := newHouse(t)
	r := h.make(t, "visits.csv", airlocktest.Safe)
	h.bytes(t, r.ID)
	var verbs []string
	err := h.DB.View(ctx, func(tx *store.Tx) error {
		for _, subject := range []string{airlock.Subject(r.Request), release.Subject(r.ID)} {
			list, err := h.Log.Timeline(tx, subject)
			if err != nil {
				return err
			}
			for _, e := range list {
				verbs = append(verbs, e.Verb+" "+e.Detail["sha256"])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(verbs, "\n")
	for _, want := range []string{"airlock.approved", "airlock.released", "release.made " + r.SHA256, "release.opened " + r.SHA256} {
		if strings.Count(all, want) != 1 {
			t.Errorf("%d times %q in:\n%s", strings.Count(all, want), want, all)
		}
	}
}

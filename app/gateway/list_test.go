package gateway

import (
	"fmt"
	"sort"
	"strings"
	"testing"

	"tresor/app/store"
	"tresor/plugins/protocol"
)

// TestFilters compares every combination of conditions with a plain look at all tasks.
func TestFilters(t *testing.T) {
	h := newHouse(t)
	p, who := h.hub("North hub")
	h.quota(p, Quotas{OpenTasks: 1000})
	_, other := h.hub("South hub")
	type stored struct {
		id, name, state string
		tags            map[string]string
	}
	var all []stored
	for i := range 300 {
		r := request("true")
		r.Outputs = nil
		r.Name = []string{"alpha-", "beta_", "Alpha%", "", "ünïcode-"}[i%5] + fmt.Sprint(i)
		r.Tags = map[string]string{"n": fmt.Sprint(i % 3), "even": fmt.Sprint(i%2 == 0)}
		if i%7 == 0 {
			r.Tags["rare"] = ""
		}
		if i%10 == 0 {
			h.submit(other, r)
		}
		st := h.submit(who, r)
		if i%4 == 0 {
			h.must(h.host(who).Cancel(ctx, st.ID))
		}
		all = append(all, stored{st.ID, r.Name, h.state(who, st.ID, protocol.Minimal).State, r.Tags})
	}
	sort.Slice(all, func(i, j int) bool { return all[i].id > all[j].id })
	for _, states := range [][]string{nil, {"queued"}, {"cancelled"}, {"queued", "cancelled"}, {"held", "cancelled"}, {"held"}} {
		for _, name := range []string{"", "alpha", "alpha-1", "Alpha%", "beta_", "ün", "zzz", "b"} {
			for _, tags := range [][]protocol.Tag{nil, {{Key: "n", Value: "1"}}, {{Key: "n", Value: "9"}}, {{Key: "rare", Any: true}}, {{Key: "rare"}}, {{Key: "absent", Any: true}},
				{{Key: "n", Value: "1"}, {Key: "even", Value: "true"}}, {{Key: "n", Value: "1"}, {Key: "n", Value: "2"}}} {
				want := []string{}
				for _, s := range all {
					ok := (states == nil || has(states, s.state)) && strings.HasPrefix(s.name, name)
					for _, tag := range tags {
						v, there := s.tags[tag.Key]
						ok = ok && there && (tag.Any || v == tag.Value)
					}
					if ok {
						want = append(want, s.id)
					}
				}
				got := []string{}
				q := protocol.JobQuery{View: protocol.Minimal, States: states, NamePrefix: name, Tags: tags, Limit: 70}
				for {
					page, err := h.host(who).Jobs(ctx, q)
					h.must(err)
					for _, st := range page.Jobs {
						got = append(got, st.ID)
					}
					if q.After = page.Next; q.After == "" {
						break
					}
				}
				if strings.Join(got, " ") != strings.Join(want, " ") {
					t.Fatalf("states %v name %q tags %v: %d tasks, want %d", states, name, tags, len(got), len(want))
				}
			}
		}
	}
}

// TestHowPagesAreFound: whatever is asked for, the database goes by the one condition that
// is rare or by the newest task, and sorts no more than that.
func TestHowPagesAreFound(t *testing.T) {
	h := newHouse(t)
	_, who := h.hub("North hub")
	got, err := h.g.party(ctx, who)
	h.must(err)
	all := protocol.JobQuery{NamePrefix: "n", States: []string{"queued", "held"}, Tags: []protocol.Tag{{Key: "k", Value: "v"}, {Key: "l", Any: true}}, After: "x"}
	for _, c := range []struct {
		name  string
		q     protocol.JobQuery
		rare  int // which of the conditions; -1: none
		first string
	}{
		{"nothing asked for", protocol.JobQuery{}, -1, "gateway_task_principal (principal=?)"},
		{"a common name", protocol.JobQuery{NamePrefix: "n"}, -1, "gateway_task_principal (principal=?)"},
		{"a common state", protocol.JobQuery{States: []string{"queued"}}, -1, "gateway_task_principal_state (principal=? AND state=?)"},
		{"everything common", all, -1, "gateway_task_principal"},
		{"a rare state", all, 1, "sqlite_autoindex_gateway_task_1 (id=?"},
		{"a rare name", all, 2, "sqlite_autoindex_gateway_task_1 (id=?"},
		{"a rare tag", all, 3, "sqlite_autoindex_gateway_task_1 (id=?"},
		{"a rare key", all, 4, "sqlite_autoindex_gateway_task_1 (id=?"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFilter(got, "tes", c.q)
			for i := range f.conds {
				f.conds[i].many = probe
			}
			if c.rare >= 0 {
				f.conds[c.rare].many = 1
				f.conds[0], f.conds[c.rare] = f.conds[c.rare], f.conds[0]
			}
			query, args := f.query(257, false)
			steps := h.plan(query, args...)
			if !strings.Contains(steps[0], c.first) {
				t.Errorf("begins with %q, want %s", steps[0], c.first)
			}
			for _, step := range steps {
				if strings.HasPrefix(step, "SCAN") || c.rare < 0 && strings.Contains(step, "TEMP B-TREE") {
					t.Errorf("%q among %q", step, steps)
				}
			}
		})
	}
}

// TestOthersDoNotCount: what is looked at for a page, and so the time that it takes, does not
// depend on the tags, names and states of others.
func TestOthersDoNotCount(t *testing.T) {
	h := newHouse(t)
	_, who := h.hub("North hub")
	_, other := h.hub("South hub")
	rosa, _ := h.person("rosa", "aurora")
	r := request()
	r.Name, r.Tags = "hidden", map[string]string{"study": "hidden"}
	for range 3 {
		h.submit(other, r)
	}
	for name, q := range map[string]protocol.JobQuery{"a tag": {Tags: []protocol.Tag{{Key: "study", Value: "hidden"}}}, "a key": {Tags: []protocol.Tag{{Key: "study", Any: true}}},
		"a name": {NamePrefix: "hid"}, "a state": {States: []string{"queued"}}} {
		for caller, want := range map[Caller]int{who: 0, other: 3, rosa: 3} { // a person sees the project's
			p, err := h.g.party(ctx, caller)
			h.must(err)
			f := newFilter(p, "tes", q)
			h.must(h.db.View(ctx, func(tx *store.Tx) error {
				none, err := f.measure(tx)
				if got := f.conds[0].many; none != (want == 0) || want > 0 && got != want {
					t.Errorf("%s, asked by %s: none %v, %d counted, want %d", name, caller.Kind, none, got, want)
				}
				return err
			}))
			for _, c := range f.conds {
				if c.source == "" {
					continue
				}
				for _, step := range h.plan(c.source, c.sargs...) {
					if !strings.Contains(step, "("+f.column+"=? AND ") || !strings.Contains(step, "COVERING INDEX") {
						t.Errorf("%s, asked by %s: %s", name, caller.Kind, step)
					}
				}
			}
		}
	}
}

// plan are the steps by which the database answers a query.
func (h *house) plan(query string, args ...any) (steps []string) {
	h.t.Helper()
	h.must(h.db.View(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query("EXPLAIN QUERY PLAN "+query, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id, parent, unused int
			var step string
			if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
				return err
			}
			steps = append(steps, step)
		}
		return rows.Err()
	}))
	return steps
}

// TestPages: bad queries, pages of large documents, and a project that was taken back.
func TestPages(t *testing.T) {
	h := newHouse(t)
	p, who := h.hub("North hub")
	x := h.host(who)
	for name, q := range map[string]protocol.JobQuery{"no limit": {}, "a large limit": {Limit: mostJobs + 1}, "a long token": {Limit: 1, After: strings.Repeat("x", 101)},
		"a long name": {Limit: 1, NamePrefix: strings.Repeat("x", maxLabel+1)}, "many tags": {Limit: 1, Tags: make([]protocol.Tag, maxTags+1)}} {
		_, err := x.Jobs(ctx, q)
		if err == nil || wireCode(err) != CodeMalformed {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range 16 { // half of them with a long document, half with long tags
		r := request()
		r.Document = []byte(strings.Repeat("d", 900<<10*(i%2)))
		r.Tags = map[string]string{}
		for n := range maxTags * (1 - i%2) {
			r.Tags[fmt.Sprint(n)] = strings.Repeat("t", maxValue)
		}
		h.submit(who, r)
	}
	seen, pages, q := 0, 0, protocol.JobQuery{View: protocol.Basic, Limit: 100}
	for {
		page, err := x.Jobs(ctx, q)
		h.must(err)
		size := 0
		for _, st := range page.Jobs {
			size += len(st.Document)
			for _, v := range st.Tags {
				size += len(v)
			}
		}
		if size > protocol.MaxMessage {
			t.Errorf("a page of %d bytes", size)
		}
		seen, pages = seen+len(page.Jobs), pages+1
		if q.After = page.Next; q.After == "" {
			break
		}
	}
	if seen != 16 || pages < 3 {
		t.Errorf("%d tasks on %d pages", seen, pages)
	}
	_, err := h.g.AddProject(ctx, h.as("mona"), p.ID, "borealis", "otto", nil)
	h.must(err)
	h.drop(p)
	if page, err := x.Jobs(ctx, protocol.JobQuery{View: protocol.Minimal, Limit: 100}); err != nil || len(page.Jobs) != 0 {
		t.Errorf("tasks of a project that was taken back: %d (%v)", len(page.Jobs), err)
	}
}

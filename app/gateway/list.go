package gateway

import (
	"context"
	"sort"
	"strings"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
	"tresor/plugins/protocol"
)

const (
	mostJobs  = 2048
	pageBytes = 3 << 20 // of documents and tags in one page: protocol.MaxMessage with room for the rest
	probe     = 256     // tasks looked at to learn how rare a condition is
)

// filter is a page's conditions in SQL, over gateway_task t.
type filter struct {
	column, value string // scope
	plugin        string
	conds         []cond
	after         string
}

// cond is one condition: as a test of a row, and as the source that lists its rows
// newest first by an index of its own.
type cond struct {
	test   string
	args   []any
	source string // SELECT of ids in t.id; empty: no index
	sargs  []any
	many   int // matches, up to probe
}

// Jobs lists the caller's tasks that came through this plugin, newest first.
func (h *host) Jobs(ctx context.Context, q protocol.JobQuery) (protocol.JobPage, error) {
	page := protocol.JobPage{Jobs: []protocol.JobState{}}
	p, err := h.party(ctx)
	if err != nil {
		return page, h.fail(err)
	}
	if q.Limit < 1 || q.Limit > mostJobs {
		return page, h.fail(malformed("A page holds 1 to %d tasks.", mostJobs))
	}
	if len(q.After) > 100 || len(q.NamePrefix) > maxLabel || len(q.Tags) > maxTags || len(q.States) > 20 {
		return page, h.fail(malformed("The query is too long."))
	}
	err = h.s.DB.View(ctx, func(tx *store.Tx) error {
		var err error
		page, err = h.s.page(tx, p, h.plugin, q)
		return err
	})
	return page, h.fail(err)
}

func (s *Service) page(tx *store.Tx, p *party, plugin string, q protocol.JobQuery) (protocol.JobPage, error) {
	page := protocol.JobPage{Jobs: []protocol.JobState{}}
	f := newFilter(p, plugin, q)
	none, err := f.measure(tx)
	if err != nil || none {
		return page, err
	}
	tasks, more, err := f.run(tx, q.Limit, q.View == protocol.Minimal)
	if err != nil {
		return page, err
	}
	size := 0
	for i, t := range tasks {
		slug, _ := p.slug(t.project)
		st, err := s.view(tx, p, t, slug, q.View)
		if err != nil {
			return page, err
		}
		page.Jobs = append(page.Jobs, st)
		if size += len(st.Document) + t.size(); size > pageBytes && i < len(tasks)-1 {
			more = true
			break
		}
	}
	if more {
		page.Next = page.Jobs[len(page.Jobs)-1].ID
	}
	return page, nil
}

func newFilter(p *party, plugin string, q protocol.JobQuery) *filter {
	f := &filter{plugin: plugin, after: q.After}
	f.column, f.value = p.scope()
	if p.blindTo(Inside) && !p.machine() { // a machine's key holds none of them
		f.conds = append(f.conds, cond{test: "t.kind <> 'inside'", many: probe})
	}
	if p.machine() && len(p.lent) > 0 { // a project that was taken back takes its tasks along
		var ids []any
		for _, l := range p.lent {
			ids = append(ids, l.project.ID)
		}
		f.conds = append(f.conds, cond{test: "+t.project IN (" + marks(len(ids)) + ")", args: ids, many: probe})
	} else if p.machine() {
		f.conds = append(f.conds, cond{test: "0", source: "SELECT id FROM gateway_task WHERE 0"})
	}
	if len(q.States) > 0 {
		f.states(q.States)
	}
	if q.NamePrefix != "" {
		f.name(q.NamePrefix)
	}
	for _, t := range q.Tags {
		f.tag(t)
	}
	return f
}

func marks(n int) string { return strings.TrimSuffix(strings.Repeat("?,", n), ",") }

func (f *filter) states(states []string) {
	c := cond{test: "t.state IN (" + marks(len(states)) + ")"}
	var parts []string
	for _, st := range states {
		c.args = append(c.args, st)
		parts = append(parts, "SELECT id FROM gateway_task WHERE "+f.column+" = ? AND state = ?")
		c.sargs = append(c.sargs, f.value, st)
	}
	c.source = strings.Join(parts, " UNION ALL ")
	f.conds = append(f.conds, c)
}

func (f *filter) name(prefix string) {
	// A name that begins with the prefix lies between the prefix and the first text
	// behind all of those.
	end := prefix + "\U0010ffff"
	f.conds = append(f.conds, cond{test: "+t.name >= ? AND +t.name < ? AND substr(t.name, 1, length(?)) = ?", args: []any{prefix, end, prefix, prefix},
		source: "SELECT id FROM gateway_task WHERE " + f.column + " = ? AND name >= ? AND name < ?", sargs: []any{f.value, prefix, end}})
}

// tag looks among the tags of the caller's own scope only: how long it takes must not say
// which tags others use.
func (f *filter) tag(t protocol.Tag) {
	c := cond{test: "EXISTS (SELECT 1 FROM gateway_tag g WHERE g.key = ?", args: []any{t.Key},
		source: "SELECT task AS id FROM gateway_tag WHERE " + f.column + " = ? AND key = ?", sargs: []any{f.value, t.Key}}
	if !t.Any {
		c.test, c.args = c.test+" AND g.value = ?", append(c.args, t.Value)
		c.source, c.sargs = c.source+" AND value = ?", append(c.sargs, t.Value)
	}
	c.test += " AND g.task = t.id)"
	f.conds = append(f.conds, c)
}

// measure learns how many rows each condition has, up to probe, from its own index,
// and puts the rarest first. none: one of them has no row at all.
func (f *filter) measure(tx *store.Tx) (none bool, err error) {
	for i := range f.conds {
		c := &f.conds[i]
		if c.source == "" {
			continue
		}
		if err := tx.QueryRow(`SELECT count(*) FROM (`+c.source+` LIMIT ?)`, append(append([]any{}, c.sargs...), probe)...).Scan(&c.many); err != nil {
			return false, err
		}
		if c.many == 0 {
			return true, nil
		}
	}
	sort.SliceStable(f.conds, func(i, j int) bool { return f.conds[i].many < f.conds[j].many })
	return false, nil
}

// query finds the tasks of a page: over the rarest condition's index when it is rare,
// otherwise from the newest task on, where a common condition soon fills a page. The plus
// before a column keeps the database from going by that one instead.
func (f *filter) query(limit int, minimal bool) (string, []any) {
	var args []any
	query := `SELECT ` + taskColumns + ` FROM gateway_task t WHERE `
	if minimal { // each column of each row costs
		query = `SELECT id, state FROM gateway_task t WHERE `
	}
	if len(f.conds) > 0 && f.conds[0].source != "" && f.conds[0].many < probe {
		query += "t.id IN (" + f.conds[0].source + ") AND +t." + f.column + " = ?"
		args = append(append(args, f.conds[0].sargs...), f.value)
	} else {
		query += "t." + f.column + " = ?"
		args = append(args, f.value)
	}
	for _, c := range f.conds {
		query += " AND " + c.test
		args = append(args, c.args...)
	}
	query += " AND t.plugin = ?"
	args = append(args, f.plugin)
	if f.after != "" {
		query += " AND t.id < ?"
		args = append(args, f.after)
	}
	return query + " ORDER BY t.id DESC LIMIT ?", append(args, limit)
}

// run reads a page of at most limit tasks, fewer when their tags are long, and whether
// there are more.
func (f *filter) run(tx *store.Tx, limit int, minimal bool) (list []task, more bool, err error) {
	query, args := f.query(limit+1, minimal)
	rows, err := tx.Query(query, args...)
	if err != nil {
		return nil, false, err
	}
	defer rows.Close()
	for size := 0; rows.Next(); {
		if len(list) == limit || size > pageBytes {
			return list, true, nil
		}
		var t task
		if minimal {
			err = rows.Scan(&t.id, &t.rawState)
		} else {
			t, err = scanTask(rows)
		}
		if err != nil {
			return nil, false, err
		}
		size += t.size()
		list = append(list, t)
	}
	return list, false, rows.Err()
}

// mostRequests bounds one answer of Requests.
const mostRequests = 500

// Requests lists tasks of machines that wait for a decision or an image, in projects
// that the actor sees, oldest first, from behind the job `after` on ("": from the
// first), at most 500. The job itself says the rest.
func (s *Service) Requests(ctx context.Context, actor access.Actor, after string) ([]Pending, error) {
	list := []Pending{}
	where, args := "", []any{after}
	if !access.Can(actor, access.JobRead, access.Thing{}) { // no role for the whole site
		for id := range actor.Projects {
			if access.Can(actor, access.JobRead, access.Thing{Project: id}) {
				args = append(args, id)
			}
		}
		if len(args) == 1 {
			return list, nil
		}
		where = " AND t.project IN (" + marks(len(args)-1) + ")"
	}
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT t.id, t.principal, t.kind, t.on_behalf, coalesce(t.remote_id, ''), coalesce(p.name, '') FROM gateway_task t
			LEFT JOIN gateway_principal p ON p.id = t.principal WHERE t.state = 'submitted' AND t.id > ?`+where+` ORDER BY t.id LIMIT ?`, append(args, mostRequests)...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var r Pending
			if err := rows.Scan(&r.Job, &r.Principal, &r.Kind, &r.OnBehalf, &r.RemoteID, &r.Name); err != nil {
				return err
			}
			list = append(list, r)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		_ = rows.Close()
		return s.nameSenders(tx, list)
	})
	return list, fault.Wrap("gateway.Requests", err)
}

// nameSenders names those who have no record of their own.
func (s *Service) nameSenders(tx *store.Tx, list []Pending) error {
	for i := range list {
		r := &list[i]
		if id, person := strings.CutPrefix(r.Principal, "person:"); person {
			a, err := s.ActorOf(tx, id)
			if k := fault.KindOf(err); err != nil && k != fault.Denied && k != fault.NotFound {
				return err
			}
			r.Name = a.Name
		} else if id, inside := strings.CutPrefix(r.Principal, "inside:"); inside {
			j, err := s.Jobs.Find(tx, id)
			if err != nil && fault.KindOf(err) != fault.NotFound {
				return err
			}
			r.Name = programIn(j.Name)
		}
	}
	return nil
}

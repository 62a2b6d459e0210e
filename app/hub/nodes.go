package hub

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/store"
	fed "tresor/fed/hub"
	"tresor/fed/trust"
	"tresor/fed/wire"
)

var system = access.System

func nodeSubject(id wire.KeyID) string { return "node:" + string(id) }

func (s *Service) note(tx *store.Tx, actor access.Actor, verb, subject, project string, kv ...string) error {
	_, err := s.Log.Append(tx, audit.By(actor, verb, subject, project, kv...))
	return err
}

// refused makes a refusal of the federation an error that people can act on.
func refused(op string, err error) error {
	var r *wire.Refusal
	if !errors.As(err, &r) {
		return fault.Wrap(op, err)
	}
	kind := fault.Conflict
	switch r.Code {
	case wire.CodeMalformed, wire.CodeSize:
		kind = fault.Invalid
	case wire.CodeUnknown:
		kind = fault.NotFound
	case wire.CodeOffline, wire.CodeBusy:
		kind = fault.Unavailable
	}
	text := r.Text
	if text != "" {
		text = strings.ToUpper(text[:1]) + text[1:] + "."
	}
	return fault.Kinded(op, kind, err, "%s", text)
}

// Overview shows the hub itself.
func (s *Service) Overview(ctx context.Context, actor access.Actor) (Overview, error) {
	const op = "hub.Overview"
	if err := access.May(actor, access.HubRead, access.Thing{}); err != nil {
		return Overview{}, fault.Wrap(op, err)
	}
	k := s.keys.get()
	o := Overview{Name: s.Name, Key: string(k.id()), Address: s.address()}
	if k.Next != nil {
		o.Rotation = &Rotation{Next: string(k.Succession.New.ID()), Until: time.UnixMilli(k.Succession.Until).UTC()}
	}
	for _, st := range s.fed().Nodes() {
		if !st.Peer.Revoked.IsZero() {
			continue
		}
		o.Nodes++
		if st.Online {
			o.Online++
		}
		if o.Rotation != nil && st.Announced == k.Succession.New.ID() {
			o.Rotation.Known++
		}
	}
	if o.Rotation != nil {
		o.Rotation.Nodes = o.Nodes
	}
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT count(*) FROM hub_task WHERE ended_at IS NULL`).Scan(&o.Open)
	})
	return o, fault.Wrap(op, err)
}

// address is what a node's operator types.
func (s *Service) address() string { return s.URL() }

// NewCode makes an enrolment code that is typed at the node. name is what to call
// the node; empty: what it calls itself.
func (s *Service) NewCode(ctx context.Context, actor access.Actor, name string) (Code, error) {
	const op = "hub.NewCode"
	return s.code(ctx, op, actor, "code.made", func() (trust.Code, error) { return s.book.NewCode(ctx, "", name) }, true)
}

// TypeCode takes a code that the node's operator made. The node then has a day to
// bring it.
func (s *Service) TypeCode(ctx context.Context, actor access.Actor, code, name string) (Code, error) {
	const op = "hub.TypeCode"
	return s.code(ctx, op, actor, "code.typed", func() (trust.Code, error) { return s.book.TypeCode(ctx, code, "", name) }, false)
}

func (s *Service) code(ctx context.Context, op string, actor access.Actor, verb string, make func() (trust.Code, error), show bool) (Code, error) {
	if err := access.May(actor, access.HubManage, access.Thing{}); err != nil {
		return Code{}, fault.Wrap(op, err)
	}
	c, err := make()
	if err != nil {
		return Code{}, refused(op, err)
	}
	err = s.DB.Update(ctx, func(tx *store.Tx) error { return s.note(tx, actor, verb, "code:"+c.ID, "") })
	if err != nil {
		return Code{}, fault.Wrap(op, err)
	}
	out := Code{ExpiresAt: c.Expires, Address: s.address()}
	if show {
		out.Code = c.Text()
	}
	return out, nil
}

// Nodes lists the enrolled nodes by name, revoked ones too.
func (s *Service) Nodes(ctx context.Context, actor access.Actor) ([]Node, error) {
	const op = "hub.Nodes"
	if err := access.May(actor, access.HubRead, access.Thing{}); err != nil {
		return nil, fault.Wrap(op, err)
	}
	all, err := s.nodes(ctx)
	return all, fault.Wrap(op, err)
}

// Node shows one node by id or name.
func (s *Service) Node(ctx context.Context, actor access.Actor, idOrName string) (Node, error) {
	const op = "hub.Node"
	all, err := s.Nodes(ctx, actor)
	if err != nil {
		return Node{}, fault.Wrap(op, err)
	}
	return pick(op, all, idOrName)
}

func pick(op string, all []Node, idOrName string) (Node, error) {
	for _, n := range all {
		if n.ID == idOrName {
			return n, nil
		}
	}
	for _, n := range all {
		if n.Name == idOrName && n.RevokedAt == nil {
			return n, nil
		}
	}
	return Node{}, fault.New(op, fault.NotFound, "There is no node %q. Look at the list of nodes for its name.", clip(idOrName, 80))
}

// record is what the database knows of a node beyond its keys.
type record struct {
	confirmedAt *time.Time
	confirmedBy string
	seen        *time.Time
	facts       facts
	catalogueAt *time.Time
	projects    []string
	open        int
}

// facts are what a node last said of itself.
type facts struct {
	Version string   `json:"version,omitempty"`
	Paused  bool     `json:"paused,omitempty"`
	Plugins []string `json:"plugins,omitempty"`
	Trouble string   `json:"trouble,omitempty"`
}

func (s *Service) nodes(ctx context.Context) ([]Node, error) {
	status := s.fed().Nodes() // before the records: a node is stored before it is believed
	var records map[string]*record
	err := s.DB.View(ctx, func(tx *store.Tx) (err error) {
		records, err = nodeRecords(tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	hubKey := wire.KeyOf(s.keys.get().Key)
	all := []Node{}
	for _, st := range status {
		if r := records[string(st.Peer.ID)]; r != nil {
			all = append(all, nodeView(st, r, hubKey))
		}
	}
	return all, nil
}

func nodeView(st fed.Status, r *record, hubKey wire.Key) Node {
	n := Node{
		ID: string(st.Peer.ID), Name: st.Peer.Name, Words: trust.PairWords(hubKey, st.Peer.Current()), EnrolledAt: st.Peer.Enrolled,
		ConfirmedAt: r.confirmedAt, ConfirmedBy: r.confirmedBy, LastContact: r.seen, Remote: st.Remote, Version: r.facts.Version,
		Paused: r.facts.Paused, Plugins: r.facts.Plugins, Trouble: r.facts.Trouble, CatalogueAt: r.catalogueAt, Projects: r.projects, Open: r.open,
		State: NodeOffline, Reason: st.Peer.Reason,
	}
	if n.Plugins == nil {
		n.Plugins = []string{}
	}
	if n.Projects == nil {
		n.Projects = []string{}
	}
	if st.Online {
		n.State, n.Since, n.LastContact = NodeOnline, moment(st.Since), moment(st.LastSeen)
	}
	switch {
	case !st.Peer.Revoked.IsZero():
		n.State, n.RevokedAt = NodeRevoked, moment(st.Peer.Revoked)
	case r.confirmedAt == nil:
		n.State = NodeUnconfirmed
	}
	return n
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func nodeRecords(tx *store.Tx) (map[string]*record, error) {
	rows, err := tx.Query(`SELECT id, confirmed_at, confirmed_by, seen_at, facts, catalogue_at,
		(SELECT group_concat(p.slug, ' ') FROM hub_project_node n JOIN hub_project p ON p.id = n.project WHERE n.node = hub_node.id),
		(SELECT count(*) FROM hub_part WHERE node = hub_node.id AND state IN ('waiting', 'offered', 'accepted')) FROM hub_node`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[string]*record{}
	for rows.Next() {
		var id, factText string
		var confirmed, seen, catalogue *int64
		var projects *string
		r := &record{}
		if err := rows.Scan(&id, &confirmed, &r.confirmedBy, &seen, &factText, &catalogue, &projects, &r.open); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(factText), &r.facts); err != nil {
			return nil, err
		}
		r.confirmedAt, r.seen, r.catalogueAt = when(confirmed), when(seen), when(catalogue)
		if projects != nil {
			r.projects = strings.Fields(*projects)
			slices.Sort(r.projects)
		}
		all[id] = r
	}
	return all, rows.Err()
}

func when(ms *int64) *time.Time {
	if ms == nil {
		return nil
	}
	t := store.Time(*ms)
	return &t
}

// ConfirmNode says that somebody compared the words with the node's operator.
// Only then anything is sent to it.
func (s *Service) ConfirmNode(ctx context.Context, actor access.Actor, node string) (Node, error) {
	const op = "hub.ConfirmNode"
	n, err := s.manage(ctx, op, actor, node)
	if err != nil {
		return n, err
	}
	if n.RevokedAt != nil {
		return n, fault.New(op, fault.Conflict, "The node %s was revoked. It has to enrol again with a new key.", n.Name)
	}
	if n.ConfirmedAt != nil {
		return n, nil
	}
	err = s.DB.Update(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(`UPDATE hub_node SET confirmed_at = ?, confirmed_by = ? WHERE id = ?`, store.Millis(tx.Now()), actor.Handle, n.ID); err != nil {
			return err
		}
		return s.note(tx, actor, "node.confirmed", "node:"+n.ID, "")
	})
	if err != nil {
		return n, fault.Wrap(op, err)
	}
	s.wake(n.ID)
	return s.Node(ctx, actor, n.ID)
}

// RevokeNode stops believing a node for good. Its open parts end as refused.
func (s *Service) RevokeNode(ctx context.Context, actor access.Actor, node, reason string) (Node, error) {
	const op = "hub.RevokeNode"
	n, err := s.manage(ctx, op, actor, node)
	if err != nil {
		return n, err
	}
	reason = strings.TrimSpace(reason)
	if reason == "" || len(reason) > 500 || clean(reason) != reason {
		return n, fault.New(op, fault.Invalid, "Give the reason in one line of at most 500 characters: it is shown on the page of the node.")
	}
	if err := s.book.Revoke(ctx, wire.KeyID(n.ID), reason); err != nil {
		return n, refused(op, err)
	}
	s.fed().Drop(wire.KeyID(n.ID))
	err = s.DB.Update(ctx, func(tx *store.Tx) error {
		if err := s.endPartsOf(tx, n.ID); err != nil {
			return err
		}
		return s.note(tx, actor, "node.revoked", "node:"+n.ID, "")
	})
	if err != nil {
		return n, fault.Wrap(op, err)
	}
	return s.Node(ctx, actor, n.ID)
}

func (s *Service) manage(ctx context.Context, op string, actor access.Actor, node string) (Node, error) {
	if err := access.May(actor, access.HubManage, access.Thing{}); err != nil {
		return Node{}, fault.Wrap(op, err)
	}
	n, err := s.Node(ctx, actor, node)
	return n, fault.Wrap(op, err)
}

// overlap is how long the old and the new key are both good.
const overlap = 30 * 24 * time.Hour

// Rotate begins to replace the hub's key: nodes learn the new one when they
// connect, and when all have it the hub changes by itself.
func (s *Service) Rotate(ctx context.Context, actor access.Actor) (Overview, error) {
	const op = "hub.Rotate"
	if err := access.May(actor, access.HubManage, access.Thing{}); err != nil {
		return Overview{}, fault.Wrap(op, err)
	}
	if s.keys.get().Next == nil {
		if err := s.keys.begin(s.Now().Add(overlap)); err != nil {
			return Overview{}, fault.Wrap(op, err)
		}
		next := s.keys.get().Succession.New.ID()
		err := s.DB.Update(ctx, func(tx *store.Tx) error { return s.note(tx, actor, "hub.rotating", "hub", "", "key", string(next)) })
		if err != nil {
			return Overview{}, fault.Wrap(op, err)
		}
	}
	for _, st := range s.fed().Nodes() {
		s.fed().Drop(st.Peer.ID) // a node hears of the new key when it dials again
	}
	return s.Overview(ctx, actor)
}

// settle finishes a rotation that every node knows of.
func (s *Service) settle(ctx context.Context) error {
	k := s.keys.get()
	if k.Next == nil {
		return nil
	}
	next := k.Succession.New.ID()
	for _, st := range s.fed().Nodes() {
		if st.Peer.Revoked.IsZero() && st.Announced != next && s.Now().Before(time.UnixMilli(k.Succession.Until)) {
			return nil
		}
	}
	if err := s.keys.finish(); err != nil {
		return err
	}
	return s.DB.Update(ctx, func(tx *store.Tx) error { return s.note(tx, system, "hub.rotated", "hub", "", "key", string(next)) })
}

package hub

import (
	"context"
	"encoding/json"
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

func nodeSubject(id wire.KeyID) string { return "node:" + string(id) }

func (s *Service) note(tx *store.Tx, actor access.Actor, verb, subject, project string, kv ...string) error {
	return s.because(tx, "", audit.By(actor, verb, subject, project, kv...))
}

// because appends an event with its reason, which may be empty.
func (s *Service) because(tx *store.Tx, reason string, e audit.Event) error {
	_, err := s.Log.Append(tx, e.Because(reason))
	return err
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

// Node shows one node by id or name. Of two with one name it is the one that is not
// revoked.
func (s *Service) Node(ctx context.Context, actor access.Actor, idOrName string) (Node, error) {
	const op = "hub.Node"
	all, err := s.Nodes(ctx, actor)
	if err != nil {
		return Node{}, fault.Wrap(op, err)
	}
	return pick(op, all, idOrName)
}

func pick(op string, all []Node, idOrName string) (Node, error) {
	for _, is := range []func(n Node) bool{
		func(n Node) bool { return n.ID == idOrName },
		func(n Node) bool { return n.Name == idOrName && n.RevokedAt == nil },
		func(n Node) bool { return n.Name == idOrName },
	} {
		if i := slices.IndexFunc(all, is); i >= 0 {
			return all[i], nil
		}
	}
	return Node{}, fault.WithNext(fault.New(op, fault.NotFound, "There is no node %q.", clip(idOrName, 80)), "Look at the list of nodes for its name.")
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
	case !st.Peer.Left.IsZero():
		n.State, n.RevokedAt, n.Reason = NodeRevoked, moment(st.Peer.Left), "The node has revoked this hub."
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

package link

import (
	"context"
	"time"

	"tresor/app/access"
	"tresor/app/gateway"
	"tresor/fed/node"
	"tresor/fed/trust"
	"tresor/fed/wire"
)

// Node is this appliance as hubs know it.
type Node struct {
	Name     string    `json:"name"`
	Key      string    `json:"key" doc:"id of the public key"`
	Words    string    `json:"words" doc:"the key as words to compare"`
	Paused   bool      `json:"paused" doc:"every hub is"`
	Enrolled bool      `json:"enrolled" doc:"at some hub"`
	Rotation *Rotation `json:"rotation" doc:"a change of the key that is under way"`
}

// Rotation is a change of the node's key that is under way.
type Rotation struct {
	Key     string    `json:"key" doc:"id of the next key"`
	Until   time.Time `json:"until" doc:"the end of the old key at the latest"`
	Known   []string  `json:"known" doc:"principals of hubs that have the next key"`
	Waiting []string  `json:"waiting" doc:"principals of hubs that have not"`
}

// Link is how the connection to a hub is.
type Link struct {
	State       string     `json:"state" doc:"online, connecting, offline, paused or revoked"`
	Since       *time.Time `json:"since"`
	LastContact *time.Time `json:"last_contact"`
	Error       string     `json:"error"`
	Next        string     `json:"next" doc:"what to do"`
	RetryAt     *time.Time `json:"retry_at" doc:"when it is tried again"`
	RoundTrip   float64    `json:"round_trip_ms"`
	Attempts    int64      `json:"attempts" doc:"since it was last online"`
	Reconnects  int64      `json:"reconnects" doc:"links opened since the server started"`
	Confirmed   bool       `json:"confirmed" doc:"a person here has compared the words"`
	ConfirmedAt *time.Time `json:"confirmed_at"`
	Words       string     `json:"words" doc:"both keys as words to compare with the hub's operator"`
	URL         string     `json:"url"`
}

// Node answers what this appliance is to hubs. Errors: Denied.
func (s *Service) Node(_ context.Context, actor access.Actor) (Node, error) {
	if !access.Anywhere(actor, access.FederationRead) {
		return Node{}, access.May(actor, access.FederationRead, access.Thing{})
	}
	return s.facts(), nil
}

func (s *Service) facts() Node {
	key := s.keys.public()
	n := Node{Name: s.Name, Key: string(key.ID()), Words: trust.Words(key), Paused: s.allPaused()}
	next, until, rotating := s.keys.pending()
	if rotating {
		n.Rotation = &Rotation{Key: string(next), Until: until.UTC(), Known: []string{}, Waiting: []string{}}
	}
	for _, h := range s.list() {
		p := h.principal.Load()
		if !s.active(h) || p == nil {
			continue
		}
		n.Enrolled = true
		if !rotating {
			continue
		}
		if health, ok := s.healthOf(h); ok && health.Announced == next {
			n.Rotation.Known = append(n.Rotation.Known, p.ID)
		} else {
			n.Rotation.Waiting = append(n.Rotation.Waiting, p.ID)
		}
	}
	return n
}

// active reports whether a hub is believed.
func (s *Service) active(h *hub) bool {
	peer, ok := s.book.Peer(h.peer)
	return ok && peer.Revoked.IsZero()
}

// Links answers how the link to each hub is, by principal. Errors: Denied.
func (s *Service) Links(_ context.Context, actor access.Actor) (map[string]Link, error) {
	if !access.Anywhere(actor, access.FederationRead) {
		return nil, access.May(actor, access.FederationRead, access.Thing{})
	}
	health := map[wire.KeyID]node.Health{}
	for _, h := range s.node.Health() {
		health[h.Hub] = h
	}
	out := map[string]Link{}
	for _, h := range s.list() {
		p := h.principal.Load()
		if p == nil || !access.Can(actor, access.FederationRead, access.Thing{Projects: projectsOf(p)}) {
			continue
		}
		out[p.ID] = s.link(h, p, health[h.peer])
	}
	return out, nil
}

func projectsOf(p *gateway.Principal) []string {
	var out []string
	for _, u := range p.Projects {
		out = append(out, u.Project)
	}
	return out
}

func (s *Service) link(h *hub, p *gateway.Principal, health node.Health) Link {
	peer, _ := s.book.Peer(h.peer)
	l := Link{State: "offline", Words: *h.words.Load(), URL: peer.URL, Error: health.Error, Attempts: int64(health.Attempts), Reconnects: health.Opened,
		Since: moment(health.Since), LastContact: moment(latest(health.LastSeen, p.LastSeen)), RetryAt: moment(health.NextTry)}
	if at := h.confirmed.Load(); at != 0 {
		l.Confirmed, l.ConfirmedAt = true, moment(time.UnixMilli(at))
	}
	s.mu.Lock()
	l.RoundTrip = float64(s.trips[h.peer].Microseconds()) / 1000
	s.mu.Unlock()
	switch {
	case !peer.Revoked.IsZero():
		l.State, l.Error, l.Next, l.RetryAt = "revoked", peer.Reason, "A hub that was revoked has to be enrolled again with a new key.", nil
		return l
	case health.State == node.Online:
		l.State, l.Error, l.RetryAt = "online", "", nil
	case health.State == node.Connecting:
		l.State = "connecting"
	}
	if l.State == "offline" && l.Error != "" {
		l.Error, l.Next = sentence(l.Error)+".", nextOf(health.Code, true)
	}
	if p.Paused || s.allPaused() {
		l.State, l.Next = "paused", nextOf(wire.CodePaused, false)
	}
	if !l.Confirmed {
		l.Next = "Compare the words with the hub's operator, then confirm. Until then the hub can do nothing."
	}
	return l
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// moment is a time for a page, nil for none.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

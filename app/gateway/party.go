package gateway

import (
	"context"
	"time"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/project"
	"tresor/app/store"
	"tresor/plugins/protocol"
)

// party is a caller with everything it may do, as it was a moment ago.
type party struct {
	kind   Kind
	key    string // in gateway_task.principal and the ledger
	name   string
	via    string // of its jobs
	record Principal
	lent   []lent
	bound  string // project that a person's token or a program inside is bound to
	counts []counted
	cores  int   // processors that one of its tasks may use; 0: no bound of its own
	barred error // why it may look but make no task
	until  time.Time
}

// lent is one project with the person in whose name the party works there.
type lent struct {
	project  project.Project
	actor    access.Actor
	standing error // why the person cannot answer for work now
	datasets []string
}

// machine reports whether the party is a hub or an outside client.
func (p *party) machine() bool { return p.kind == Hub || p.kind == Client }

// bounded reports whether a principal's quotas and decisions bind the party: a
// machine, and a program inside a machine's job.
func (p *party) bounded() bool { return p.record.ID != "" }

// counted is a quota that each task of a party takes from.
type counted struct {
	key    string
	quotas Quotas
}

// mayUse reports whether the party may name a granted dataset.
func (l lent) mayUse(id string) bool { return has(l.datasets, id) || has(l.datasets, anyData) }

// in finds the project by id or slug; the empty name is the only one there is.
func (p *party) in(name string) (lent, error) {
	if name == "" {
		if len(p.lent) == 1 {
			return p.lent[0], nil
		}
		if len(p.lent) > 1 {
			return lent{}, refuse(CodeNoProject, fault.Invalid, "Name one of your projects, in TES with the tag \"project\".", "You may send work to several projects, and the request names none.")
		}
		return lent{}, noProject()
	}
	for _, l := range p.lent {
		if l.project.ID == name || l.project.Slug == name {
			return l, nil
		}
	}
	return lent{}, noProject()
}

// wireCaller is what a plugin learns of the party.
func (p *party) wireCaller() protocol.Caller {
	c := protocol.Caller{Principal: p.key, Kind: string(p.kind), Name: p.name}
	if len(p.lent) == 1 {
		c.Project = p.lent[0].project.Slug
	}
	return c
}

// party returns what a caller may do now.
func (s *Service) party(ctx context.Context, who Caller) (*party, error) {
	who = Caller{Kind: who.Kind, ID: who.ID}
	now := s.Now()
	got, turn := s.parties.get(who, now)
	if got != nil {
		return got, nil
	}
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		var err error
		got, err = s.meet(tx, who)
		return err
	})
	if err != nil {
		return nil, fault.Wrap("gateway.party", err)
	}
	got.until = now.Add(s.times.party)
	s.parties.keep(who, got, turn)
	return got, nil
}

func (s *Service) meet(tx *store.Tx, who Caller) (*party, error) {
	switch who.Kind {
	case Client, Hub:
		return s.meetPrincipal(tx, who)
	case Human:
		return s.meetPerson(tx, who)
	case Inside:
		return s.meetJob(tx, who)
	}
	return nil, unknown()
}

func (s *Service) meetPrincipal(tx *store.Tx, who Caller) (*party, error) {
	p, err := s.find(tx, who.ID)
	if fault.KindOf(err) == fault.NotFound || err == nil && (p.Kind != who.Kind || p.ID != who.ID) {
		return nil, unknown()
	}
	if err != nil {
		return nil, err
	}
	if p.State == Revoked {
		return nil, &refusal{code: CodeUnknown, err: fault.WithNext(fault.New("gateway.party", fault.Denied, "This access was ended for good."), "Ask the operator of this server.")}
	}
	all, err := pausedAll(tx)
	if err != nil {
		return nil, err
	}
	p.Paused = p.Paused || all
	got := &party{kind: p.Kind, key: p.ID, name: p.Name, via: string(p.Kind) + ":" + p.Slug, record: p, counts: []counted{{p.ID, p.Quotas}}, cores: p.Quotas.Cores}
	for _, u := range p.Projects {
		l, err := s.lentTo(tx, u.Project, u.Sponsor.ID, u.Datasets, got.via)
		if err != nil {
			return nil, err
		}
		got.lent = append(got.lent, l)
	}
	return got, nil
}

// lentTo is a project with the person who answers for work in it.
func (s *Service) lentTo(tx *store.Tx, projectID, person string, datasets []string, via string) (lent, error) {
	pr, err := s.Projects.Lookup(tx, projectID)
	if err != nil {
		return lent{}, err
	}
	a, err := s.ActorOf(tx, person)
	l := lent{project: pr, datasets: datasets}
	if err != nil && fault.KindOf(err) != fault.Denied && fault.KindOf(err) != fault.NotFound {
		return l, err
	}
	a.Via = via
	l.actor = a
	if err != nil || !access.Can(a, access.JobSubmit, access.Thing{Project: pr.ID, Owner: a.ID}) {
		l.standing = nobodyAnswers()
	}
	return l, nil
}

func (s *Service) meetPerson(tx *store.Tx, who Caller) (*party, error) {
	var person, projectID string
	var expires int64
	var ended bool
	err := tx.QueryRow(`SELECT person, project, expires_at, revoked_at IS NOT NULL FROM gateway_token WHERE id = ? AND person IS NOT NULL`, who.ID).
		Scan(&person, &projectID, &expires, &ended)
	if store.NotFound(err) || err == nil && (ended || !tx.Now().Before(store.Time(expires))) {
		return nil, unknown()
	}
	if err != nil {
		return nil, err
	}
	via := "token:" + who.ID
	l, err := s.lentTo(tx, projectID, person, []string{anyData}, via)
	if err != nil {
		return nil, err
	}
	if l.standing != nil { // the account is disabled, or its person has left the project
		return nil, &refusal{code: CodeUnknown, err: fault.WithNext(fault.New("gateway.party", fault.Denied, "The person of this token may not work in its project any more."), "Ask the lead of the project.")}
	}
	return &party{kind: Human, key: personPrefix + person, counts: []counted{{personPrefix + person, s.Person}}, cores: s.Person.Cores, name: l.actor.Name, via: via, bound: projectID, lent: []lent{l}}, nil
}

package gateway

import (
	"context"
	"crypto/subtle"
	"sync"
	"time"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/job"
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

// parties remembers callers for a moment, so that 10,000 reads a minute do not
// ask the same question of the database. Every change here forgets all of them.
type parties struct {
	mu     sync.Mutex
	turn   int
	all    map[Caller]*party
	tokens map[string]known // by hash
}

// known is a token that was found good a moment ago.
type known struct {
	who   Caller
	id    string // of the token
	until time.Time
}

const mostParties = 4096

func newParties() *parties { p := &parties{}; p.clear(); return p }

func (p *parties) clear() {
	p.all, p.tokens = map[Caller]*party{}, map[string]known{}
}

// forget drops everything, and what is being looked up now.
func (p *parties) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turn++
	p.clear()
}

// drop forgets one caller, and what is being looked up now.
func (p *parties) drop(who Caller) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turn++
	delete(p.all, who)
}

func (p *parties) get(who Caller, now time.Time) (*party, int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if got, ok := p.all[who]; ok && now.Before(got.until) {
		return got, p.turn
	}
	return nil, p.turn
}

func (p *parties) keep(who Caller, got *party, turn int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.turn != turn {
		return
	}
	if len(p.all) >= mostParties {
		p.clear()
	}
	p.all[who] = got
}

func (p *parties) token(hash string, now time.Time) (known, int, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k, ok := p.tokens[hash]
	return k, p.turn, ok && now.Before(k.until)
}

func (p *parties) keepToken(hash string, k known, turn int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.turn != turn {
		return
	}
	if len(p.tokens) >= mostParties {
		p.clear()
	}
	p.tokens[hash] = k
}

// authenticate finds whom a bearer token belongs to. Every failure is one and the
// same text, except that an expired token says so to whoever holds it.
func (s *Service) authenticate(ctx context.Context, token string) (Caller, error) {
	hash, ok := tokenHash(token)
	if !ok {
		return Caller{}, unknown()
	}
	now := s.Now()
	k, turn, ok := s.parties.token(hash, now)
	if ok {
		s.touch(tokenTouch+k.id, now)
		return k.who, nil
	}
	var id, kept string
	var principal, person *string
	var expires int64
	var ended bool
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT id, hash, principal, person, expires_at, revoked_at IS NOT NULL FROM gateway_token WHERE hash = ?`, hash).
			Scan(&id, &kept, &principal, &person, &expires, &ended)
	})
	switch {
	case store.NotFound(err):
		return Caller{}, unknown()
	case err != nil:
		return Caller{}, fault.Wrap("gateway.authenticate", err)
	case subtle.ConstantTimeCompare([]byte(hash), []byte(kept)) != 1 || ended:
		return Caller{}, unknown()
	case !now.Before(store.Time(expires)):
		return Caller{}, &refusal{code: CodeUnknown, err: fault.WithNext(fault.New("gateway.authenticate", fault.Denied, "This token has expired."), "Make a new one.")}
	}
	k = known{who: Caller{Kind: Human, ID: id}, id: id, until: now.Add(s.times.party)}
	if principal != nil {
		k.who = Caller{Kind: Client, ID: *principal}
	}
	if end := store.Time(expires); end.Before(k.until) {
		k.until = end
	}
	s.parties.keepToken(hash, k, turn)
	s.touch(tokenTouch+id, now)
	return k.who, nil
}

func unknown() error {
	return &refusal{code: CodeUnknown, err: fault.WithNext(fault.New("gateway.authenticate", fault.Denied, "The request carries no token that is known here."),
		"Send the header \"Authorization: Bearer <token>\" with a token that is good now.")}
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
	got := &party{kind: p.Kind, key: p.ID, name: p.Name, via: string(p.Kind) + ":" + p.Slug, record: p}
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
		l.standing = refuse(CodeNotMember, fault.Denied, "Ask the lead of the project to name a member who answers for it.", "Nobody who may work in this project answers for this request any more.")
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
	return &party{kind: Human, key: "person:" + person, name: l.actor.Name, via: via, bound: projectID, lent: []lent{l}}, nil
}

func (s *Service) meetJob(tx *store.Tx, who Caller) (*party, error) {
	j, err := s.Jobs.Find(tx, who.ID)
	if fault.KindOf(err) == fault.NotFound || err == nil && !j.State.Active() {
		return nil, unknown()
	}
	if err != nil {
		return nil, err
	}
	l, err := s.lentTo(tx, j.Project, j.Submitter.ID, idsOf(dataOf(j)), "inside:"+j.ID)
	if err != nil {
		return nil, err
	}
	if l.standing != nil {
		return nil, l.standing
	}
	return &party{kind: Inside, key: "inside:" + j.ID, name: "a program of job " + j.ID, via: "inside:" + j.ID, bound: j.Project, lent: []lent{l}}, nil
}

// dataOf are all the datasets that a job sees. A program inside may name these and
// no others, so that work of a hub does not reach through it what it was not lent.
func dataOf(j job.Job) []job.Data {
	list := append([]job.Data{}, j.Datasets...)
	for _, p := range j.Places {
		if p.DatasetID != "" {
			list = append(list, job.Data{ID: p.DatasetID, Slug: p.Dataset, Version: p.Version})
		}
	}
	return list
}

func idsOf(data []job.Data) []string {
	ids := []string{}
	for _, d := range data {
		ids = append(ids, d.ID)
	}
	return ids
}

package gateway

import (
	"context"

	"tresor/app/access"
	"tresor/app/fault"
)

var errStarting = fault.New("gateway", fault.Unavailable, "The gateway is starting. Try again in a moment.")

// Principals lists all principals by name. Operators see all, leads those that
// use their projects. Errors: Denied.
func (s *Service) Principals(ctx context.Context, actor access.Actor) ([]Principal, error) {
	return []Principal{}, nil
}

// Principal returns one by id or slug. Errors: Denied, NotFound.
func (s *Service) Principal(ctx context.Context, actor access.Actor, id string) (Principal, error) {
	return Principal{}, errStarting
}

// Create makes a principal without projects. Operators only. Errors: Denied, Invalid, Conflict.
func (s *Service) Create(ctx context.Context, actor access.Actor, d Draft) (Principal, error) {
	return Principal{}, errStarting
}

// Change gives a principal new values. Operators only. Errors: Denied, NotFound, Invalid, Conflict.
func (s *Service) Change(ctx context.Context, actor access.Actor, id string, c Change) (Principal, error) {
	return Principal{}, errStarting
}

// Pause stops or resumes one principal: requests are refused, running work goes on.
func (s *Service) Pause(ctx context.Context, actor access.Actor, id string, on bool) (Principal, error) {
	return Principal{}, errStarting
}

// PauseAll stops or resumes all hubs and outside clients.
func (s *Service) PauseAll(ctx context.Context, actor access.Actor, on bool) error {
	return errStarting
}

// PausedAll reports whether all are stopped.
func (s *Service) PausedAll(ctx context.Context) (bool, error) { return false, nil }

// Revoke ends a principal for good; its tokens stop working at once.
func (s *Service) Revoke(ctx context.Context, actor access.Actor, id, reason string) (Principal, error) {
	return Principal{}, errStarting
}

// AddProject lets a principal send work to a project, in the name of a sponsor who
// is a member. Only a lead of the project does this. datasets are ids or slugs of
// granted datasets, or "*" for all; none means no data. Calling it again changes
// sponsor and datasets.
func (s *Service) AddProject(ctx context.Context, actor access.Actor, id, project, sponsor string, datasets []string) (Principal, error) {
	return Principal{}, errStarting
}

// DropProject takes a project away from a principal: by a lead or an operator.
func (s *Service) DropProject(ctx context.Context, actor access.Actor, id, project string) (Principal, error) {
	return Principal{}, errStarting
}

// NewToken makes the bearer token of a client, in place of the one before. It is
// shown once. Errors: Conflict for hubs, which have keys.
func (s *Service) NewToken(ctx context.Context, actor access.Actor, id string) (string, error) {
	return "", errStarting
}

// Ledger returns lines of a principal's ledger, newest first, older than line
// `before` (0: from the newest), at most limit (0: 100, never over 500). Operators,
// auditors and leads of its projects read it.
func (s *Service) Ledger(ctx context.Context, actor access.Actor, id string, before int64, limit int) ([]Entry, error) {
	return []Entry{}, nil
}

// Tokens lists the actor's own tokens, newest first.
func (s *Service) Tokens(ctx context.Context, actor access.Actor) ([]Token, error) {
	return []Token{}, nil
}

// NewPersonToken makes a token with which programs act as the actor in one
// project, for 1 to MaxTokenDays days. The secret is returned once.
func (s *Service) NewPersonToken(ctx context.Context, actor access.Actor, name, project string, days int) (Token, string, error) {
	return Token{}, "", errStarting
}

// RevokeToken ends a token: one's own, or anybody's as an operator.
func (s *Service) RevokeToken(ctx context.Context, actor access.Actor, id string) error {
	return errStarting
}

// Sources lists the allow-list.
func (s *Service) Sources(ctx context.Context, actor access.Actor) ([]Source, error) {
	return []Source{}, nil
}

// AddSource allows a prefix; of src only Prefix, Kind, Endpoint and Plugin count.
// Operators only.
func (s *Service) AddSource(ctx context.Context, actor access.Actor, src Source) (Source, error) {
	return Source{}, errStarting
}

// DropSource takes a prefix off the list. Operators only.
func (s *Service) DropSource(ctx context.Context, actor access.Actor, id string) error {
	return errStarting
}

// Requests lists jobs of machines that wait for a decision or an image, in projects
// that the actor sees, oldest first. The job itself says the rest.
func (s *Service) Requests(ctx context.Context, actor access.Actor) ([]Pending, error) {
	return []Pending{}, nil
}

// Answered returns the task that an earlier request of a principal with this
// remote id became, through one plugin; "" when there was none.
func (s *Service) Answered(ctx context.Context, principal, plugin, remoteID string) (string, error) {
	return "", nil
}

// Seen notes that a principal was in contact now, to about a minute.
func (s *Service) Seen(ctx context.Context, principal string) {}

// Published writes a ledger line about a catalogue that was shown to a hub.
func (s *Service) Published(ctx context.Context, principal string, body []byte, correlation string) error {
	return nil
}

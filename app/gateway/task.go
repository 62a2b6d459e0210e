package gateway

import (
	"context"
	"strings"
	"time"

	"tresor/app/fault"
	"tresor/app/job"
	"tresor/app/store"
	"tresor/plugins/protocol"
)

// broken is the state of a job that failed without a command to blame.
const broken = "broken"

// task is a row of gateway_task.
type task struct {
	id, principal, plugin, project, name, rawState, tags, sum, wayOut, wayNote string
	kind                                                                       Kind
	created                                                                    time.Time
	ended                                                                      bool
}

const taskColumns = `id, principal, kind, plugin, project, name, state, tags, request_sha256, way_out, way_note, created_at, ended_at IS NOT NULL`

func scanTask(row scanner) (task, error) {
	var t task
	var created int64
	err := row.Scan(&t.id, &t.principal, &t.kind, &t.plugin, &t.project, &t.name, &t.rawState, &t.tags, &t.sum, &t.wayOut, &t.wayNote, &created, &t.ended)
	t.created = store.Time(created)
	return t, err
}

// size is about how many bytes the row takes in an answer.
func (t task) size() int { return len(t.name) + len(t.tags) + 512 }

// state is what the row alone says.
func (t task) state(slug string) protocol.JobState {
	return protocol.JobState{ID: t.id, State: t.rawState, Project: slug, Name: t.name, CreatedAt: t.created}
}

// scope is which tasks a party sees: a machine and a program inside a machine's job
// its own, a person and any other program inside those of the project.
func (p *party) scope() (column, value string) {
	if p.bounded() {
		return "principal", p.key
	}
	return "project", p.bound
}

// blindTo reports whether the party never sees tasks that programs inside made.
// Their names, tags and inputs are words of a program that has read data: they do
// not leave through this door.
func (p *party) blindTo(k Kind) bool { return k == Inside && p.kind != Inside }

// sees reports whether a task is in the party's scope. A machine loses sight of its
// tasks in a project that was taken back.
func (p *party) sees(t task) bool {
	column, value := p.scope()
	if p.blindTo(t.kind) {
		return false
	}
	if column == "project" {
		return t.project == value
	}
	_, lent := p.slug(t.project)
	return t.principal == value && lent
}

func (p *party) slug(project string) (string, bool) {
	for _, l := range p.lent {
		if l.project.ID == project {
			return l.project.Slug, true
		}
	}
	return "", false
}

// mineTx loads a task of the party that came through the plugin; every other one is
// not found.
func (s *Service) mineTx(tx *store.Tx, p *party, plugin, id string) (task, error) {
	t, err := scanTask(tx.QueryRow(`SELECT `+taskColumns+` FROM gateway_task WHERE id = ?`, id))
	if store.NotFound(err) || err == nil && (t.plugin != plugin || !p.sees(t)) {
		return task{}, notFound()
	}
	return t, fault.Wrap("gateway.task", err)
}

func (s *Service) mine(ctx context.Context, p *party, plugin, id string) (t task, err error) {
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		t, err = s.mineTx(tx, p, plugin, id)
		return err
	})
	return t, err
}

// Moved notes a job's new state in the transaction that changes it; job.Deps.Moved.
func (s *Service) Moved(tx *store.Tx, j job.Job) error {
	var ended any
	if j.State.Terminal() {
		ended = store.Millis(tx.Now())
		tx.AfterCommit(func() { s.parties.drop(Caller{Kind: Inside, ID: j.ID}) }) // nobody is inside any more
	}
	if j.Via == "" || j.State == job.Approved { // from approved it goes on to queued in the same transaction
		return nil
	}
	var key string
	err := tx.QueryRow(`UPDATE gateway_task SET state = ?, ended_at = ? WHERE id = ? RETURNING principal`, stateOf(j), ended, j.ID).Scan(&key)
	if store.NotFound(err) {
		return nil
	}
	if err != nil {
		return fault.Wrap("gateway.Moved", err)
	}
	if ended != nil {
		root, owner, err := rootOf(tx, key)
		if err != nil {
			return err
		}
		tx.AfterCommit(s.counts.ended(root, owner))
	}
	if j.State == job.Held {
		tx.AfterCommit(s.nudge)
	}
	if j.State == job.Submitted || j.State == job.Queued || j.State == job.Refused {
		s.announce(tx)
	}
	return nil
}

// nudge makes Run look at held jobs soon.
func (s *Service) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// stateOf tells a task that failed, by a command or by what it left, from a host
// that did: then some task has no exit code although it failed, or none has any. What a
// program that ran can bring about counts as failed: it must not choose between the two.
func stateOf(j job.Job) string {
	if j.State != job.Failed {
		return string(j.State)
	}
	ran, unplaced := false, strings.HasPrefix(j.Reason, job.Unplaced)
	for _, t := range j.Tasks {
		if t.State == job.TaskFailed && t.ExitCode == nil && !(ran && unplaced) {
			return broken
		}
		ran = ran || t.ExitCode != nil
	}
	if !ran {
		return broken
	}
	return string(job.Failed)
}

// Allowed is asked once more before a job starts; job.Deps.Allowed. What was true
// when the task arrived has to be true still: the principal, its project, the
// person who answers and the datasets.
func (s *Service) Allowed(tx *store.Tx, j job.Job) error {
	const op = "gateway.Allowed"
	if j.Via == "" {
		return nil
	}
	t, err := scanTask(tx.QueryRow(`SELECT `+taskColumns+` FROM gateway_task WHERE id = ?`, j.ID))
	if store.NotFound(err) {
		return nil // in a person's own name: app/job looks at the person
	}
	if err != nil {
		return fault.Wrap(op, err)
	}
	machine, err := machineOf(tx, j.ID)
	if err != nil || machine == "" {
		return err
	}
	return lentStill(tx, machine, t.project, j)
}

// Held says that a queued job waits because its principal, or all of them, are paused;
// job.Deps.Held. One that was revoked holds nothing: Allowed refuses its jobs.
func (s *Service) Held(tx *store.Tx, j job.Job) (holder, why string, err error) {
	const op = "gateway.Held"
	machine, err := machineOf(tx, j.ID)
	if err != nil || machine == "" {
		return "", "", err
	}
	var kind Kind
	var on, active bool
	err = tx.QueryRow(`SELECT kind, paused, state = 'active' FROM gateway_principal WHERE id = ?`, machine).Scan(&kind, &on, &active)
	if store.NotFound(err) || err == nil && !active {
		return "", "", nil
	}
	if err != nil {
		return "", "", fault.Wrap(op, err)
	}
	if on {
		return machine, "Waits: the operator of this server has paused this " + string(kind) + ".", nil
	}
	if on, err = pausedAll(tx); err != nil || !on {
		return "", "", fault.Wrap(op, err)
	}
	return "all", "Waits: the operator of this server has paused all hubs and clients.", nil
}

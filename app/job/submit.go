package job

import (
	"context"
	"slices"
	"strconv"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/dataset"
	"tresor/app/fault"
	"tresor/app/image"
	"tresor/app/project"
	"tresor/app/store"
)

// maxWaiting is how many jobs of one project may wait.
const maxWaiting = 20_000

// Submit takes a job. With an idempotency key, submitting the same again returns
// the job that is there already. Errors: Invalid with what is wrong and what to
// write instead, Denied or NotFound by access, Conflict for a closed project or a
// reused key, Exhausted when too many jobs wait.
//
// When nobody waits and the host has room, the job's first attempt is recorded in
// the same transaction and it starts at once: one commit less before the container.
func (s *Service) Submit(ctx context.Context, actor access.Actor, sub Submission) (Job, error) {
	const op = "job.Submit"
	sub, err := sub.normalise()
	if err != nil {
		return Job{}, err
	}
	if sub.Limits == nil {
		sub.Limits = &Limits{}
	}
	limits := sub.Limits.over(s.Defaults)
	if err := limits.check(s.Max, s.Budget); err != nil {
		return Job{}, err
	}
	var j Job
	var started *run
	var fresh bool
	err = s.update(ctx, func(tx *store.Tx) error {
		if j, fresh, err = s.admit(tx, actor, sub, limits); err != nil || !fresh {
			return err
		}
		started, err = s.letIn(tx, &j)
		return err
	})
	if err != nil {
		if started != nil && !started.spawned {
			s.forget(started)
		}
		s.doubt(err)
		return Job{}, fault.Wrap(op, err)
	}
	if !fresh {
		return s.Get(ctx, actor, j.ID)
	}
	return s.shown(ctx, actor, j), nil
}

// admit writes the submission, or finds the job that it has become before.
func (s *Service) admit(tx *store.Tx, actor access.Actor, sub Submission, limits Limits) (Job, bool, error) {
	p, err := s.Projects.Head(tx, sub.Project)
	if err != nil {
		return Job{}, false, err
	}
	if err := access.May(actor, access.JobSubmit, access.Thing{Project: p.ID, Owner: actor.ID}); err != nil {
		return Job{}, false, err
	}
	if j, err := s.repeated(tx, p.ID, sub); err != nil || j.ID != "" {
		return j, false, err
	}
	if err := s.Projects.Open(tx, p.ID); err != nil {
		return Job{}, false, err
	}
	if err := s.knowsTrees(sub); err != nil {
		return Job{}, false, err
	}
	if err := nests(tx, sub.Via); err != nil {
		return Job{}, false, err
	}
	j := Job{Via: sub.Via, OnBehalf: sub.OnBehalf, Volumes: sub.Volumes, EveryJob: sub.EveryJob, Inside: sub.Inside || sub.Via == "" && len(sub.SQL) == 0, ID: s.IDs(), Project: p.ID, ProjectName: p.Name, Name: sub.Name, Purpose: sub.Purpose, State: Submitted, CreatedAt: tx.Now(),
		Submitter: Person{actor.ID, actor.Handle, actor.Name}, Queries: sub.SQL, Declared: sub.Outputs, Limits: limits, requestHash: sub.hash()}
	if j.Queries == nil {
		j.Queries = []Query{}
	}
	if err := s.resolve(tx, &j, p, sub); err != nil {
		return Job{}, false, err
	}
	if err := s.checkRoom(p.ID); err != nil {
		return Job{}, false, err
	}
	return j, true, s.record(tx, &j, actor, p, sub)
}

// record inserts the job and decides whether it may run without a person's word.
func (s *Service) record(tx *store.Tx, j *Job, actor access.Actor, p project.Project, sub Submission) error {
	if err := insert(tx, j, sub.IdempotencyKey); err != nil {
		return err
	}
	e := audit.By(actor, "job.submitted", Subject(j.ID), p.ID, "request_sha256", j.requestHash, "tasks", strconv.Itoa(len(j.Tasks)))
	if j.Via != "" {
		e.Detail["door"] = j.Via
	}
	if _, err := s.Log.Append(tx, e); err != nil {
		return fault.Wrap("job.Submit", err)
	}
	s.publish(tx, *j)
	if sub.Also != nil {
		if err := sub.Also(tx, *j); err != nil {
			return err
		}
	}
	if j.WaitingImage != "" || p.Approval == project.EveryJob || sub.EveryJob {
		return nil
	}
	return s.pass(tx, j, step{to: Approved, by: access.System, detail: []string{"mode", string(p.Approval)}})
}

// pass approves a job and queues it.
func (s *Service) pass(tx *store.Tx, j *Job, approval step) error {
	if err := s.move(tx, j, approval); err != nil {
		return err
	}
	return s.move(tx, j, step{to: Queued, by: access.System})
}

// letIn starts a queued job at once when nobody waits, or lines it up.
func (s *Service) letIn(tx *store.Tx, j *Job) (*run, error) {
	if j.State != Queued {
		return nil, nil
	}
	if j.Via != "" { // the gateway remembers for a moment who may do what; here it is asked afresh
		if err := s.check(tx, j); err != nil {
			return nil, err
		}
	}
	e := j.entry()
	holder, _, err := s.held(tx, *j)
	if err != nil {
		return nil, err
	}
	if holder != "" || !s.sched.reserve(e) {
		tx.AfterCommit(func() { s.sched.add(e) })
		return nil, nil
	}
	r := s.newRun(j.ID)
	if r == nil { // Run has just ended: the next one finds the job in the queue
		s.sched.release(j.ID)
		return nil, nil
	}
	if err := s.begin(tx, j); err != nil {
		return r, err
	}
	r.job, r.claimed = *j, true
	tx.AfterCommit(func() { s.spawn(r) })
	return r, nil
}

func (j Job) entry() entry {
	e := entry{id: j.ID, project: j.Project, parent: parentOf(j.Via), cores: j.Limits.Cores, memory: j.Limits.Memory}
	if j.QueuedAt != nil {
		e.since = *j.QueuedAt
	}
	return e
}

// repeated finds the job of an earlier submission with the same key.
func (s *Service) repeated(tx *store.Tx, project string, sub Submission) (Job, error) {
	if sub.IdempotencyKey == "" {
		return Job{}, nil
	}
	var id, hash string
	err := tx.QueryRow(`SELECT id, request_hash FROM job WHERE project = ? AND request_key = ?`, project, sub.IdempotencyKey).Scan(&id, &hash)
	switch {
	case store.NotFound(err):
		return Job{}, nil
	case err != nil:
		return Job{}, fault.Wrap("job.Submit", err)
	case hash != sub.hash():
		return Job{}, fault.New("job.Submit", fault.Conflict, "The idempotency key was used for another submission in this project. Use a new key for a new job.")
	}
	return load(tx, id)
}

func (s *Service) checkRoom(project string) error {
	if s.sched.waiting(project) < maxWaiting {
		return nil
	}
	return fault.New("job.Submit", fault.Exhausted, "%d jobs of this project wait already. Wait until some have run, or cancel some.", maxWaiting)
}

// resolve finds images and datasets and refuses what the project may not use.
func (s *Service) resolve(tx *store.Tx, j *Job, p project.Project, sub Submission) error {
	waiting := ""
	for n, t := range sub.Tasks {
		img, waits, err := s.imageFor(tx, t.Image)
		if err != nil && !(waits && sub.WaitForImage) {
			return err
		}
		if waits {
			orElse(&waiting, t.Image)
			img.Ref = t.Image
		}
		j.Tasks = append(j.Tasks, newTask(n, t, img))
	}
	j.setWaiting(waiting)
	j.content = map[string][]byte{}
	j.Inputs = []InputInfo{}
	for _, in := range sub.Inputs {
		j.content[in.Name] = []byte(in.Content)
		j.Inputs = append(j.Inputs, InputInfo{Name: in.Name, Size: int64(len(in.Content))})
	}
	for _, w := range sub.Wants {
		j.Wants = append(j.Wants, w.info())
	}
	j.Datasets = []Data{}
	if !sub.wantsData() {
		return s.pinPlaces(tx, j, p, nil, sub)
	}
	grants, err := s.Projects.Grants(tx, p.ID)
	if err != nil {
		return err
	}
	if err := s.pinPlaces(tx, j, p, grants, sub); err != nil {
		return err
	}
	if sub.Via != "" && len(sub.Datasets) == 0 {
		return nil // what came through the gateway never sees "all that is granted"
	}
	if err := s.chooseData(tx, j, p, grants, sub.Datasets); err != nil {
		return err
	}
	return clear(j)
}

// wantsData reports whether the job sees datasets: what came through the gateway
// sees only what it names.
func (sub Submission) wantsData() bool {
	if sub.Via == "" || len(sub.Datasets) > 0 {
		return true
	}
	return slices.ContainsFunc(sub.Places, func(p Place) bool { return p.Dataset != "" })
}

// clear refuses paths in the folders of datasets that the job sees as a whole.
func clear(j *Job) error {
	for _, d := range j.Datasets {
		at := "/data/" + d.Slug
		for _, v := range j.Volumes {
			if within(v, at) {
				return invalid("The folder %q belongs to the dataset %s. Use another folder.", clip(v), d.Slug)
			}
		}
		for _, p := range j.Places {
			if !p.Copied && (within(p.Path, at) || within(at, p.Path)) {
				return invalid("The input %q would lie in or around the folder of the dataset %s. Use another path.", clip(p.Path), d.Slug)
			}
		}
	}
	return nil
}

// knowsTrees refuses what needs a project's tree where there is none.
func (s *Service) knowsTrees(sub Submission) error {
	for _, w := range sub.Wants {
		if w.Tree != "" && (s.Tree == nil || s.Vault == nil) {
			return fault.New("job.Submit", fault.Unavailable, "This server keeps no files for projects, so the output %q cannot stay inside.", clip(w.Path))
		}
	}
	return nil
}

func newTask(n int, t Task, img image.Image) TaskRun {
	env := t.Env
	if env == nil {
		env = []string{}
	}
	return TaskRun{N: n, Image: img.Digest, imageID: img.ID, ImageRef: img.Ref, Argv: t.Argv, Env: env, Workdir: t.Workdir, State: TaskWaiting,
		Stdin: t.Stdin, Stdout: t.Stdout, Stderr: t.Stderr, IgnoreError: t.IgnoreError}
}

// chooseData pins the version of every dataset that the job will see.
func (s *Service) chooseData(tx *store.Tx, j *Job, p project.Project, all []project.Grant, wanted []string) error {
	grants, err := granted(p, all, wanted)
	if err != nil {
		return err
	}
	for _, g := range grants {
		mounts, err := s.Datasets.MountFor(tx, p.ID, g.DatasetID, 0)
		if err != nil {
			if len(wanted) == 0 && fault.KindOf(err) == fault.Conflict {
				continue // granted, but nothing has been ingested yet
			}
			return err
		}
		j.Datasets = append(j.Datasets, pinned(g, mounts)...)
	}
	return nil
}

func pinned(g project.Grant, mounts []dataset.Mount) []Data {
	if len(mounts) == 0 {
		return nil
	}
	m := mounts[0]
	return []Data{{ID: g.DatasetID, Slug: m.Slug, Version: m.Version, SHA256: m.SHA256}}
}

// granted picks the wanted grants, by id or slug; all of them when none is named.
func granted(p project.Project, all []project.Grant, wanted []string) ([]project.Grant, error) {
	if len(wanted) == 0 {
		return all, nil
	}
	var list []project.Grant
	seen := map[string]bool{}
	for _, w := range wanted {
		g, ok := pick(all, w)
		if !ok {
			return nil, invalid("The dataset %q is not granted to the project %s. Ask a data steward for it, or choose one that is granted.", clip(w), p.Name)
		}
		if !seen[g.DatasetID] {
			seen[g.DatasetID] = true
			list = append(list, g)
		}
	}
	return list, nil
}

func pick(grants []project.Grant, name string) (project.Grant, bool) {
	for _, g := range grants {
		if g.DatasetID == name || g.Slug == name && name != "" {
			return g, true
		}
	}
	return project.Grant{}, false
}

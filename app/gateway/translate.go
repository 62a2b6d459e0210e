package gateway

import (
	"context"
	"math"
	"strings"
	"time"

	"tresor/app/fault"
	"tresor/app/job"
	"tresor/app/project"
	"tresor/plugins/protocol"
)

// sound is the second lock on datasets: the job sees none that was not lent.
func (l lent) sound(j job.Job) error {
	for _, d := range dataOf(j) {
		if !l.mayUse(d.ID) {
			return fault.New("gateway.sound", fault.Internal, "The task would have seen more than it may, so it was not taken. Tell the operator of this server.")
		}
	}
	return nil
}

// check refuses what no project could accept.
func (o *order) check() error {
	r := o.r
	switch {
	case len(o.remote) > maxRemote || line(o.remote, maxRemote) != o.remote:
		return malformed("The request's id is longer than %d bytes or holds control characters.", maxRemote)
	case len(r.Name) > maxLabel:
		return malformed("The name is longer than %d bytes.", maxLabel)
	case len(r.Document) > protocol.MaxDocument:
		return refuse(CodeTooLarge, fault.Invalid, "Put long texts into inputs.", "The task is larger than %d KiB.", protocol.MaxDocument>>10)
	case len(r.Tags) > maxTags:
		return malformed("The task has more than %d tags.", maxTags)
	case len(r.Tasks) == 0:
		return malformed("The task has nothing to run.")
	}
	for k, v := range r.Tags {
		if k == "" || len(k) > maxKey || len(v) > maxValue {
			return malformed("A tag has no name, a name longer than %d bytes or a value longer than %d bytes.", maxKey, maxValue)
		}
	}
	notes := 0
	for _, n := range r.Notes {
		notes += len(n)
	}
	if notes > maxNotes {
		return malformed("The notes are longer than %d KiB.", maxNotes>>10)
	}
	if q := o.p.cores; q > 0 && r.Resources.Cores > q {
		return refuse(CodeQuota, fault.Denied, "Ask for fewer processors.", "A task of yours may use %d processors, and this one asks for %d.", q, r.Resources.Cores)
	}
	return nil
}

// ready refuses a project that takes no work, or for which nobody answers.
func (l lent) ready(now time.Time) error {
	switch p := l.project; {
	case l.standing != nil:
		return l.standing
	case p.State != project.Active:
		return refuse(CodeClosed, fault.Denied, "Ask the lead of the project.", "The project %s is closed and takes no new work.", p.Slug)
	case p.EndsAt != nil && !p.EndsAt.After(now):
		return refuse(CodeExpired, fault.Denied, "Ask the lead of the project.", "The project %s has ended and takes no new work.", p.Slug)
	}
	return nil
}

// submission translates the request for app/job.
func (s *Service) submission(ctx context.Context, o *order) (job.Submission, error) {
	r := o.r
	sub := job.Submission{Project: o.l.project.ID, Name: o.title(), Purpose: paragraph(r.Description, 4000), Volumes: r.Volumes, Limits: o.limits(s.Limits),
		Via: o.p.via, OnBehalf: line(o.who.OnBehalf, 100), WaitForImage: true, EveryJob: o.p.record.Approval == ApprovalEvery, Inside: true}
	for _, t := range r.Tasks {
		sub.Tasks = append(sub.Tasks, job.Task{Image: t.Image, Argv: t.Argv, Env: t.Env, Workdir: t.Workdir, Stdin: t.Stdin, Stdout: t.Stdout, Stderr: t.Stderr, IgnoreError: t.IgnoreError})
	}
	for _, out := range r.Outputs {
		w, err := want(out)
		if err != nil {
			return sub, err
		}
		sub.Wants = append(sub.Wants, w)
	}
	places, err := s.places(ctx, o)
	sub.Places, sub.Sees = places, o.sees()
	return sub, err
}

func (o *order) title() string {
	if n := line(o.r.Name, 120); n != "" {
		return n
	}
	return line("Task of "+o.p.name, 120)
}

// limits maps the resources; what is not asked for is the appliance's default,
// and never more than the principal's quota. The disk bounds each file and all
// outputs together; what a task writes besides has no bound of its own.
func (o *order) limits(def job.Limits) *job.Limits {
	q := o.r.Resources
	l := job.Limits{Cores: float64(q.Cores), Memory: bytesOf(q.RAM), FileSize: bytesOf(q.Disk), WallSeconds: (q.WallMS + 999) / 1000}
	if def.OutputBytes == 0 || l.FileSize < def.OutputBytes {
		l.OutputBytes = l.FileSize
	}
	if most := float64(o.p.cores); most > 0 && l.Cores == 0 && def.Cores > most {
		l.Cores = most
	}
	return &l
}

// bytesOf reads GB (1e9 bytes).
func bytesOf(gb float64) int64 {
	if !(gb > 0) || math.IsInf(gb, 0) {
		return 0
	}
	return int64(min(gb*1e9, float64(1<<60)))
}

const projectTree = "file:///project/"

// want is one output: below file:///project/ it stays inside, everything else waits
// for a release, and its target is no more than a word that is given back.
func want(out protocol.Output) (job.Want, error) {
	w := job.Want{Path: out.Path, Prefix: out.Prefix, Directory: out.Directory, Target: out.Target}
	rest, inside := strings.CutPrefix(out.Target, projectTree)
	if !inside {
		return w, nil
	}
	if w.Tree = strings.TrimSuffix(rest, "/"); w.Tree == "" {
		return w, malformed("The output %s names all of the project's files. Name one, or a folder.", quoted(out.Path))
	}
	return w, nil
}

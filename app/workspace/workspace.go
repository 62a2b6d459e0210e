// Package workspace is the window through which a member of a project sees live
// bytes of it: a job's log, a page of an output that is still inside.
//
// Every opening is audited once and counted; what one look and what one person in
// an hour can see is capped, so that the window cannot become a way out. Nobody
// but members gets through, operators never. It owns the table opening and keeps
// no bytes. A crash forgets at most 64 KiB of counting per opening.
package workspace

import (
	"context"
	"io"
	"sync"
	"time"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/job"
	"tresor/app/output"
	"tresor/app/store"
)

// Kind is what somebody looks at.
type Kind string

// The kinds of look.
const (
	JobLog        Kind = "job-log"
	OutputPreview Kind = "output-preview"
)

// Target names what to open: a job's log or an output, from byte From on.
type Target struct {
	Kind Kind
	ID   string
	From int64
}

// Limits bound what can be seen; zero means the default.
type Limits struct {
	Log     int64 // bytes of log in one stream; default 16 MiB
	Preview int64 // bytes of an output in one stream; default 2 MiB
	Hour    int64 // bytes that one person sees in an hour; default 64 MiB
}

func (l Limits) complete() Limits {
	for v, d := range map[*int64]int64{&l.Log: 16 << 20, &l.Preview: 2 << 20, &l.Hour: 64 << 20} {
		if *v == 0 {
			*v = d
		}
	}
	return l
}

// Logs gives the stored log of a job; *job.Service.
type Logs interface {
	LogContent(ctx context.Context, job string, from int64) (io.ReadCloser, int64, error)
}

// Contents gives the bytes of an output; *output.Service.
type Contents interface {
	Content(o output.Output) (io.ReadSeekCloser, error)
}

// Deps are what a Service works with; all are needed but Limits.
type Deps struct {
	DB       *store.DB
	Log      *audit.Log
	Jobs     *job.Service
	Outputs  *output.Service
	Logs     Logs     // nil: Jobs
	Contents Contents // nil: Outputs
	IDs      func() string
	Now      func() time.Time
	Limits   Limits
}

// Service opens the window. Its methods may be used from any goroutine.
type Service struct {
	Deps
	mu       sync.Mutex
	meters   map[string]*meter       // by person; guarded by mu
	openings map[openingKey]*opening // guarded by mu
}

// New returns a Service.
func New(d Deps) *Service {
	d.Limits = d.Limits.complete()
	if d.Logs == nil {
		d.Logs = d.Jobs
	}
	if d.Contents == nil {
		d.Contents = d.Outputs
	}
	return &Service{Deps: d, meters: map[string]*meter{}, openings: map[openingKey]*opening{}}
}

// found is what a target turned out to be.
type found struct {
	thing  access.Thing
	action access.Action
	output output.Output
}

// find looks a target up and asks whether the actor may see it.
func (s *Service) find(ctx context.Context, actor access.Actor, t Target) (found, error) {
	var f found
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		var err error
		switch t.Kind {
		case JobLog:
			f, err = s.findLog(tx, t.ID)
		case OutputPreview:
			f, err = s.findOutput(tx, t.ID)
		default:
			err = fault.New("workspace.find", fault.Invalid, "%q is nothing that can be looked at. Choose job-log or output-preview.", string(t.Kind))
		}
		if err != nil {
			return err
		}
		return s.may(tx, actor, f)
	})
	return f, err
}

func (s *Service) findLog(tx *store.Tx, id string) (found, error) {
	j, err := s.Jobs.Find(tx, id)
	return found{thing: j.Thing(), action: access.JobLog}, err
}

func (s *Service) findOutput(tx *store.Tx, id string) (found, error) {
	o, err := s.Outputs.Get(tx, id)
	return found{thing: access.Thing{Project: o.Project}, action: access.OutputPreview, output: o}, err
}

// may asks the matrix, which lets the appliance itself do everything: but the
// window is for people only.
func (s *Service) may(_ *store.Tx, actor access.Actor, f found) error {
	if actor.ID == "" || actor.In(f.thing.Project) == "" {
		if err := access.May(access.Actor{ID: actor.ID, Roles: actor.Roles, Projects: actor.Projects}, f.action, f.thing); err != nil {
			return err
		}
		return fault.New("workspace.may", fault.Denied, "Only members of the project look at what is still inside.")
	}
	return access.May(actor, f.action, f.thing)
}

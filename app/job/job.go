// Package job runs submitted work: an ordered list of tasks, one container each,
// over shared scratch volumes, stopping at the first failure that a task may not
// ignore. What it leaves is held for a release or stays in the project's tree.
//
// It owns the tables job, job_task, job_input and job_kept, the queue and the
// folders <jobs>/<id>. Every change of state names its actor and leaves its audit event in
// the same transaction. The attempt of a task is written before its container is
// made, the container's name follows from it, and a container is removed only
// after the job's end is durable: so after a crash Run finds every container
// again, and none runs twice for one attempt. The package never gives bytes to a
// door; what a program writes reaches people through workspace and airlock, and
// other programs inside through TaskOutput.
package job

import (
	"context"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/dataset"
	"tresor/app/image"
	"tresor/app/live"
	"tresor/app/output"
	"tresor/app/project"
	"tresor/app/store"
	"tresor/app/tree"
	"tresor/app/vault"
	"tresor/sandbox"
)

// Person is who submitted a job.
type Person struct {
	ID     string `json:"id"`
	Handle string `json:"handle"`
	Name   string `json:"name"`
}

// Job is one unit of work with everything a person may know of it. A time that is
// nil has not come.
type Job struct {
	ID             string            `json:"id"`
	Project        string            `json:"project"` // id
	ProjectName    string            `json:"project_name"`
	Name           string            `json:"name"`
	Purpose        string            `json:"purpose"`
	State          State             `json:"state"`
	Reason         string            `json:"reason"` // why it stands there, when that is not plain
	Next           string            `json:"next"`   // the one next step for whoever reads it
	Submitter      Person            `json:"submitter"`
	CreatedAt      time.Time         `json:"created_at"`
	QueuedAt       *time.Time        `json:"queued_at"`
	StartedAt      *time.Time        `json:"started_at"`
	FinishedAt     *time.Time        `json:"finished_at"`
	HeldAt         *time.Time        `json:"held_at"`
	Tasks          []TaskRun         `json:"tasks"`
	Queries        []Query           `json:"queries"`
	Inputs         []InputInfo       `json:"inputs"`
	Datasets       []Data            `json:"datasets"`
	Declared       []string          `json:"declared"` // outputs as declared: paths and globs
	Limits         Limits            `json:"limits"`
	Unlimited      bool              `json:"unlimited"`  // the host could not bind the limits
	Cancelling     bool              `json:"cancelling"` // a stop was asked for and is under way
	Progress       Progress          `json:"progress"`
	Queue          *Queue            `json:"queue,omitempty"`
	Timeline       []Step            `json:"timeline"`
	Outputs        []output.Output   `json:"outputs"`
	Refused        []sandbox.Refusal `json:"refused"` // outputs that exist and may not be taken
	AirlockRequest string            `json:"airlock_request"`

	Via          string      `json:"via"`           // by which door it came; empty: web or command line
	OnBehalf     string      `json:"on_behalf"`     // who asked there, as they say
	Places       []PlaceInfo `json:"places"`        // inputs at paths of their own
	Wants        []WantInfo  `json:"wants"`         // outputs from paths of their own
	Volumes      []string    `json:"volumes"`       // folders that all its tasks share
	WaitingImage string      `json:"waiting_image"` // name or digest of the image that it waits for
	EveryJob     bool        `json:"every_job"`     // needs a decision whatever the project's mode is
	Inside       bool        `json:"inside"`        // its programs are offered the task service

	task         int // the one that runs or ran last
	hostFaults   int
	requestHash  string
	storedNext   string // what the end of the job left for people to do
	cancelBy     access.Actor
	cancelReason string
	content      map[string][]byte // inline inputs, when they are at hand
}

// Task states.
const (
	TaskWaiting   = "waiting"
	TaskPreparing = "preparing"
	TaskRunning   = "running"
	TaskSucceeded = "succeeded"
	TaskFailed    = "failed"
	TaskCancelled = "cancelled"
	TaskSkipped   = "skipped" // an earlier task failed
)

// TaskRun is one task and what became of it.
type TaskRun struct {
	N          int        `json:"n"`     // its place in the order, from 0
	Image      string     `json:"image"` // digest
	ImageRef   string     `json:"image_ref"`
	Argv       []string   `json:"argv"`
	Env        []string   `json:"env"`
	Workdir    string     `json:"workdir"`
	State      string     `json:"state"`
	ExitCode   *int       `json:"exit_code"`
	Attempt    int        `json:"attempt"` // containers that were made for it; more than 1 after the host failed
	StartedAt  *time.Time `json:"started_at"`
	FinishedAt *time.Time `json:"finished_at"`

	Stdin       string `json:"stdin"` // path of a file, as the two that follow; empty: none
	Stdout      string `json:"stdout"`
	Stderr      string `json:"stderr"`
	IgnoreError bool   `json:"ignore_error"`

	imageID string
}

// PlaceInfo describes an input at a path of its own, without its content.
type PlaceInfo struct {
	Path          string      `json:"path"`
	Directory     bool        `json:"directory"`
	From          string      `json:"from"`    // content, dataset, tree or fetched
	Dataset       string      `json:"dataset"` // slug
	DatasetID     string      `json:"dataset_id"`
	Version       int         `json:"version"`
	VersionSHA256 string      `json:"version_sha256"` // of the dataset's version
	File          string      `json:"file"`           // of the dataset
	Tree          string      `json:"tree"`
	Origin        string      `json:"origin"`
	SHA256        string      `json:"sha256"`          // of a folder of a dataset: of the version
	Copied        bool        `json:"copied"`          // tasks may change it; otherwise it is shown read-only
	Size          int64       `json:"size"`            // bytes; of a folder: of all its files
	Files         []PlaceFile `json:"files,omitempty"` // of a folder of the project's tree
	Executable    bool        `json:"executable,omitempty"`
}

// PlaceFile is one file of a folder that is an input.
type PlaceFile struct {
	Path   string `json:"path"` // below the folder
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"` // bytes

	Executable bool `json:"executable,omitempty"`
}

// WantInfo is a Want as it is kept; the fields mean the same.
type WantInfo struct {
	Path      string `json:"path"`
	Prefix    string `json:"prefix"`
	Directory bool   `json:"directory"`
	Target    string `json:"target"`
	Tree      string `json:"tree"`
}

// Found is one file that a Want became.
type Found struct {
	Path   string // in the container
	Target string // the Want's Target, and the rest of the path for folders and wildcards
	Size   int64  // bytes
	SHA256 string
	Tree   bool         // it is in the project's tree
	Output string       // id of the held output; empty for one in the tree
	State  output.State // of a held output; empty for one in the tree
}

// InputInfo describes an inline input without its content; its size is in bytes.
type InputInfo struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
}

// Data is a dataset version that the job sees.
type Data struct {
	ID      string `json:"id"`
	Slug    string `json:"slug"`
	Version int    `json:"version"`
	SHA256  string `json:"sha256"`
}

// Progress is how far a job has come: Done of Total tasks.
type Progress struct {
	Phase string `json:"phase"`
	Done  int64  `json:"done"`
	Total int64  `json:"total"`
}

// Queue is a job's place among all that wait; 1 is next.
type Queue struct {
	Position int `json:"position"`
}

// Datasets answers where the granted versions lie; *dataset.Service.
type Datasets interface {
	MountFor(tx *store.Tx, project, dataset string, version int) ([]dataset.Mount, error)
	Lookup(tx *store.Tx, idOrSlug string) (dataset.Dataset, error)
}

// Images answers which image a name means and refuses what is not approved; *image.Service.
type Images interface {
	Resolve(tx *store.Tx, refOrDigest string) (image.Image, error)
}

// Deps are what a Service works with. All are needed but Logger and Budget.
type Deps struct {
	DB       *store.DB
	Log      *audit.Log
	Live     *live.Hub
	Runner   sandbox.Runner
	Projects *project.Service
	Datasets Datasets
	Images   Images
	Outputs  *output.Service
	Dir      string // <data>/jobs
	IDs      func() string
	Now      func() time.Time
	Defaults Limits // of a submission that names none; zero fields: the sandbox's defaults
	Max      Limits // the most a submission may ask for; zero fields: no bound but the budget
	Budget   Budget
	Logger   *slog.Logger

	Tree  *tree.Service // the projects' trees; nil: no input and no output may name one
	Vault *vault.Vault  // where fetched inputs and files of trees are; nil: as for Tree
	// MayReplace is asked before a job's file takes the place of one that is in the
	// project's tree; its error, of kind Conflict, ends the job; may be nil.
	MayReplace func(tx *store.Tx, j Job, f tree.File) error
	Allowed    func(tx *store.Tx, j Job) error // asked once more before a job starts; its error is the reason of the refusal; may be nil
	// TakeBack withdraws the airlock request of a held job that is cancelled, in the same
	// transaction; Conflict when it is approved or over. May be nil: then such a job is not cancelled.
	TakeBack func(tx *store.Tx, request string, by access.Actor) error
	// Held says who keeps a queued job that came through a door from starting now, and
	// why, in a sentence for people; empty: nobody. The job waits until a Recheck, in
	// nobody's way. It is asked before Allowed; may be nil.
	Held  func(tx *store.Tx, j Job) (holder, why string, err error)
	Moved func(tx *store.Tx, j Job) error // called in the transaction of every change of state; its error undoes it; may be nil
}

// Service keeps, queues and runs jobs. Its methods may be used from any goroutine.
type Service struct {
	Deps
	update  func(context.Context, func(*store.Tx) error) error // DB.Update; tests break it
	again   chan struct{}                                      // holds one value when database and engine should be compared soon
	decided chan struct{}                                      // holds one value when an image was decided about
	recheck chan struct{}                                      // holds one value when jobs that wait should be looked at
	brooms  chan struct{}                                      // bounds how many old jobs are cleaned up at once
	sched   *scheduler
	sweep   *sweeper
	times   times

	mu   sync.Mutex
	live map[string]*run // jobs that a goroutine of Run works on; guarded by mu
	loop *loop           // the running Run, nil outside; guarded by mu
}

// times are the pauses of the package; tests shorten them.
type times struct {
	pauses    []time.Duration // before each new try when the host broke; the last repeats
	markAfter time.Duration   // a state younger than this is folded into the next commit
	reconcile time.Duration   // between two comparisons with the engine
	grace     time.Duration   // between TERM and KILL
	sweep     time.Duration   // between two commits of "cleaned"
	slack     time.Duration   // after the wall limit, before we stop the container ourselves
	giveUp    time.Duration   // for which the engine may answer, but not about one job's container
	keepOn    time.Duration   // for which it may not hand over the outputs of a command that has ended
}

// New returns a Service; nothing runs before Run.
func New(d Deps) *Service {
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	d.Defaults = d.Defaults.complete()
	if abs, err := filepath.Abs(d.Dir); err == nil {
		d.Dir = abs
	}
	s := &Service{Deps: d, update: d.DB.Update, again: make(chan struct{}, 1), decided: make(chan struct{}, 1), recheck: make(chan struct{}, 1), brooms: make(chan struct{}, 4), sched: newScheduler(d.Budget), live: map[string]*run{}}
	s.times = times{
		pauses:    []time.Duration{200 * time.Millisecond, 2 * time.Second, 10 * time.Second},
		markAfter: 100 * time.Millisecond,
		reconcile: 30 * time.Second,
		grace:     10 * time.Second,
		sweep:     time.Second,
		slack:     5 * time.Second,
		giveUp:    10 * time.Minute,
		keepOn:    time.Hour,
	}
	s.sweep = &sweeper{s: s}
	s.hearImages()
	return s
}

// Subject is how the audit log names a job.
func Subject(id string) string { return "job:" + id }

func (j Job) thing() access.Thing {
	return access.Thing{Project: j.Project, Owner: j.Submitter.ID}
}

func mustJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil { // only our own plain structs come here
		panic(err)
	}
	return string(b)
}

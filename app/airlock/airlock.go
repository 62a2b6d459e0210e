// Package airlock is the way out: a request to move files of a held job outside,
// the automatic checks of those files, and the reviews by independent people.
//
// It owns the airlock tables and says which bytes may leave; it never lets any
// leave itself: View shows them to the people concerned, page by page, and
// release opens what was approved. From the moment of submission a request
// holds its own list of hashed files, pinned in the vault, and every vote names
// the hashes it saw. Every change names its actor and stands in one transaction
// with its audit event. A crash leaves at most bytes in the vault that no row
// names.
package airlock

import (
	"io"
	"time"

	"tresor/app/access"
	"tresor/app/airlock/check"
	"tresor/app/audit"
	"tresor/app/job"
	"tresor/app/live"
	"tresor/app/output"
	"tresor/app/project"
	"tresor/app/store"
	"tresor/app/vault"
)

// Person is somebody named in a request.
type Person struct {
	ID     string `json:"id"`
	Handle string `json:"handle"`
	Name   string `json:"name"`
}

// Request asks for files of one job to leave.
type Request struct {
	ID            string          `json:"id"`
	Project       string          `json:"project"` // id
	ProjectName   string          `json:"project_name"`
	Job           string          `json:"job"`
	JobName       string          `json:"job_name"`
	Title         string          `json:"title"`
	Direction     string          `json:"direction"` // egress
	State         State           `json:"state"`
	Round         int             `json:"round"`      // how often it was submitted
	Context       string          `json:"context"`    // what it shows and why it is safe
	Population    string          `json:"population"` // who is counted
	Controls      string          `json:"controls"`   // disclosure controls applied
	Exception     string          `json:"exception"`  // why it should leave despite findings that block
	Requester     Person          `json:"requester"`
	CreatedAt     time.Time       `json:"created_at"`
	SubmittedAt   *time.Time      `json:"submitted_at"`
	DecidedAt     *time.Time      `json:"decided_at"`
	Items         []Item          `json:"items"`
	Findings      []check.Finding `json:"findings"` // of the request as a whole
	Checks        Checks          `json:"checks"`
	Turn          Turn            `json:"turn"`
	Can           []string        `json:"can"` // what this reader may do now
	Reviews       []Review        `json:"reviews"`
	ReviewsNeeded int             `json:"reviews_needed"`
	ReviewsDone   int             `json:"reviews_done"`
	Comments      []Comment       `json:"comments"`
	Timeline      []Step          `json:"timeline"`
	Release       string          `json:"release"` // id, when released

	edits       int
	producer    string
	manifest    string
	approvedSeq int64
	turnedAt    time.Time
}

// Item is one file of a request.
type Item struct {
	ID           string          `json:"id"`
	Output       string          `json:"output"`
	Path         string          `json:"path"`
	SHA256       string          `json:"sha256"`        // of what is reviewed and released
	SourceSHA256 string          `json:"source_sha256"` // of what the job left; differs for pictures
	Size         int64           `json:"size"`          // bytes
	Kind         string          `json:"kind"`          // table, text, image or none
	Rows         int             `json:"rows"`
	Cols         int             `json:"cols"`
	Findings     []check.Finding `json:"findings"`
	Seen         bool            `json:"seen"` // this reader has looked at these very bytes

	request string
	round   int
}

// Checks says which rules looked at the files and what they found.
type Checks struct {
	Version        string `json:"version"`
	RulesSHA256    string `json:"rules_sha256"`
	FindingsSHA256 string `json:"findings_sha256"`
	ManifestSHA256 string `json:"manifest_sha256"`
	Threshold      int    `json:"threshold"`
	Blocks         int    `json:"blocks"`
	Warnings       int    `json:"warnings"`
}

// Decisions of a reviewer.
const (
	Approve = "approve"
	Reject  = "reject"
	Change  = "change" // wants something changed
)

// Review is one person's vote on one round. Until a round is decided a reader
// sees only their own.
type Review struct {
	ID       string    `json:"id"`
	Round    int       `json:"round"`
	Reviewer Person    `json:"reviewer"`
	Decision string    `json:"decision"`
	Comment  string    `json:"comment"`
	At       time.Time `json:"at"`
}

// Comment is a remark outside a vote.
type Comment struct {
	ID      string    `json:"id"`
	Round   int       `json:"round"`
	By      Person    `json:"by"`
	At      time.Time `json:"at"`
	Text    string    `json:"text"`
	Item    string    `json:"item"`    // "" for the request as a whole
	Private bool      `json:"private"` // only its writer sees it until the round is decided
}

// Step is one line of the timeline.
type Step struct {
	State string    `json:"state"` // state entered, or what happened
	At    time.Time `json:"at"`
	Actor string    `json:"actor"` // name
	Round int       `json:"round"`
}

// Turn says whose turn it is and what the one next action is, for one reader.
type Turn struct {
	Who   string `json:"who"`   // requester, reviewers, releaser or nobody
	Next  string `json:"next"`  // for people
	Yours bool   `json:"yours"` // this reader is asked
}

// Jobs is what a request needs of jobs; *job.Service.
type Jobs interface {
	Lookup(tx *store.Tx, id string) (job.Job, error)
	LinkRequest(tx *store.Tx, job, request string) error
	MarkRejected(tx *store.Tx, job string, actor access.Actor) error
}

// Outputs is what a request needs of outputs; *output.Service.
type Outputs interface {
	Get(tx *store.Tx, id string) (output.Output, error)
	ListByJob(tx *store.Tx, job string) ([]output.Output, error)
	MarkState(tx *store.Tx, state output.State, ids ...string) error
	Content(o output.Output) (io.ReadSeekCloser, error)
}

// Deps are what a Service works with. The numbers may be 0 for the defaults of
// the rules.
type Deps struct {
	DB         *store.DB
	Log        *audit.Log
	Live       *live.Hub
	Vault      *vault.Vault
	Projects   *project.Service
	Jobs       Jobs
	Outputs    Outputs
	IDs        func() string
	MaxFile    int64         // bytes of one file
	MaxRequest int64         // bytes of all files together
	MaxFiles   int           // files of one request
	CheckTime  time.Duration // for all checks of one request; 0: a minute
}

// Service does everything with requests. Its methods may be used from any goroutine.
type Service struct{ Deps }

// New returns a Service.
func New(d Deps) *Service {
	if d.CheckTime <= 0 {
		d.CheckTime = time.Minute
	}
	return &Service{d}
}

// Subject is how the audit log and the live hub name a request.
func Subject(id string) string { return "airlock:" + id }

func (s *Service) profile(threshold int) check.Profile {
	p := check.Standard(threshold)
	if s.MaxFile > 0 {
		p.MaxFile = s.MaxFile
	}
	if s.MaxRequest > 0 {
		p.MaxRequest = s.MaxRequest
	}
	if s.MaxFiles > 0 {
		p.MaxFiles = s.MaxFiles
	}
	return p
}

func (r Request) thing() access.Thing {
	return access.Thing{Project: r.Project, Owner: r.Requester.ID, Involved: []string{r.producer}}
}

func personOf(a access.Actor) Person { return Person{a.ID, a.Handle, a.Name} }

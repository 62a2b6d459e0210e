// Package project owns the authorisation context of all work: what a project is
// for, until when, who is a member, which datasets it may use and how strictly
// its jobs and outputs are checked.
//
// Every exported write names an actor and leaves its audit event in the same
// transaction, so a crash leaves either both or neither. The package keeps
// nothing outside the database and never decides about people's site roles or
// about the content of datasets: both are opaque ids here.
package project

import (
	"time"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/store"
)

// State says whether a project accepts new work.
type State string

// The states of a project.
const (
	Active State = "open"
	Closed State = "closed"
)

// Approval says which jobs wait for a person before they run.
type Approval string

// The approval modes.
const (
	EveryJob  Approval = "every" // each job waits
	ImageOnly Approval = "image" // jobs run when their images are approved; the default
	NoneAtAll Approval = "off"   // waived by a steward
)

// What a project has unless a steward decides otherwise.
const (
	DefaultThreshold = 10 // smallest count that may leave
	DefaultReviewers = 2  // independent output checkers per request
)

// Project is one authorisation context.
type Project struct {
	ID        string     `json:"id"`
	Slug      string     `json:"slug"`
	Name      string     `json:"name"`
	Purpose   string     `json:"purpose"`
	State     State      `json:"state"`
	EndsAt    *time.Time `json:"ends_at"` // no new work from this moment on; nil: no end
	Ended     bool       `json:"ended"`   // EndsAt has passed
	Approval  Approval   `json:"approval"`
	Threshold int        `json:"threshold"`
	Reviewers int        `json:"reviewers"` // in force now: an expired waiver counts as none
	Waiver    *Waiver    `json:"waiver,omitempty"`
	Reason    string     `json:"reason,omitempty"` // of the last change of state or policy
	CreatedAt time.Time  `json:"created_at"`
	CreatedBy string     `json:"created_by"`
	Members   []Member   `json:"members"`
	Datasets  []Grant    `json:"datasets"`
}

// Waiver records why fewer than DefaultReviewers review, and until when.
type Waiver struct {
	Reviewers int       `json:"reviewers"`
	Reason    string    `json:"reason"`
	Until     time.Time `json:"until"`
	Expired   bool      `json:"expired"`
}

// Member is a person with a role in a project.
type Member struct {
	PersonID string      `json:"person_id"`
	Handle   string      `json:"handle"`
	Name     string      `json:"name"`
	Role     access.Role `json:"role"`
	AddedAt  time.Time   `json:"added_at"`
}

// Grant lets a project use a dataset, in every version.
type Grant struct {
	DatasetID string    `json:"dataset_id"`
	Slug      string    `json:"slug"`
	Name      string    `json:"name"`
	Version   int       `json:"version"` // latest one; 0: nothing ingested yet
	GrantedBy string    `json:"granted_by"`
	GrantedAt time.Time `json:"granted_at"`
}

// Person is what the package needs to know of somebody.
type Person struct {
	ID       string
	Handle   string
	Name     string
	Roles    []access.Role // site roles
	Disabled bool
}

// Named is what the package shows of a dataset.
type Named struct {
	ID      string
	Slug    string
	Name    string
	Version int
}

// Links reach what other packages own. People is needed; Datasets may be nil,
// then grants show ids only. Both answer fault.NotFound for an unknown id.
type Links struct {
	People   func(tx *store.Tx, id string) (Person, error)
	Datasets func(tx *store.Tx, id string) (Named, error)
}

// Service does everything with projects.
type Service struct {
	db    *store.DB
	log   *audit.Log
	ids   func() string
	links Links
}

// New makes the service; ids makes UUIDv7 texts.
func New(db *store.DB, log *audit.Log, ids func() string, links Links) *Service {
	return &Service{db: db, log: log, ids: ids, links: links}
}

// Subject is how the audit log names a project.
func Subject(id string) string { return "project:" + id }

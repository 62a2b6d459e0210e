package hub

import (
	"time"

	"tresor/app/access"
	"tresor/fed/task"
)

// Overview is the hub itself, for the first page.
type Overview struct {
	Name     string    `json:"name"`
	Key      string    `json:"key"`     // id of the key in use
	Address  string    `json:"address"` // that nodes dial
	Nodes    int       `json:"nodes"`   // not revoked
	Online   int       `json:"online"`
	Open     int       `json:"open_tasks"`
	Rotation *Rotation `json:"rotation,omitempty"`
}

// Rotation is a change of the hub's key that is under way.
type Rotation struct {
	Next  string    `json:"next"`  // id of the new key
	Until time.Time `json:"until"` // both are good until then
	Known int       `json:"known"` // nodes that have pinned it
	Nodes int       `json:"nodes"`
}

// Node is one appliance as the hub sees it.
type Node struct {
	ID          string     `json:"id"`
	Name        string     `json:"name"`
	Words       string     `json:"words"` // the same at both ends when both pinned the right key
	EnrolledAt  time.Time  `json:"enrolled_at"`
	ConfirmedAt *time.Time `json:"confirmed_at"` // nil: the words were not compared yet, nothing is sent
	ConfirmedBy string     `json:"confirmed_by,omitempty"`
	RevokedAt   *time.Time `json:"revoked_at"` // here, or of this hub by the node: Reason says which
	Reason      string     `json:"reason,omitempty"`
	State       string     `json:"state"` // online, offline, unconfirmed, revoked
	Since       *time.Time `json:"since"` // of the link
	LastContact *time.Time `json:"last_contact"`
	Remote      string     `json:"remote,omitempty"` // network address
	Version     string     `json:"version,omitempty"`
	Paused      bool       `json:"paused"` // the node takes nothing now
	Plugins     []string   `json:"plugins"`
	Trouble     string     `json:"trouble,omitempty"` // why its pages could not be read
	CatalogueAt *time.Time `json:"catalogue_at"`
	Projects    []string   `json:"projects"` // short names of the hub's projects that use it
	Open        int        `json:"open_tasks"`
}

// The states of a node.
const (
	NodeOnline      = "online"
	NodeOffline     = "offline"
	NodeUnconfirmed = "unconfirmed"
	NodeRevoked     = "revoked"
)

// Code is an enrolment code.
type Code struct {
	Code      string    `json:"code,omitempty"` // empty when the node's operator made it
	ExpiresAt time.Time `json:"expires_at"`
	Address   string    `json:"address"` // that the node dials
}

// Project is one project of the hub and where it runs.
type Project struct {
	ID        string        `json:"id"`
	Slug      string        `json:"slug"`
	Name      string        `json:"name"`
	State     string        `json:"state"` // open, closed
	CreatedAt time.Time     `json:"created_at"`
	Members   []Member      `json:"members"`
	Nodes     []ProjectNode `json:"nodes"`
}

// Member is a person who works in a project.
type Member struct {
	Person string      `json:"person_id"`
	Handle string      `json:"handle"`
	Name   string      `json:"name"`
	Role   access.Role `json:"role"`
}

// ProjectNode is a node on which a project runs.
type ProjectNode struct {
	Node   string `json:"node_id"`
	Name   string `json:"name"`
	Remote string `json:"remote"` // short name of the node's own project
	State  string `json:"state"`  // of the node
}

// ProjectDraft is a new project.
type ProjectDraft struct {
	Slug string `json:"slug"`
	Name string `json:"name"`
}

// ProjectChange is what to change; nil leaves a field as it is.
type ProjectChange struct {
	Name  *string `json:"name"`
	State *string `json:"state"` // open, closed
}

// Token lets programs of one person send tasks in one project.
type Token struct {
	ID          string     `json:"id"`
	Name        string     `json:"name"`
	Project     string     `json:"project"` // id
	ProjectSlug string     `json:"project_slug"`
	Handle      string     `json:"handle"` // of the person
	CreatedAt   time.Time  `json:"created_at"`
	ExpiresAt   time.Time  `json:"expires_at"`
	LastUsed    *time.Time `json:"last_used"`
	RevokedAt   *time.Time `json:"revoked_at"`
	Token       string     `json:"token,omitempty"` // only in the answer that made it
}

// TokenDraft is a new token.
type TokenDraft struct {
	Name    string `json:"name"`
	Project string `json:"project"` // id or short name
	Days    int    `json:"days"`    // 1 to 90; 0 is 30
}

// Task is one task that a researcher sent, for the pages.
type Task struct {
	ID          string     `json:"id"`
	Name        string     `json:"name"`
	Project     string     `json:"project"` // id
	ProjectSlug string     `json:"project_slug"`
	Owner       string     `json:"owner_id"`
	OwnerName   string     `json:"owner"`
	State       string     `json:"state"` // of TES
	CreatedAt   time.Time  `json:"created_at"`
	EndedAt     *time.Time `json:"ended_at"`
	CancelAt    *time.Time `json:"cancel_at"` // when somebody asked for its end
	// KeepUntil is when the hub drops it, unless a result of it is still here; nil: never,
	// or not known while it goes on.
	KeepUntil *time.Time `json:"keep_until"`
	Executors []string   `json:"images"` // one per command
	Parts     []Part     `json:"parts"`
	CanCancel bool       `json:"can_cancel"`
	CanEnd    bool       `json:"can_end"`   // may stop waiting for the nodes that have not ended it
	CanOpen   bool       `json:"can_open"`  // may download results
	CanErase  bool       `json:"can_erase"` // may delete results that are here
}

// Part is a task at one node.
type Part struct {
	Node        string     `json:"node_id"`
	Name        string     `json:"node"`
	Online      bool       `json:"online"`
	State       string     `json:"state"`                 // of TES
	Delivery    string     `json:"delivery"`              // waiting, offered, accepted, ended, refused, cancelled
	Remote      string     `json:"remote,omitempty"`      // the node's id of the task
	Code        string     `json:"code,omitempty"`        // of the node's refusal, or ours
	Text        string     `json:"text,omitempty"`        // the same as a sentence
	Correlation string     `json:"correlation,omitempty"` // by which the node's operator finds it
	Turn        string     `json:"turn,omitempty"`        // whom it waits for, as a sentence
	Trouble     string     `json:"trouble,omitempty"`     // why the node's last answer was not taken
	LastSeen    *time.Time `json:"last_seen"`             // when the node last told its state
	Messages    []string   `json:"messages"`              // the node's own, cleaned and cut
	Result      *Result    `json:"result"`                // nil: the node has released nothing yet
}

// Result is what a node released of a task: one zip. Sizes are bytes.
type Result struct {
	State    string     `json:"state"`            // wanted, stored, refused, deleted
	Release  string     `json:"release"`          // the node's id of it
	SHA256   string     `json:"sha256,omitempty"` // of the zip
	Size     int64      `json:"size"`             // of the zip
	Files    []File     `json:"files"`
	Root     string     `json:"root,omitempty"`    // of the node's audit log that the zip proves against
	Trouble  string     `json:"trouble,omitempty"` // why it could not be taken
	StoredAt *time.Time `json:"stored_at"`
	// KeepUntil is when it is deleted here; nil: never, or not known while the task goes on.
	KeepUntil *time.Time `json:"keep_until"`
	DeletedAt *time.Time `json:"deleted_at"`           // nil: it is here
	DeletedBy string     `json:"deleted_by,omitempty"` // handle of a person, or "retention"
}

// File is one file in a result, as the zip's manifest says; its size is in bytes.
type File struct {
	Path   string `json:"path"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// TaskFilter chooses tasks; empty fields choose all.
type TaskFilter struct {
	Project string // id or short name
	State   string // of TES
	Before  string // only tasks with a smaller id: the last one of the page before
	Limit   int    // 0: 50, at most 500
}

// Published is what one node publishes.
type Published struct {
	Node      string         `json:"node_id"`
	Name      string         `json:"node"`
	Online    bool           `json:"online"`
	At        *time.Time     `json:"at"` // nil: nothing yet
	Catalogue task.Catalogue `json:"catalogue"`
}

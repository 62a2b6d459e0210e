package gateway

import (
	"context"
	"time"

	"tresor/plugins/protocol"
)

// Kind says what sort of machine or person is behind a request.
type Kind string

// The kinds of callers. Client and Hub are principals with a record of their own;
// a Person comes with a token bound to one project, Inside is a program in a job.
const (
	Client Kind = protocol.CallerClient
	Hub    Kind = protocol.CallerHub
	Human  Kind = protocol.CallerPerson
	Inside Kind = protocol.CallerInside
)

// State says whether a principal may still ask for anything.
type State string

// The states of a principal. Revoked is for good.
const (
	Active  State = "active"
	Revoked State = "revoked"
)

// How jobs of a principal are approved.
const (
	ApprovalProject = "project" // as the project says
	ApprovalEvery   = "every"   // each job waits for a person's word
)

// What happens when outputs of a principal's job are held.
const (
	AirlockSubmit  = "submit"  // the request is drafted and submitted in the sponsor's name, and released once approved
	AirlockSponsor = "sponsor" // the sponsor does all of it
)

// Caller names who asks. It holds no authority: every call looks up afresh what
// its caller may do.
type Caller struct {
	Kind        Kind
	ID          string // of the principal (Client, Hub), the token (Human) or the job (Inside)
	OnBehalf    string // remote user, for display only; at most 100 characters
	Correlation string // of the request; empty: Serve makes one
}

// Principal is one hub or outside client, with exactly what it may do.
type Principal struct {
	ID        string    `json:"id"`
	Slug      string    `json:"slug"`
	Name      string    `json:"name"`
	Kind      Kind      `json:"kind"`
	State     State     `json:"state"`
	Paused    bool      `json:"paused"`
	Approval  string    `json:"approval"` // ApprovalProject or ApprovalEvery
	Quotas    Quotas    `json:"quotas"`
	Airlock   string    `json:"airlock"` // AirlockSubmit or AirlockSponsor
	Plugins   []string  `json:"plugins"` // names of the plugins that it reaches; no others
	Projects  []Use     `json:"projects"`
	CreatedAt time.Time `json:"created_at"`
	CreatedBy string    `json:"created_by"` // handle
	LastSeen  time.Time `json:"last_seen,omitzero"`
	HasToken  bool      `json:"has_token"`
	HubKey    string    `json:"hub_key,omitempty"` // of a hub: its pinned key
	HubURL    string    `json:"hub_url,omitempty"`
	Words     string    `json:"words,omitempty"`  // both keys, as words to compare
	Publishes bool      `json:"publishes"`        // the catalogue of its projects and datasets is shown to it
	Node      string    `json:"node,omitempty"`   // the name under which the hub knows this appliance
	Reason    string    `json:"reason,omitempty"` // why it was revoked, or is paused
}

// Quotas bound what a principal may ask for. Zero: the default of the appliance.
type Quotas struct {
	TasksPerHour int `json:"tasks_per_hour"`
	OpenTasks    int `json:"open_tasks"` // that have not ended
	Cores        int `json:"cores"`      // of one task
}

// What a principal gets when nothing else is said.
var defaultQuotas = Quotas{TasksPerHour: 1000, OpenTasks: 200, Cores: 4}

// Use is a project that a principal may send work to.
type Use struct {
	Project      string    `json:"project"` // id
	Slug         string    `json:"slug"`
	Name         string    `json:"name"`
	Sponsor      Person    `json:"sponsor"`       // the member who answers for its work
	Datasets     []string  `json:"datasets"`      // ids; "*": all that the project is granted
	DatasetNames []string  `json:"dataset_names"` // their short names, in the same order; the id where a grant was taken back
	Since        time.Time `json:"since"`
	By           string    `json:"by"` // handle of the lead
}

// Person is somebody named by the gateway.
type Person struct {
	ID     string `json:"id"`
	Handle string `json:"handle"`
	Name   string `json:"name"`
}

// Draft is a principal to create. The hub fields belong to Kind Hub.
type Draft struct {
	Name string `json:"name"`
	Kind Kind   `json:"kind"`
	// Plugins that it reaches; nil: DefaultPlugins.
	Plugins []string `json:"-"`
	HubKey  string   `json:"-"`
	HubURL  string   `json:"-"`
	Words   string   `json:"-"`
	Node    string   `json:"-"`
}

// Change holds new values of a principal; nil leaves as it is. The hub fields are
// for app/gateway/link, which pins and rotates keys.
type Change struct {
	Name      *string   `json:"name"`
	Approval  *string   `json:"approval"`
	Quotas    *Quotas   `json:"quotas"`
	Airlock   *string   `json:"airlock"`
	Publishes *bool     `json:"publishes"`
	Plugins   *[]string `json:"plugins" doc:"names of all the plugins that it reaches; none: no plugin"`
	HubKey    *string   `json:"-"`
	HubURL    *string   `json:"-"`
	Words     *string   `json:"-"`
	Node      *string   `json:"-"`
}

// Token is a person's token for one project, without its secret.
type Token struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Project   string    `json:"project"` // id
	Slug      string    `json:"slug"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
	LastUsed  time.Time `json:"last_used,omitzero"` // to about a minute
	Revoked   bool      `json:"revoked"`
}

// MaxTokenDays bounds how long a person's token is good for.
const MaxTokenDays = 90

// The kinds of sources.
const (
	SourceHTTPS = "https"
	SourceS3    = "s3"
	SourceDRS   = "drs"
)

// Source is an address that an operator has allowed inputs to be fetched from.
type Source struct {
	ID       string    `json:"id"`
	Prefix   string    `json:"prefix"`             // https://host/path/, s3://bucket/prefix or drs://host/
	Kind     string    `json:"kind"`               // https, s3, drs
	Endpoint string    `json:"endpoint,omitempty"` // https:// address that answers for s3:// and drs://
	Plugin   string    `json:"plugin,omitempty"`   // a plugin that may call it; empty: inputs of jobs only
	AddedAt  time.Time `json:"added_at"`
	AddedBy  string    `json:"added_by"` // handle
	// Private: its host may have an address of the operator's own network.
	Private bool `json:"private"`
	// CredentialAt is when a credential was set; zero: it has none.
	CredentialAt time.Time `json:"credential_at,omitzero"`

	Credential *Credential `json:"-"` // to be set by AddSource; in no answer
	sealed     []byte      // the same, at rest; nil: none
}

// Directions of a ledger line.
const (
	In  = "in"
	Out = "out"
)

// What a ledger line is about.
const (
	WhatCreate    = "task.create"
	WhatCancel    = "task.cancel"
	WhatRead      = "task.read"     // counted: one line for a minute of reading
	WhatFetched   = "input.fetched" // from an allow-listed source, for an accepted task
	WhatRelease   = "release.sent"
	WhatRefused   = "refused"   // before it was known what was asked for
	WhatPublished = "published" // names and descriptions that were shown
)

// Outcomes of a ledger line.
const (
	Accepted = "accepted"
	Declined = "refused"
	Sent     = "sent"
	Answered = "answered"
)

// Entry is one line of a principal's ledger: what arrived, or what left.
type Entry struct {
	Seq         int64     `json:"seq"`
	At          time.Time `json:"at"`
	Principal   string    `json:"principal"`         // id; "person:<id>" or "inside:<job>" for those without a record
	Project     string    `json:"project,omitempty"` // id; empty when none was found
	Direction   string    `json:"direction"`
	What        string    `json:"what"`
	RemoteID    string    `json:"remote_id,omitempty"`
	Task        string    `json:"task,omitempty"`
	SHA256      string    `json:"sha256,omitempty"` // of the bytes
	Bytes       int64     `json:"bytes"`
	Count       int64     `json:"count"` // requests that the line stands for
	Outcome     string    `json:"outcome"`
	Code        string    `json:"code,omitempty"` // of a refusal
	Text        string    `json:"text,omitempty"`
	Correlation string    `json:"correlation,omitempty"`

	release string
}

// Codes of refusals, a fixed vocabulary.
const (
	CodeNotMember       = "not-member"
	CodeNoProject       = "no-project"
	CodeNoDataset       = "no-dataset"
	CodeNoPlugin        = "no-plugin" // the caller does not reach this service, whether it is there or not
	CodeImage           = "image-not-approved"
	CodeQuota           = "quota"
	CodePaused          = "paused"
	CodeExpired         = "expired"
	CodeMalformed       = "malformed"
	CodeConflict        = "conflict"
	CodeSource          = "source-not-allowed"
	CodeTooLarge        = "too-large"
	CodeClosed          = "closed"
	CodeUnknown         = "unknown"     // no or no good token
	CodeNotFound        = "not-found"   // no such task, release or plugin for this caller
	CodeUnavailable     = "unavailable" // try again later
	CodeInternal        = "internal"
	CodeMethod          = "method"
	CodeUnsupportedType = "media-type"
)

// Pending is a job of a machine that waits for a person's decision or for an image.
type Pending struct {
	Job       string `json:"job"`
	Principal string `json:"principal"` // id, or as in Entry
	Kind      Kind   `json:"kind"`
	Name      string `json:"name"` // of the principal
	OnBehalf  string `json:"on_behalf"`
	RemoteID  string `json:"remote_id"`
}

// Plugins finds the running plugins; app/gateway/plug.
type Plugins interface {
	// Server returns the plugin of this name, ready to answer. A plugin that is not
	// there or not enabled is fault.NotFound, one that does not run fault.Unavailable.
	Server(ctx context.Context, name string) (protocol.Server, error)
}

// Package protocol is the contract between the appliance and a plugin.
//
// A plugin translates one outside protocol and holds no authority. It runs as a
// process of its own with an empty environment; all it can do is answer the
// calls of Adapter and make the calls of Host. Host gives it an identity and a
// narrow view: never a dataset, an unreleased byte, another plugin's secret or
// a database handle. Built-in and external plugins speak this same contract.
//
// A plugin's main function is one line:
//
//	func main() { protocol.Serve(myAdapter{}) }
//
// One gRPC stream carries the calls of both directions as frames: a JSON header,
// a JSON body and raw bytes, so that a plugin can be written without generated
// code and without ever dialing out (frame.go, and the author's guide). A frame
// is at most MaxMessage bytes; every call but Run has a deadline that the host
// sets. A call that carries a Host carries a token that names it; the token dies
// with the call.
//
// The package keeps nothing on disk. When either side dies, its calls end with
// CodeUnavailable.
package protocol

import (
	"context"
	"time"
)

// Version is the contract's number. A plugin of another number is refused.
const Version = 1

// MaxMessage bounds one message in either direction, in bytes.
const MaxMessage = 4 << 20

// Adapter is what every plugin answers.
type Adapter interface {
	// Describe says what the plugin is. It may not use the network or the host.
	Describe(ctx context.Context) (Description, error)
	// TestConnection tries the settings step by step (name resolution, clock, TLS, proxy,
	// credentials, protocol version) and reports each step in plain words.
	TestConnection(ctx context.Context, s Settings, h Host) ([]Step, error)
}

// Server is the optional part of an Adapter whose protocol comes in over HTTP.
type Server interface {
	// ServeRequest answers one request that arrived at the appliance's door for this plugin.
	ServeRequest(ctx context.Context, r Request, h Host) (Response, error)
}

// Poller is the optional part of an Adapter whose protocol asks outside for work.
type Poller interface {
	// Run works until ctx ends. An error makes the host start it again with back-off.
	Run(ctx context.Context, s Settings, h Host) error
}

// Publisher is the optional part of an Adapter that publishes read-only metadata.
type Publisher interface {
	// Publish renders what the host lets it see.
	Publish(ctx context.Context, s Settings, h Host) ([]Document, error)
}

// Host is what a plugin may ask of the appliance. Each call acts for the caller of
// the request being served, or for the plugin's own principal while it polls. A
// job that the principal may not see does not exist for it: CodeNotFound.
type Host interface {
	// Visible lists the projects and datasets this principal may name.
	Visible(ctx context.Context) (Catalogue, error)
	// Submit asks for a job. The local decision is final; a refusal is an *Error with a code.
	Submit(ctx context.Context, r JobRequest) (JobState, error)
	// State answers one job of this principal, as much of it as view says.
	State(ctx context.Context, id string, view View) (JobState, error)
	// Jobs lists this principal's jobs that came through this plugin, newest first.
	Jobs(ctx context.Context, q JobQuery) (JobPage, error)
	// Cancel asks for a job's end; cancelling an ended job is no error.
	Cancel(ctx context.Context, id string) error
	// ReadRelease reads released bytes from offset, at most 1 MiB; an empty Data is the end.
	ReadRelease(ctx context.Context, id string, offset int64) (Chunk, error)
	// Fetch does HTTP through the host's allow-list of this plugin.
	Fetch(ctx context.Context, r Request) (Response, error)
	// Health reports how the plugin is, for the plugin page.
	Health(ctx context.Context, h Health) error
	// Audit records an event in a fixed vocabulary: verb and short detail values, no free text.
	Audit(ctx context.Context, verb string, detail map[string]string) error
}

// Description is what a plugin says about itself.
type Description struct {
	Name     string    `json:"name"`              // lower case, as in addresses
	Title    string    `json:"title"`             // for people
	Version  string    `json:"version"`           // of the plugin
	Protocol string    `json:"protocol"`          // "GA4GH TES 1.1"
	Parts    []string  `json:"parts"`             // which optional parts it has: server, poller, publisher
	Settings []Setting `json:"settings"`          // from which the page draws the form
	Lookups  []Lookup  `json:"lookups,omitempty"` // what the host looks up before it hands a request over
}

// Setting is one field of a plugin's settings.
type Setting struct {
	Key      string   `json:"key"`
	Label    string   `json:"label"`
	Help     string   `json:"help,omitempty"`
	Kind     string   `json:"kind"` // text, url, secret, number, choice, switch
	Choices  []string `json:"choices,omitempty"`
	Default  string   `json:"default,omitempty"`
	Required bool     `json:"required,omitempty"`
}

// Settings are the values for a Description's settings.
type Settings map[string]string

// Step is one step of a connection test.
type Step struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`         // what was seen, in plain words
	Next   string `json:"next,omitempty"` // what to do when it is not OK
}

// Request is an HTTP request, inbound or outbound.
type Request struct {
	Method string              `json:"method"`
	Path   string              `json:"path"` // inbound: below the plugin's door, escaped; outbound: a full URL
	Query  string              `json:"query,omitempty"`
	Header map[string][]string `json:"header,omitempty"` // inbound: never Authorization or Cookie
	Body   []byte              `json:"body,omitempty"`
	// Inbound only:
	Base     string `json:"base,omitempty"`      // address of the plugin's door as the caller sees it, without a slash at the end
	Caller   Caller `json:"caller,omitzero"`     // who the host found the caller to be
	RemoteID string `json:"remote_id,omitempty"` // the caller's own id for this request, for JobRequest.RemoteID
	// Settings are the plugin's own, as an operator last saved them.
	Settings Settings `json:"settings,omitempty"`
	// Correlation is the id that the door gave this request. Error bodies carry it, so that a caller can quote it.
	Correlation string `json:"correlation,omitempty"`
}

// The kinds of callers.
const (
	CallerPerson = "person" // a person's token
	CallerClient = "client" // an outside program's token
	CallerHub    = "hub"    // a federation hub, through its link
	CallerInside = "inside" // a program in a workspace or job: it may see what stays inside
)

// Caller is who made an inbound request. It is for display and for choosing a
// shape of answer; authority is in the Host that comes with the request.
type Caller struct {
	Principal string `json:"principal"`
	Kind      string `json:"kind"`
	Name      string `json:"name"`
	Project   string `json:"project,omitempty"` // slug, when the caller is bound to one project
}

// Response is an HTTP response. With Release set, the host sends the released
// bytes itself after Header, and Body is not used: the plugin never holds them.
type Response struct {
	Status  int                 `json:"status"`
	Header  map[string][]string `json:"header,omitempty"`
	Body    []byte              `json:"body,omitempty"`
	Release *ReleaseFile        `json:"release,omitempty"`
}

// ReleaseFile names a release of this principal, or one file in it.
type ReleaseFile struct {
	ID   string `json:"id"`
	Path string `json:"path,omitempty"` // of an output, as in OutputFile.Path; empty: the whole release, a zip
}

// Catalogue is what a principal may name.
type Catalogue struct {
	Projects []Named `json:"projects"`
	Datasets []Named `json:"datasets"`
}

// Named is a thing with an id and a name.
type Named struct {
	ID    string `json:"id"`
	Slug  string `json:"slug"`
	Title string `json:"title"`
}

// JobRequest asks for a job. RemoteID, when not empty, makes it idempotent per
// principal: the same RemoteID with the same content is the same job, with other
// content CodeConflict.
type JobRequest struct {
	RemoteID    string            `json:"remote_id,omitempty"`
	Project     string            `json:"project,omitempty"` // id or slug; empty: the caller's only one
	Name        string            `json:"name"`
	Description string            `json:"description,omitempty"`
	Tasks       []Task            `json:"tasks"` // run one after the other, on the same volumes
	Inputs      []Input           `json:"inputs,omitempty"`
	Outputs     []Output          `json:"outputs,omitempty"`
	Volumes     []string          `json:"volumes,omitempty"` // absolute paths of empty folders that all tasks share
	Resources   Resources         `json:"resources,omitzero"`
	Tags        map[string]string `json:"tags,omitempty"`
	Notes       []string          `json:"notes,omitempty"`    // what the plugin dropped or changed, kept with the job's messages
	Document    []byte            `json:"document,omitempty"` // the protocol's own form of the request, given back with the job; at most MaxDocument
}

// MaxDocument bounds JobRequest.Document, in bytes.
const MaxDocument = 1 << 20

// Resources are what the job asks for; zero means the appliance's default.
type Resources struct {
	Cores  int     `json:"cores,omitempty"`   // processors of each task
	RAM    float64 `json:"ram,omitempty"`     // GB (1e9 bytes)
	Disk   float64 `json:"disk,omitempty"`    // GB
	WallMS int64   `json:"wall_ms,omitempty"` // of each task, in milliseconds
}

// Task is one container run.
type Task struct {
	Image       string   `json:"image"` // name or digest; one that is not approved makes the job wait
	Argv        []string `json:"argv"`
	Env         []string `json:"env,omitempty"`     // NAME=value
	Workdir     string   `json:"workdir,omitempty"` // absolute; made when the image has none
	Stdin       string   `json:"stdin,omitempty"`   // absolute paths
	Stdout      string   `json:"stdout,omitempty"`
	Stderr      string   `json:"stderr,omitempty"`
	IgnoreError bool     `json:"ignore_error,omitempty"` // a failure does not stop the tasks after it
}

// Input is put at Path before the first task. It is either Content or Source.
type Input struct {
	Path       string `json:"path"` // absolute, in the container
	Directory  bool   `json:"directory,omitempty"`
	HasContent bool   `json:"has_content,omitempty"`
	Content    []byte `json:"content,omitempty"` // at most MaxContent
	// Source is tresor://dataset/<id or slug>[@version][/path], file:///project/<path>,
	// or an address that the operator has allow-listed.
	Source string `json:"source,omitempty"`
}

// MaxContent bounds the content of one Input, in bytes.
const MaxContent = 256 << 10

// Output is taken from Path after the last task. Target beginning with
// file:///project/ stays inside; every other one waits for a release.
type Output struct {
	Path      string `json:"path"` // absolute; wildcards (* ? [) when Prefix is set
	Prefix    string `json:"prefix,omitempty"`
	Directory bool   `json:"directory,omitempty"`
	Target    string `json:"target"`
}

// View is how much of a job is asked for. Each includes the one before.
type View string

// The views.
const (
	Minimal View = "minimal" // id and state
	Basic   View = "basic"   // and times, tags, tasks, outputs, document
	Full    View = "full"    // and messages, and what programs wrote where the caller may see it
)

// JobState is where a job stands. State is one of submitted, approved, queued,
// preparing, running, collecting, held (its outputs wait for reviewers), and of the
// ends released, completed (all that it left stays inside), failed, refused, rejected
// and cancelled; "broken" is a failure of the appliance and not of the job. A plugin
// takes a word that it does not know for a failure.
type JobState struct {
	ID         string            `json:"id"`
	State      string            `json:"state"`
	Project    string            `json:"project,omitempty"` // slug
	Name       string            `json:"name,omitempty"`
	CreatedAt  time.Time         `json:"created_at,omitzero"`
	StartedAt  time.Time         `json:"started_at,omitzero"` // zero: not yet
	FinishedAt time.Time         `json:"finished_at,omitzero"`
	Tags       map[string]string `json:"tags,omitempty"`
	Tasks      []TaskState       `json:"tasks,omitempty"`   // those that ended, in order
	Outputs    []OutputFile      `json:"outputs,omitempty"` // those that are where they were asked for, or released
	Release    string            `json:"release,omitempty"` // id, once there is one
	Document   []byte            `json:"document,omitempty"`
	Messages   []string          `json:"messages,omitempty"` // for people: what it waits for, why it ended, what is withheld
}

// TaskState is a task that ended.
type TaskState struct {
	ExitCode   int       `json:"exit_code"`
	StartedAt  time.Time `json:"started_at,omitzero"`
	FinishedAt time.Time `json:"finished_at,omitzero"`
	Stdout     string    `json:"stdout,omitempty"` // the end of it; only for callers inside
	Stderr     string    `json:"stderr,omitempty"`
}

// OutputFile is one file that an Output became.
type OutputFile struct {
	Path    string `json:"path"`   // in the container
	Target  string `json:"target"` // where it was asked for: the Output's Target, and the rest of the path for folders and wildcards
	Size    int64  `json:"size"`   // bytes
	SHA256  string `json:"sha256,omitempty"`
	Release string `json:"release,omitempty"` // the release that holds it; empty: it is at Target, inside
}

// JobQuery asks for a page of jobs. All conditions hold together.
type JobQuery struct {
	View       View     `json:"view"`
	NamePrefix string   `json:"name_prefix,omitempty"`
	States     []string `json:"states,omitempty"` // any of them
	Tags       []Tag    `json:"tags,omitempty"`
	Limit      int      `json:"limit"`           // at most 2048
	After      string   `json:"after,omitempty"` // JobPage.Next of the page before
}

// Tag is a condition on one tag.
type Tag struct {
	Key   string `json:"key"`
	Value string `json:"value,omitempty"`
	Any   bool   `json:"any,omitempty"` // the key is there, with whatever value
}

// JobPage is a page of jobs, newest first. It may hold fewer than asked for; only
// an empty Next says that it is the last.
type JobPage struct {
	Jobs []JobState `json:"jobs"`
	Next string     `json:"next,omitempty"` // opaque
}

// Chunk is a piece of a release.
type Chunk struct {
	Data  []byte `json:"data"`  // none: the end
	Total int64  `json:"total"` // bytes of the whole
}

// Document is one published document.
type Document struct {
	Path        string `json:"path"`
	ContentType string `json:"content_type"`
	Body        []byte `json:"body"`
}

// Health is how a plugin is.
type Health struct {
	OK     bool      `json:"ok"`
	Detail string    `json:"detail"`
	At     time.Time `json:"at"`
}

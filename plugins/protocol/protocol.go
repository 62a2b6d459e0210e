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
// Everything on the wire is JSON inside gRPC, so that a plugin can be written
// without generated code. Messages are at most MaxMessage bytes; every call has
// a deadline that the host sets.
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

// Host is what a plugin may ask of the appliance. Each call acts for the plugin's own principal.
type Host interface {
	// Visible lists the projects and datasets this principal may name.
	Visible(ctx context.Context) (Catalogue, error)
	// Submit asks for a job. The local decision is final; a refusal is an *Error with a code.
	Submit(ctx context.Context, r JobRequest) (JobState, error)
	// State answers the state of a job of this principal.
	State(ctx context.Context, id string) (JobState, error)
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
	Name     string    `json:"name"`     // lower case, as in addresses
	Title    string    `json:"title"`    // for people
	Version  string    `json:"version"`  // of the plugin
	Protocol string    `json:"protocol"` // "GA4GH TES 1.1"
	Parts    []string  `json:"parts"`    // which optional parts it has: server, poller, publisher
	Settings []Setting `json:"settings"` // from which the page draws the form
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
	Method    string              `json:"method"`
	Path      string              `json:"path"` // inbound: below the plugin's door; outbound: a full URL
	Query     string              `json:"query,omitempty"`
	Header    map[string][]string `json:"header,omitempty"`
	Body      []byte              `json:"body,omitempty"`
	Principal string              `json:"principal,omitempty"` // inbound: who the host found the caller to be
}

// Response is an HTTP response.
type Response struct {
	Status int                 `json:"status"`
	Header map[string][]string `json:"header,omitempty"`
	Body   []byte              `json:"body,omitempty"`
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

// JobRequest asks for a job. RemoteID makes it idempotent per principal.
type JobRequest struct {
	RemoteID string            `json:"remote_id"`
	Project  string            `json:"project"`
	Name     string            `json:"name"`
	Tasks    []Task            `json:"tasks"`
	Inputs   []Input           `json:"inputs,omitempty"`
	Outputs  []string          `json:"outputs"`
	Tags     map[string]string `json:"tags,omitempty"`
}

// Task is one container run.
type Task struct {
	Image   string   `json:"image"` // digest
	Argv    []string `json:"argv"`
	Env     []string `json:"env,omitempty"`
	Workdir string   `json:"workdir,omitempty"`
}

// Input is inline content put before the job at /in/<name>.
type Input struct {
	Name    string `json:"name"`
	Content []byte `json:"content"`
}

// JobState is where a job stands.
type JobState struct {
	ID      string    `json:"id"`
	State   string    `json:"state"` // DESIGN section 4, job states
	Reason  string    `json:"reason,omitempty"`
	Release string    `json:"release,omitempty"` // id, once there is one
	At      time.Time `json:"at"`
}

// Chunk is a piece of a release.
type Chunk struct {
	Data  []byte `json:"data"`
	Total int64  `json:"total"`
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

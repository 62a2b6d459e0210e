// Package sandbox is the contract between the appliance and whatever runs a
// researcher's program.
//
// It owns the words (Ref, Spec, Status …), the checks a Spec must pass and the
// errors a runner may answer with. A Spec can narrow the sandbox, never widen it:
// network, capabilities, system calls, mounts and accounts are decided inside a
// runner and have no field here. The package runs nothing, keeps nothing on disk
// and knows neither the database nor Podman; nothing in it assumes that the
// container runs on this host.
package sandbox

import (
	"context"
	"io"
	"time"
)

// Ref is the deterministic name of one container: "tresor-<job>-<task>-<attempt>".
// It is made before the container is, so a crash between the two can be found again.
// Allowed are a-z, 0-9 and '-', at most 120 bytes, starting with "tresor-".
type Ref string

// Spec says what to run. Paths are absolute and clean.
type Spec struct {
	Ref    Ref               `json:"ref"`
	Labels map[string]string `json:"labels,omitempty"` // job, task, attempt: how a restart finds its containers

	Image   string   `json:"image"` // "sha256:<64 hex>": the id or digest that Images.Load or Images.Inspect answered
	Argv    []string `json:"argv"`
	Env     []string `json:"env,omitempty"`     // NAME=value; never secrets
	Workdir string   `json:"workdir,omitempty"` // inside a Scratch target it is made when missing; elsewhere the image must hold it. Empty: the first Scratch target

	Stdin  string `json:"stdin,omitempty"`  // a file in a Scratch or Bind target; empty: nothing to read
	Stdout string `json:"stdout,omitempty"` // a file in a Scratch target that also receives standard output, up to Limits.FileSize; its folders are made
	Stderr string `json:"stderr,omitempty"` // the same for standard error; may be the same file

	Binds   []Bind    `json:"binds,omitempty"`   // may lie inside a Scratch target, never inside one another
	Scratch []Scratch `json:"scratch,omitempty"` // never inside one another nor inside a Bind
	Folders []string  `json:"folders,omitempty"` // directories at or inside Scratch targets, made before the command
	Copies  []Copy    `json:"copies,omitempty"`  // made before the command, in order
	Outputs []string  `json:"outputs,omitempty"` // absolute paths, globs or directories at or inside Scratch targets; what Collect hands over. Their parent directories exist when the command starts

	Inside  bool   `json:"inside,omitempty"`  // offer the task service at http://tes.local in the container
	Project string `json:"project,omitempty"` // a Scratch target at or in ProjectFolder that is kept in step with the project's files behind the task service; needs Inside

	Limits Limits `json:"limits"`
}

// ProjectFolder is where a container finds the files of its project, when it wants them
// as a folder.
const ProjectFolder = "/project"

// Bind shows a file or directory of the host, always read-only.
type Bind struct {
	Source string `json:"source"`
	Target string `json:"target"`
}

// Scratch is a writable volume that the engine owns and the tasks of a job share.
// Prepare creates it, RemoveScratch erases it, and no host process ever reads it.
type Scratch struct {
	Name   string `json:"name"`
	Target string `json:"target"`
}

// Copy is a writable copy of an input: a file or directory at or in a Bind target, placed
// strictly inside a Scratch target. What is at To is replaced, a directory is merged. A link
// or a special file in it, or a file larger than Limits.FileSize, makes the task fail
// with ExitUnplaced and Status.Unplaced.
type Copy struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Limits bind the container. Zero means the default of WithDefaults.
type Limits struct {
	Memory      int64         `json:"memory"`       // bytes, swap included
	Cores       float64       `json:"cores"`        // processor seconds per second
	Pids        int64         `json:"pids"`         // processes and threads
	FileSize    int64         `json:"file_size"`    // bytes of the largest file that can be written
	LogSize     int64         `json:"log_size"`     // bytes of standard output and error that are kept
	Wall        time.Duration `json:"wall"`         // from start to the end of the command
	OutputFiles int           `json:"output_files"` // files that Collect hands over
	OutputBytes int64         `json:"output_bytes"` // bytes that Collect hands over, all files together
}

// Phase is where a container is in its life.
type Phase string

// The phases, in the order a container goes through them.
const (
	Absent  Phase = "absent"  // no such container
	Created Phase = "created" // prepared, not started
	Running Phase = "running" // the command runs
	Ended   Phase = "ended"   // the command is over; its outputs wait inside the container
	Exited  Phase = "exited"  // the container is over; outputs can still be collected until Remove
)

// Status is what is known about one container. ExitCode, OOMKilled and TimedOut
// mean something from Ended on; from Exited on they are the engine's word.
type Status struct {
	Ref          Ref               `json:"ref"`
	Phase        Phase             `json:"phase"`
	Labels       map[string]string `json:"labels,omitempty"`
	ExitCode     int               `json:"exit_code"` // 128+n when signal n ended the command; 127 not found, 126 not executable
	OOMKilled    bool              `json:"oom_killed"`
	TimedOut     bool              `json:"timed_out"`     // Limits.Wall was reached
	LogTruncated bool              `json:"log_truncated"` // Limits.LogSize was reached
	Unplaced     bool              `json:"unplaced"`      // an input, folder or standard stream could not be put in place; the command never ran, ExitCode is ExitUnplaced and the log says why
	StartedAt    time.Time         `json:"started_at"`
	FinishedAt   time.Time         `json:"finished_at"`
	Unlimited    bool              `json:"unlimited"` // the host could not bind memory, cores or pids and the operator allowed that
}

// ExitUnplaced is the exit code of a task whose files could not be put in place. A
// command may answer it too; Status.Unplaced tells the two apart.
const ExitUnplaced = 123

// Chunk is a piece of the log, in which standard output and error are interleaved about
// as they were written. A chunk never mixes the two.
type Chunk struct {
	Offset int64 // of Data[0] from the start of the log, both streams counted
	Err    bool  // standard error, or a line of the agent's own
	Data   []byte
}

// File names one output that Collect hands over. Size is exact.
type File struct {
	Path string // absolute inside the container, checked by CheckPath
	Size int64
}

// OutputsTooLarge begins the reason of a Refusal for which there was no room among all
// outputs together; the bound in bytes follows.
const OutputsTooLarge = "the outputs together are larger than "

// Refusal is an output that was declared and exists, but may not be taken.
type Refusal struct {
	Path   string `json:"path"` // escaped by Printable: safe to show
	Reason string `json:"reason"`
}

// Collected sums up one Collect.
type Collected struct {
	Files   int       `json:"files"`
	Bytes   int64     `json:"bytes"`
	Refused []Refusal `json:"refused,omitempty"` // at most MaxRefusals; the last one counts the rest
	Status  Status    `json:"status"`
}

// Usage is what a running container uses now.
type Usage struct {
	CPU    time.Duration `json:"cpu"`    // since the start
	Memory int64         `json:"memory"` // bytes resident
	Pids   int           `json:"pids"`
}

// Capabilities is what the engine on this host can do.
type Capabilities struct {
	Engine      string   `json:"engine"` // "podman 5.4.2"
	Version     string   `json:"version"`
	Runtime     string   `json:"runtime"` // "crun 1.21"
	Cgroup      string   `json:"cgroup"`  // "v1" or "v2"
	Controllers []string `json:"controllers"`
	Storage     string   `json:"storage"` // "overlay"
	UserNS      string   `json:"userns"`
	Rootless    bool     `json:"rootless"`
	Arch        string   `json:"arch"`
	Account     string   `json:"account"`   // who runs the engine
	Unlimited   []string `json:"unlimited"` // each limit that cannot bind here; empty is good
}

// Runner runs containers. Every method may be called twice with the same answer,
// from a new process too. The errors: ErrAbsent (no such container or image),
// ErrInvalid (the Spec is refused), *ErrUnfit (this host cannot run it safely) and
// ErrHost (the engine broke: try again). A command that fails is not an error but
// a Status.
type Runner interface {
	// Capabilities asks the engine what it can do; ErrUnfit when nothing may run here.
	Capabilities(ctx context.Context) (Capabilities, error)
	// Prepare creates the container and its scratch volumes. A container of that name is left as it is.
	Prepare(ctx context.Context, s Spec) error
	// Start starts a prepared container; one that runs or has ended is left as it is.
	Start(ctx context.Context, ref Ref) error
	// Status never fails for an unknown ref: it answers Absent.
	Status(ctx context.Context, ref Ref) (Status, error)
	// Logs hands over the log from byte `from` and follows it. It returns nil when the
	// command has ended (or the container died) and everything was handed over. The error of fn stops it and is returned.
	Logs(ctx context.Context, ref Ref, from int64, fn func(Chunk) error) error
	// Collect hands over the declared outputs of a command that has ended, ends the container and
	// says how it ended. The error of sink stops it and is returned. Before the command has ended it answers ErrInvalid.
	Collect(ctx context.Context, ref Ref, sink func(File, io.Reader) error) (Collected, error)
	// Usage is the present use; zero for a container that does not run.
	Usage(ctx context.Context, ref Ref) (Usage, error)
	// Stop asks the command to end (TERM) and kills it after grace. The outputs can still be collected.
	Stop(ctx context.Context, ref Ref, grace time.Duration) error
	// Remove ends and erases the container. An absent one is no error.
	Remove(ctx context.Context, ref Ref) error
	// RemoveScratch erases a scratch volume. An absent one is no error.
	RemoveScratch(ctx context.Context, name string) error
	// List answers every container that this appliance made.
	List(ctx context.Context) ([]Status, error)
}

// Image is one image that the engine holds.
type Image struct {
	ID     string `json:"id"`     // "sha256:…" of the configuration; what Spec.Image wants
	Digest string `json:"digest"` // "sha256:…" of the manifest
	Ref    string `json:"ref"`    // first name, or empty
	Size   int64  `json:"size"`   // bytes unpacked
	Arch   string `json:"arch"`
}

// Images keeps the images that specs name.
type Images interface {
	// Load reads an OCI or docker archive. ErrInvalid when it is not one, is cut short or must not run here.
	Load(ctx context.Context, r io.Reader) (Image, error)
	// Inspect finds an image by id or digest; ErrAbsent when there is none.
	Inspect(ctx context.Context, idOrDigest string) (Image, error)
	// Warm does the slow part of the first start now. progress may be nil; total is 0 where it is not known.
	Warm(ctx context.Context, id string, progress func(done, total int64)) error
	// RemoveImage erases an image. An absent one is no error; one in use is ErrInvalid.
	RemoveImage(ctx context.Context, id string) error
	// ListImages answers every image, sorted by id.
	ListImages(ctx context.Context) ([]Image, error)
}

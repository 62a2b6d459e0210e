// Package image owns the container images that jobs may run: where each came
// from, who allowed it, and that its digest is still the one that was allowed.
//
// An image runs only when an operator, or the appliance for its own built-in
// one, has approved exactly its digest. An archive is looked through completely
// before the engine gets a byte of it. The engine's storage is not ours: a crash
// can leave an image there that no row names, which nothing can run, and a
// spool file in Dir, which New sweeps.
package image

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/store"
	"tresor/sandbox"
)

// State says whether jobs may run an image.
type State string

// The states of an image. Missing is shown instead of the decision when the
// engine no longer holds the image.
const (
	Imported State = "imported"
	Approved State = "approved"
	Revoked  State = "revoked"
	Missing  State = "missing"
)

// Source says where an image came from.
type Source string

// The sources of images.
const (
	Builtin Source = "builtin"
	Import  Source = "import"
)

// BuiltinRef is the name of the image that is made from this program.
const BuiltinRef = "tresor/sql"

// Image is one image by digest.
type Image struct {
	ID         string     `json:"id"`     // "sha256:…" of the configuration; what sandbox.Spec wants
	Digest     string     `json:"digest"` // "sha256:…" of the manifest
	Ref        string     `json:"ref"`    // name for people; not unique over time
	Source     Source     `json:"source"`
	State      State      `json:"state"`
	Size       int64      `json:"size"` // bytes unpacked
	Arch       string     `json:"arch"`
	Setuid     int        `json:"setuid"` // files with a setuid or setgid bit, which have no effect inside
	ImportedAt time.Time  `json:"imported_at"`
	ImportedBy string     `json:"imported_by"`
	ApprovedAt *time.Time `json:"approved_at"`
	ApprovedBy string     `json:"approved_by"`
	Reason     string     `json:"reason"` // of the last decision
}

// Deps is what the service works with.
type Deps struct {
	DB     *store.DB
	Log    *audit.Log
	Images sandbox.Images
	Dir    string // for spool files; created if it is not there
	Arch   string // of the host; empty: that of this program
	Max    int64  // bytes of an archive, unpacked; 0: DefaultMax
}

// DefaultMax bounds an archive and, separately, its unpacked layers.
const DefaultMax = 32 << 30

// Service does everything with images.
type Service struct {
	Deps

	hooks []func(*store.Tx, Image) error
}

// OnDecision has f called in the transaction in which an image becomes one that
// jobs may run, or one that they may not: approved, revoked, or held by the engine
// again. Its error undoes the decision. It is for the start of the program, before
// the first decision.
func (s *Service) OnDecision(f func(tx *store.Tx, i Image) error) { s.hooks = append(s.hooks, f) }

func (s *Service) tell(tx *store.Tx, i Image) error {
	for _, f := range s.hooks {
		if err := f(tx, i); err != nil {
			return err
		}
	}
	return nil
}

// ErrRevoked is the cause of Resolve's refusal of a revoked image; test with errors.Is.
var ErrRevoked = errors.New("the image was revoked")

// New makes the service and removes the spool files of interrupted imports.
func New(d Deps) (*Service, error) {
	if d.Arch == "" {
		d.Arch = runtime.GOARCH
	}
	if d.Max == 0 {
		d.Max = DefaultMax
	}
	if err := os.MkdirAll(d.Dir, 0o700); err != nil {
		return nil, fault.Wrap("image.New", err)
	}
	left, err := filepath.Glob(filepath.Join(d.Dir, spoolPattern))
	for _, f := range left {
		err = errors.Join(err, os.Remove(f))
	}
	return &Service{Deps: d}, fault.Wrap("image.New", err)
}

// Subject is how the audit log names an image.
func Subject(digest string) string { return "image:" + digest }

func (s *Service) note(tx *store.Tx, actor access.Actor, verb string, i Image, reason string, kv ...string) error {
	kv = append(kv, "id", i.ID, "source", string(i.Source))
	_, err := s.Log.Append(tx, audit.By(actor, verb, Subject(i.Digest), "", kv...).Because(reason))
	return err
}

// engineFault turns an answer of the engine into one for people.
func engineFault(op string, err error) error {
	var unfit *sandbox.ErrUnfit
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unfit):
		return fault.WithNext(fault.Kinded(op, fault.Unavailable, err, "The container engine cannot be used: %s.", unfit.Reason), "%s.", unfit.Next)
	case errors.Is(err, sandbox.ErrInvalid):
		return fault.Kinded(op, fault.Invalid, err, "The container engine refused the image: %v.", err)
	case errors.Is(err, sandbox.ErrAbsent):
		return fault.Kinded(op, fault.Conflict, err, "The container engine does not hold this image any more. Import its archive again.")
	case errors.Is(err, sandbox.ErrHost):
		return fault.Kinded(op, fault.Unavailable, err, "The container engine does not answer. Try again in a moment; `tresor doctor` finds the cause.")
	}
	return fault.Wrap(op, err)
}

package crate

import (
	"time"

	"tresor/app/fault"
)

// Facts are what a metadata document says about one piece of work. Empty
// optional fields are left out of the document.
type Facts struct {
	ID          string // a UUID: of the request that the package answers
	Name        string
	Description string
	License     string // URL of the terms under which the results are released
	Published   time.Time
	Institution Organization // runs the Trusted Research Environment
	Software    Software     // this program
	Project     Project
	Person      Person // who asked for the work
	Workflow    Workflow
	Run         Run
	Inputs      []Input
	Outputs     []Output // files in the bag
	SignOff     *Action  // approval of the work before it ran
	Disclosure  *Action  // output checking
}

// Organization is an institution; URL is its web address, or empty.
type Organization struct{ URL, Name string }

// Software is a program; URL may be empty.
type Software struct{ URL, Name, Version string }

// Project is the authorisation context.
type Project struct{ ID, Name string }

// Person is named by an id that the institution knows, such as a handle.
type Person struct{ ID, Name string }

// Workflow is what was run: files in the bag below workflow/, and the image.
type Workflow struct {
	Name, Description string
	Files             []Output
	Image             string // name of the container image
	Digest            string // its digest, "sha256:…"
}

// Run is one execution.
type Run struct {
	ID         string // UUID of the job
	Name       string
	Status     Status
	Start, End time.Time
}

// Input is a dataset version or a parameter of the run.
type Input struct{ ID, Name, Value string }

// Output is a file of the bag's payload.
type Output struct {
	Path      string // in the payload, such as "outputs/visits.csv"
	Name      string
	MediaType string
	SHA256    string // lower-case hex
	Size      int64  // bytes
}

// Action is one assessment: who, when and how it ended.
type Action struct {
	ID         string // UUID
	Name       string // at least ten characters
	Status     Status
	Start, End time.Time
	Agents     []Person // the reviewers; none: the institution itself
	Policy     string   // name of the agreement or rule set it was judged by
}

// Status is how far an action has come, as RO-Crate writes it.
type Status string

// The four states of an action.
const (
	Potential Status = "http://schema.org/PotentialActionStatus"
	Active    Status = "http://schema.org/ActiveActionStatus"
	Completed Status = "http://schema.org/CompletedActionStatus"
	Failed    Status = "http://schema.org/FailedActionStatus"
)

func (s Status) known() bool {
	return s == Potential || s == Active || s == Completed || s == Failed
}

func (f Facts) check() error {
	for _, need := range []struct {
		name string
		ok   bool
	}{
		{"a UUID", uuidPattern.MatchString("urn:uuid:" + f.ID)},
		{"a name", f.Name != ""},
		{"a description", f.Description != ""},
		{"a licence", f.License != ""},
		{"a publication time", !f.Published.IsZero()},
		{"the institution's name", f.Institution.Name != ""},
		{"the software's name", f.Software.Name != ""},
		{"a project", f.Project.ID != "" && f.Project.Name != ""},
		{"a person", f.Person.ID != ""},
		{"the workflow's name", f.Workflow.Name != ""},
		{"the run's UUID", uuidPattern.MatchString("urn:uuid:" + f.Run.ID)},
	} {
		if !need.ok {
			return fault.New("crate.Describe", fault.Invalid, "The description of the package lacks %s.", need.name)
		}
	}
	return nil
}

package release

import (
	"bytes"
	"encoding/json"
	"time"

	"tresor/app/airlock"
	"tresor/app/airlock/check"
	"tresor/app/job"
	"tresor/app/project"
)

// Names inside the zip, below its folder's data/.
const (
	manifestName = "manifest.json"
	proofName    = "audit-proof.json"
	outputs      = "outputs/"
	format       = "tresor-release/1"
)

// Manifest says what a release is and why it could leave. It holds only words
// and hashes that the reviewers saw: no code, no log, no comment of a reviewer.
type Manifest struct {
	Format      string            `json:"format"`
	Release     string            `json:"release"`
	Institution string            `json:"institution"`
	Software    string            `json:"software"`
	Project     ManifestProject   `json:"project"`
	Request     ManifestRequest   `json:"request"`
	Job         ManifestJob       `json:"job"`
	Checks      airlock.Checks    `json:"checks"`
	Findings    []ManifestFinding `json:"findings"` // acknowledged by approving
	Approval    ManifestApproval  `json:"approval"`
	Files       []ManifestFile    `json:"files"`
	MadeAt      time.Time         `json:"made_at"`
	MadeBy      string            `json:"made_by"` // handle
}

// ManifestProject names the project.
type ManifestProject struct {
	ID   string `json:"id"`
	Slug string `json:"slug"`
	Name string `json:"name"`
}

// ManifestRequest holds the requester's words.
type ManifestRequest struct {
	ID         string `json:"id"`
	Round      int    `json:"round"`
	Title      string `json:"title"`
	Context    string `json:"context"`
	Population string `json:"population"`
	Controls   string `json:"controls"`
	Exception  string `json:"exception"`
	Requester  string `json:"requester"` // handle
}

// ManifestJob says what produced the files.
type ManifestJob struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Tasks      []ManifestTask    `json:"tasks"`
	Datasets   []ManifestDataset `json:"datasets"`
	Unlimited  bool              `json:"unlimited"` // ran without limits that bind
	StartedAt  *time.Time        `json:"started_at"`
	FinishedAt *time.Time        `json:"finished_at"`
}

// ManifestTask is one container run.
type ManifestTask struct {
	Image string `json:"image"` // digest
	Ref   string `json:"ref"`
}

// ManifestDataset is a version that the job could see.
type ManifestDataset struct {
	Slug    string `json:"slug"`
	Version int    `json:"version"`
	SHA256  string `json:"sha256"`
}

// ManifestFinding is what a rule said of a file; Path is "" for the request.
type ManifestFinding struct {
	Path     string         `json:"path"`
	Rule     string         `json:"rule"`
	Severity check.Severity `json:"severity"`
	Message  string         `json:"message"`
	Count    int            `json:"count"`
}

// ManifestApproval says who approved what, and where the log says so.
type ManifestApproval struct {
	Needed    int                `json:"needed"`
	At        time.Time          `json:"at"`
	Seq       int64              `json:"seq"`      // event airlock.approved in the audit log
	Reviewed  json.RawMessage    `json:"reviewed"` // the reviewed manifest; its SHA-256 is checks.manifest_sha256
	Reviewers []ManifestReviewer `json:"reviewers"`
}

// ManifestReviewer is one vote.
type ManifestReviewer struct {
	Handle   string    `json:"handle"`
	Name     string    `json:"name"`
	Decision string    `json:"decision"`
	At       time.Time `json:"at"`
}

// ManifestFile is one file of the release. SourceSHA256 differs from SHA256
// for a picture, which was written anew from its pixels before review.
type ManifestFile struct {
	Path         string `json:"path"` // below data/
	SHA256       string `json:"sha256"`
	SourceSHA256 string `json:"source_sha256"`
	Size         int64  `json:"size"`
}

// describe fills a manifest from what was approved.
func (s *Service) describe(id string, a airlock.Approval, j job.Job, p project.Project) Manifest {
	r := a.Request
	m := Manifest{Format: format, Release: id, Institution: s.Institution, Software: s.Software,
		Project: ManifestProject{p.ID, p.Slug, p.Name},
		Request: ManifestRequest{r.ID, r.Round, r.Title, r.Context, r.Population, r.Controls, r.Exception, r.Requester.Handle},
		Job:     ManifestJob{ID: j.ID, Name: j.Name, Unlimited: j.Unlimited, StartedAt: j.StartedAt, FinishedAt: j.FinishedAt, Tasks: []ManifestTask{}, Datasets: []ManifestDataset{}},
		Checks:  r.Checks, Findings: []ManifestFinding{},
		Approval: ManifestApproval{Needed: a.Needed, At: a.ApprovedAt, Seq: a.Seq, Reviewed: json.RawMessage(a.Manifest), Reviewers: []ManifestReviewer{}}}
	for _, t := range j.Tasks {
		m.Job.Tasks = append(m.Job.Tasks, ManifestTask{t.Image, t.ImageRef})
	}
	for _, d := range j.Datasets {
		m.Job.Datasets = append(m.Job.Datasets, ManifestDataset{d.Slug, d.Version, d.SHA256})
	}
	for _, v := range r.Reviews {
		if v.Round == r.Round {
			m.Approval.Reviewers = append(m.Approval.Reviewers, ManifestReviewer{v.Reviewer.Handle, v.Reviewer.Name, v.Decision, v.At})
		}
	}
	m.find("", r.Findings)
	for _, it := range r.Items {
		m.find(it.Path, it.Findings)
		m.Files = append(m.Files, ManifestFile{outputs + it.Path, it.SHA256, it.SourceSHA256, it.Size})
	}
	return m
}

func (m *Manifest) find(path string, fs []check.Finding) {
	for _, f := range fs {
		m.Findings = append(m.Findings, ManifestFinding{path, f.Rule, f.Severity, f.Message, f.Count})
	}
}

// encode writes JSON for people and programs; the same value gives the same bytes.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		panic(err) // only our own plain structs come here
	}
	return b.Bytes()
}

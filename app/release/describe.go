package release

import (
	"fmt"
	"path"
	"strings"

	"tresor/app/airlock"
	"tresor/app/crate"
)

// terms is where the crate says that no general licence applies: a reader asks
// the institution.
const terms = "#terms-of-release"

// metadata renders the manifest as Five Safes RO-Crate: everything in it comes
// from the manifest, so that Verify can render it again and compare.
func metadata(m Manifest) ([]byte, error) {
	name, version, _ := strings.Cut(m.Software, " ")
	f := crate.Facts{
		ID: m.Release, Name: m.Request.Title, Description: m.Request.Context, License: terms, Published: m.MadeAt,
		Institution: crate.Organization{Name: m.Institution}, Software: crate.Software{Name: name, Version: version},
		Project:  crate.Project{ID: m.Project.Slug, Name: m.Project.Name},
		Person:   crate.Person{ID: m.Request.Requester, Name: m.Request.Requester},
		Workflow: crate.Workflow{Name: "Job " + m.Job.Name, Description: "The work that was run inside the environment."},
		Run:      crate.Run{ID: m.Job.ID, Name: "Run of " + m.Job.Name, Status: crate.Completed},
		Disclosure: &crate.Action{ID: m.Request.ID, Name: "Output checking of the files", Status: crate.Completed, End: m.Approval.At,
			Policy: fmt.Sprintf("Rules version %s, smallest count %d, %d independent reviewers", m.Checks.Version, m.Checks.Threshold, m.Approval.Needed)},
	}
	if m.Job.StartedAt != nil {
		f.Run.Start = *m.Job.StartedAt
	}
	if m.Job.FinishedAt != nil {
		f.Run.End = *m.Job.FinishedAt
	}
	if len(m.Job.Tasks) > 0 {
		f.Workflow.Image, f.Workflow.Digest = m.Job.Tasks[0].Ref, m.Job.Tasks[0].Image
	}
	for _, v := range m.Approval.Reviewers {
		if v.Decision == airlock.Approve {
			f.Disclosure.Agents = append(f.Disclosure.Agents, crate.Person{ID: v.Handle, Name: v.Name})
		}
	}
	for _, d := range m.Job.Datasets {
		f.Inputs = append(f.Inputs, crate.Input{ID: fmt.Sprintf("%s-%d", d.Slug, d.Version), Name: fmt.Sprintf("Dataset %s, version %d", d.Slug, d.Version), Value: d.SHA256})
	}
	for _, o := range m.Files {
		f.Outputs = append(f.Outputs, crate.Output{Path: o.Path, Name: path.Base(o.Path), MediaType: mediaType(o.Path), SHA256: o.SHA256, Size: o.Size})
	}
	return crate.Describe(f)
}

// mediaTypes are of the types that may leave; a table of our own, since the
// host's would make the bytes depend on the host.
var mediaTypes = map[string]string{
	".csv": "text/csv", ".tsv": "text/tab-separated-values", ".json": "application/json",
	".txt": "text/plain", ".md": "text/markdown", ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg",
}

func mediaType(name string) string {
	if t, ok := mediaTypes[strings.ToLower(path.Ext(name))]; ok {
		return t
	}
	return "application/octet-stream"
}

package api

import (
	"context"
	"time"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/gateway"
	"tresor/app/job"
	"tresor/app/store"
)

// Waiting is one request of a machine that waits, with everything that whoever
// decides has to see: what runs, on what, and what it wants back. Names, hashes
// and sizes only; contents stay where they are.
type Waiting struct {
	Job          string          `json:"job"`
	Name         string          `json:"name"`
	Purpose      string          `json:"purpose"`
	Project      string          `json:"project" doc:"id"`
	ProjectName  string          `json:"project_name"`
	Principal    string          `json:"principal" doc:"id of the hub or client, or person:<id>, or inside:<job>"`
	Kind         gateway.Kind    `json:"kind"`
	From         string          `json:"from" doc:"name of the hub, client or person"`
	OnBehalf     string          `json:"on_behalf" doc:"who asked there, as they say: never proof of anything"`
	RemoteID     string          `json:"remote_id"`
	Sponsor      job.Person      `json:"sponsor" doc:"the member in whose name it would run"`
	Images       []ImageHistory  `json:"images"`
	Tasks        []job.TaskRun   `json:"tasks"`
	Datasets     []job.Data      `json:"datasets"`
	Places       []job.PlaceInfo `json:"places"`
	Inputs       []job.InputInfo `json:"inputs"`
	Wants        []job.WantInfo  `json:"wants"`
	Volumes      []string        `json:"volumes"`
	Limits       job.Limits      `json:"limits"`
	WaitingSince time.Time       `json:"waiting_since"`
	WaitingImage string          `json:"waiting_image" doc:"name or digest of an image that has to be approved first"`
	Reason       string          `json:"reason"`
	CanDecide    bool            `json:"can_decide" doc:"you may approve or refuse it"`
}

// JobPage is a job with what an approver has to know of its images.
type JobPage struct {
	job.Job
	Images []ImageHistory `json:"images"`
}

// ImageHistory is an image of a job with its history here.
type ImageHistory struct {
	Ref        string     `json:"ref"`
	Digest     string     `json:"digest"`
	State      string     `json:"state" doc:"imported, approved, revoked, missing, or absent: never imported here"`
	Reason     string     `json:"reason" doc:"of the last decision about it"`
	ImportedBy string     `json:"imported_by"`
	ImportedAt *time.Time `json:"imported_at"`
	ApprovedBy string     `json:"approved_by"`
	ApprovedAt *time.Time `json:"approved_at"`
	Runs       int        `json:"runs" doc:"jobs that ran it here"`
}

// listPending answers page by page, oldest first: the ids of jobs are in the order
// of their arrival.
func (s *Server) listPending(c *call) (List[Waiting], error) {
	limit, err := c.limit()
	if err != nil {
		return List[Waiting]{}, err
	}
	pending, err := s.Gateway.Requests(c.ctx(), c.actor(), c.query("after"))
	if err != nil {
		return List[Waiting]{}, err
	}
	var out []Waiting
	for _, p := range pending {
		if len(out) == limit {
			return listOf(out, out[limit-1].Job), nil
		}
		j, err := s.Jobs.Get(c.ctx(), c.actor(), p.Job)
		if fault.KindOf(err) == fault.NotFound && err != nil {
			continue // decided, or out of sight, since the list was read
		}
		if err != nil {
			return List[Waiting]{}, err
		}
		if j.State != job.Submitted {
			continue
		}
		w, err := s.waiting(c.ctx(), c.actor(), p, j)
		if err != nil {
			return List[Waiting]{}, err
		}
		out = append(out, w)
	}
	return listOf(out, ""), nil
}

func (s *Server) waiting(ctx context.Context, actor access.Actor, p gateway.Pending, j job.Job) (Waiting, error) {
	images, err := s.imagesOf(ctx, actor, j)
	thing := access.Thing{Project: j.Project, Owner: j.Submitter.ID}
	return Waiting{Job: j.ID, Name: j.Name, Purpose: j.Purpose, Project: j.Project, ProjectName: j.ProjectName,
		Principal: p.Principal, Kind: p.Kind, From: p.Name, OnBehalf: p.OnBehalf, RemoteID: p.RemoteID, Sponsor: j.Submitter,
		Images: images, Tasks: j.Tasks, Datasets: j.Datasets, Places: j.Places, Inputs: j.Inputs, Wants: j.Wants, Volumes: j.Volumes,
		Limits: j.Limits, WaitingSince: j.CreatedAt, WaitingImage: j.WaitingImage, Reason: j.Reason,
		CanDecide: j.WaitingImage == "" && access.Can(actor, access.JobDecide, thing)}, err
}

// imagesOf describes each image of a job once, in the order of its tasks.
func (s *Server) imagesOf(ctx context.Context, actor access.Actor, j job.Job) ([]ImageHistory, error) {
	out := []ImageHistory{}
	seen := map[string]bool{}
	for _, t := range j.Tasks {
		if key := t.Image + " " + t.ImageRef; !seen[key] {
			seen[key] = true
			w, err := s.imageOf(ctx, actor, t)
			if err != nil {
				return nil, err
			}
			out = append(out, w)
		}
	}
	return out, nil
}

func (s *Server) imageOf(ctx context.Context, actor access.Actor, t job.TaskRun) (ImageHistory, error) {
	w := ImageHistory{Ref: t.ImageRef, Digest: t.Image, State: "absent"}
	if t.Image == "" {
		return w, nil
	}
	img, err := s.Images.Get(ctx, actor, t.Image)
	if err != nil {
		if fault.KindOf(err) == fault.NotFound {
			return w, nil
		}
		return w, err
	}
	w.State, w.Reason, w.ImportedBy, w.ApprovedBy, w.ApprovedAt = string(img.State), img.Reason, img.ImportedBy, img.ApprovedBy, img.ApprovedAt
	if !img.ImportedAt.IsZero() {
		w.ImportedAt = &img.ImportedAt
	}
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		w.Runs, err = s.Jobs.ImageRuns(tx, t.Image)
		return err
	})
	return w, err
}

package api

import (
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/job"
	"tresor/app/output"
	"tresor/app/workspace"
)

func (s *Server) jobRoutes() []Route {
	return []Route{
		{Method: "GET", Path: "/jobs", Access: at(SignedIn, access.JobRead), Summary: "List jobs, newest first", Query: []string{"project", "state", "before", "limit"}, endpoint: get(s.listJobs)},
		{Method: "POST", Path: "/projects/{project}/jobs", Access: by(access.JobSubmit), Summary: "Submit an analysis: SQL statements or tasks", Need: "name", Max: 4 << 20, endpoint: create(s.submitJob)},
		{Method: "GET", Path: "/jobs/{job}", Access: by(access.JobRead), Summary: "Show a job with its timeline and outputs", endpoint: get(s.getJob)},
		{Method: "POST", Path: "/jobs/{job}/cancel", Access: by(access.JobCancel), Summary: "Stop a job", endpoint: post(s.cancelJob)},
		{Method: "POST", Path: "/jobs/{job}/approve", Access: by(access.JobDecide), Summary: "Let a job run that waits for a decision", endpoint: post(s.approveJob)},
		{Method: "POST", Path: "/jobs/{job}/refuse", Access: by(access.JobDecide), Summary: "Refuse a job that waits for a decision", Need: "reason", endpoint: post(s.refuseJob)},
		{Method: "GET", Path: "/jobs/{job}/inputs/{place}/text", Access: by(access.JobDecide), Summary: "Read a text file that was sent with a job, before deciding about it", endpoint: get(s.inputText)},
		{Method: "GET", Path: "/jobs/{job}/log", Access: by(access.JobLog), Summary: "Read the log of a job of your own project", Query: []string{"from"}, endpoint: download("text/plain", s.jobLog)},
		{Method: "GET", Path: "/jobs/{job}/outputs/{output}/preview", Access: by(access.OutputPreview), Summary: "Look at a page of an output that is still inside", Query: []string{"offset", "limit"}, endpoint: get(s.preview)},
		{Method: "GET", Path: "/jobs/{job}/usage", Access: by(access.JobRead), Summary: "Show what a job uses now", endpoint: get(s.jobUsage)},
	}
}

func (s *Server) inputText(c *call) (job.InputText, error) {
	n, err := c.pathNumber("place")
	if err != nil {
		return job.InputText{}, err
	}
	return s.Jobs.InputText(c.ctx(), c.actor(), c.path("job"), int(min(n, math.MaxInt32)))
}

func (s *Server) listJobs(c *call) (List[job.Job], error) {
	limit, err := c.limit()
	if err != nil {
		return List[job.Job]{}, err
	}
	f := job.Filter{Project: c.query("project"), Before: c.query("before"), Limit: limit}
	for _, name := range strings.FieldsFunc(c.query("state"), func(r rune) bool { return r == ',' }) {
		if !job.State(name).Valid() {
			return List[job.Job]{}, fault.New("api.jobs", fault.Invalid, "%q is not a state of a job.", clip(name))
		}
		f.States = append(f.States, job.State(name))
	}
	all, err := s.Jobs.List(c.ctx(), c.actor(), f)
	return listOf(all, nextOf(all, limit, func(j job.Job) string { return j.ID })), err
}

// nextOf is the cursor of a full page.
func nextOf[T any](page []T, limit int, id func(T) string) string {
	if len(page) < limit || len(page) == 0 {
		return ""
	}
	return id(page[len(page)-1])
}

// submitJob takes the project from the address.
func (s *Server) submitJob(c *call, in job.Submission) (job.Job, error) {
	if in.Project != "" && in.Project != c.path("project") {
		return job.Job{}, fault.New("api.jobs", fault.Invalid, "The project in the request is not the one in the address. Leave it out.")
	}
	in.Project = c.path("project")
	if key := c.r.Header.Get("Idempotency-Key"); key != "" && in.IdempotencyKey == "" {
		in.IdempotencyKey = key
	}
	return s.Jobs.Submit(c.ctx(), c.actor(), in)
}

func (s *Server) getJob(c *call) (JobPage, error) {
	j, err := s.Jobs.Get(c.ctx(), c.actor(), c.path("job"))
	if err != nil {
		return JobPage{}, err
	}
	images, err := s.imagesOf(c.ctx(), c.actor(), j)
	return JobPage{Job: j, Images: images}, err
}

func (s *Server) cancelJob(c *call, in reasonIn) (job.Job, error) {
	return s.Jobs.Cancel(c.ctx(), c.actor(), c.path("job"), in.Reason)
}

func (s *Server) approveJob(c *call, in reasonIn) (job.Job, error) {
	return s.Jobs.Approve(c.ctx(), c.actor(), c.path("job"), in.Reason)
}

func (s *Server) refuseJob(c *call, in reasonIn) (job.Job, error) {
	return s.Jobs.Refuse(c.ctx(), c.actor(), c.path("job"), in.Reason)
}

// Usage is what a job's container uses now; zero when none runs.
type Usage struct {
	CPUSeconds float64 `json:"cpu_seconds" doc:"processor time since its start"`
	Memory     int64   `json:"memory" doc:"bytes"`
	Pids       int     `json:"pids" doc:"processes and threads"`
}

func (s *Server) jobUsage(c *call) (Usage, error) {
	u, err := s.Jobs.Usage(c.ctx(), c.actor(), c.path("job"))
	return Usage{CPUSeconds: u.CPU.Seconds(), Memory: u.Memory, Pids: u.Pids}, err
}

// jobLog sends the log from a byte on to its present end. Whoever follows asks
// again when the topic job:<id> says that there is more. workspace.Attach meters
// and audits it, and refuses everybody but members.
func (s *Server) jobLog(c *call) error {
	from, err := c.number("from", 0, 0, 1<<40)
	if err != nil {
		return err
	}
	stream, err := s.Workspace.Attach(c.ctx(), c.actor(), workspace.Target{Kind: workspace.JobLog, ID: c.path("job"), From: from})
	if err != nil {
		return err
	}
	defer stream.Close()
	h := c.w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Length", strconv.FormatInt(stream.Size, 10))
	h.Set("Tresor-Log-Size", strconv.FormatInt(stream.Total, 10))
	c.w.WriteHeader(http.StatusOK)
	_, err = io.Copy(c.long(), stream)
	return err
}

// preview shows a page of an output that is still inside to a member.
func (s *Server) preview(c *call) (output.Page, error) {
	offset, limit, err := c.window()
	if err != nil {
		return output.Page{}, err
	}
	j, err := s.Jobs.Get(c.ctx(), c.actor(), c.path("job"))
	if err != nil {
		return output.Page{}, err
	}
	for _, o := range j.Outputs {
		if o.ID == c.path("output") {
			return s.Workspace.Preview(c.ctx(), c.actor(), o.ID, offset, limit)
		}
	}
	return output.Page{}, fault.New("api.preview", fault.NotFound, "This job has no such output.")
}

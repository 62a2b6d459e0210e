package api

import (
	"time"

	"tresor/app/access"
	"tresor/app/fault"
)

// System is the state of the server on one page.
type System struct {
	Name          string      `json:"name"`
	Version       string      `json:"version"`
	Demo          bool        `json:"demo"`
	Unlimited     bool        `json:"unlimited"` // jobs run although limits cannot bind
	StartedAt     time.Time   `json:"started_at"`
	Listen        string      `json:"listen"`
	TLS           TLSFacts    `json:"tls"`
	Podman        PodmanFacts `json:"podman"`
	Disk          DiskFacts   `json:"disk"`
	Queue         QueueFacts  `json:"queue"`
	Audit         AuditFacts  `json:"audit"`
	FailedSignIns int         `json:"failed_sign_ins" doc:"in the last 24 hours or since the start"`
	Checks        []Check     `json:"checks"`
}

// TLSFacts says where the certificate comes from and how long it lasts.
type TLSFacts struct {
	Mode      string     `json:"mode"`
	ExpiresAt *time.Time `json:"expires_at"`
}

// PodmanFacts says what runs the containers.
type PodmanFacts struct {
	Version     string   `json:"version"`
	Rootless    bool     `json:"rootless"`
	Storage     string   `json:"storage" doc:"storage driver"`
	Cgroups     string   `json:"cgroups" doc:"v1, v2 or hybrid"`
	Controllers []string `json:"controllers" doc:"limits that bind"`
	Reasons     []string `json:"reasons" doc:"why limits do not bind"`
	Error       string   `json:"error,omitempty" doc:"why Podman does not answer"`
}

// DiskFacts is the file system that holds the data folder, in bytes.
type DiskFacts struct {
	Free  int64 `json:"free"`
	Total int64 `json:"total"`
}

// QueueFacts counts jobs.
type QueueFacts struct {
	Waiting int `json:"waiting"`
	Running int `json:"running"`
}

// AuditFacts is the log's size and root.
type AuditFacts struct {
	Size int64  `json:"size"`
	Root string `json:"root" doc:"base64"`
}

// Check is one thing that was looked at.
type Check struct {
	Name   string     `json:"name"`
	State  CheckState `json:"state"`
	Detail string     `json:"detail"`
	Next   string     `json:"next"`
}

// CheckState says how a check came out.
type CheckState string

// The outcomes of a check.
const (
	CheckOK   CheckState = "ok"
	CheckWarn CheckState = "warn"
	CheckFail CheckState = "fail"
)

func (s *Server) systemRoutes() []Route {
	return []Route{
		{Method: "GET", Path: "/system", Access: by(access.SystemRead), Summary: "Show the state of the server", endpoint: get(s.system)},
		{Method: "GET", Path: "/metrics", Access: by(access.SystemRead), Summary: "Numbers for a monitoring system (Prometheus text format)", endpoint: download("text/plain", s.metrics)},
		{Method: "GET", Path: "/openapi.json", Access: at(Public, access.DocumentRead), Summary: "This description", endpoint: download("application/json", s.openAPI)},
		{Method: "GET", Path: "/live", Access: at(SignedIn, access.LiveRead), Summary: "Hear of changes of one topic as they happen", Query: []string{"topic!"}, Socket: true, endpoint: endpoint{status: 101, serve: s.live}},
	}
}

func (s *Server) system(c *call) (System, error) {
	if s.Facts == nil {
		return System{}, fault.New("api.system", fault.Unavailable, "The state of the server is not known in this mode.")
	}
	sys, err := s.Facts.SystemFacts(c.ctx())
	if sys.Checks == nil {
		sys.Checks = []Check{}
	}
	return sys, err
}

// openAPI serves the document that New made.
func (s *Server) openAPI(c *call) error {
	c.w.Header().Set("Content-Type", "application/json")
	_, err := c.w.Write(s.doc)
	return err
}

package api

import (
	"sort"
	"time"

	"tresor/app/access"
	"tresor/app/job"
	"tresor/app/release"
	"tresor/app/store"
)

// Home is the answer to "what needs me now".
type Home struct {
	Turn    []Turn    `json:"turn" doc:"what waits for you, oldest first"`
	Running []job.Job `json:"running" doc:"what runs or waits to run now"`
	Recent  []News    `json:"recent" doc:"what changed, newest first"`
}

// Turn is one thing that waits for the person.
type Turn struct {
	Kind         string    `json:"kind"`
	Title        string    `json:"title"`
	Project      string    `json:"project"`
	ProjectID    string    `json:"project_id"`
	Href         string    `json:"href"`
	WaitingSince time.Time `json:"waiting_since"`
	Action       string    `json:"action" doc:"what to do, in words"`
}

// News is one thing that changed.
type News struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
	Href string    `json:"href"`
}

const (
	homeRunning = 20
	homeRecent  = 12
)

func (s *Server) homeRoutes() []Route {
	return []Route{
		{Method: "GET", Path: "/home", Access: at(SignedIn, access.HomeRead), Summary: "What needs you now, what runs, what changed", endpoint: get(s.home)},
		{Method: "GET", Path: "/search", Access: at(SignedIn, access.SearchRead), Summary: "Find things by name or id", Query: []string{"q!"}, endpoint: get(s.search)},
	}
}

func (s *Server) home(c *call) (Home, error) {
	h := Home{Turn: []Turn{}, Running: []job.Job{}, Recent: []News{}}
	err := s.DB.View(c.ctx(), func(tx *store.Tx) error {
		var err error
		h.Turn, err = s.turns(tx, c.actor())
		return err
	})
	if err != nil {
		return h, err
	}
	if h.Running, err = s.Jobs.List(c.ctx(), c.actor(), job.Filter{Limit: homeRunning,
		States: []job.State{job.Approved, job.Queued, job.Preparing, job.Running, job.Collecting}}); err != nil {
		return h, err
	}
	h.Recent, err = s.recent(c)
	return h, err
}

// turns merges what waits in every package, oldest first.
func (s *Server) turns(tx *store.Tx, actor access.Actor) ([]Turn, error) {
	turns := []Turn{}
	jobs, err := s.Jobs.Waiting(tx, actor)
	if err != nil {
		return nil, err
	}
	for _, t := range jobs {
		turns = append(turns, Turn(t))
	}
	requests, err := s.Airlock.Waiting(tx, actor)
	if err != nil {
		return nil, err
	}
	for _, t := range requests {
		turns = append(turns, Turn(t))
	}
	sort.SliceStable(turns, func(i, j int) bool { return turns[i].WaitingSince.Before(turns[j].WaitingSince) })
	return turns, nil
}

// recent tells what ended lately: states only, never what was in it.
func (s *Server) recent(c *call) ([]News, error) {
	news := []News{}
	jobs, err := s.Jobs.List(c.ctx(), c.actor(), job.Filter{Limit: homeRecent,
		States: []job.State{job.Held, job.Released, job.Rejected, job.Failed, job.Cancelled, job.Refused}})
	if err != nil {
		return nil, err
	}
	for _, j := range jobs {
		news = append(news, News{At: endOf(j), Text: j.Name + " in " + j.ProjectName + " " + ended(j.State), Href: "/jobs/" + j.ID})
	}
	releases, err := s.recentReleases(c)
	if err != nil {
		return nil, err
	}
	news = append(news, releases...)
	sort.SliceStable(news, func(i, j int) bool { return news[i].At.After(news[j].At) })
	return news[:min(len(news), homeRecent)], nil
}

func endOf(j job.Job) time.Time {
	for _, at := range []*time.Time{j.FinishedAt, j.HeldAt, j.StartedAt} {
		if at != nil {
			return *at
		}
	}
	return j.CreatedAt
}

func ended(st job.State) string {
	switch st {
	case job.Held:
		return "has outputs that wait inside"
	case job.Failed:
		return "failed"
	}
	return "was " + string(st)
}

func (s *Server) recentReleases(c *call) ([]News, error) {
	if !access.Anywhere(c.actor(), access.ReleaseRead) {
		return nil, nil
	}
	all, err := s.Releases.List(c.ctx(), c.actor(), release.Filter{Limit: homeRecent})
	news := make([]News, len(all))
	for i, r := range all {
		news[i] = News{At: r.MadeAt, Text: r.Title + " can be downloaded", Href: "/releases/" + r.ID}
	}
	return news, err
}

package api

import (
	"strings"

	"tresor/app/access"
	"tresor/app/airlock"
	"tresor/app/fault"
	"tresor/app/job"
)

// Hit is one thing that a search found.
type Hit struct {
	Kind  string `json:"kind" doc:"project, dataset, job, airlock, release, person or image"`
	Title string `json:"title"`
	Href  string `json:"href" doc:"page of the thing"`
	Sub   string `json:"sub" doc:"what tells it from others of the same name"`
}

const (
	searchShortest = 2
	searchLongest  = 200
	searchPerKind  = 8
	searchAmong    = 500 // newest jobs that are looked through
)

// search looks through names and ids of what the actor may see. Each source asks
// access by itself, so a search never finds what a list would not show.
func (s *Server) search(c *call) (List[Hit], error) {
	q := strings.ToLower(strings.TrimSpace(c.query("q")))
	if n := len([]rune(q)); n > searchLongest {
		return List[Hit]{}, fault.New("api.search", fault.Invalid, "Look for at most %d characters.", searchLongest)
	} else if n < searchShortest {
		return listOf[Hit](nil, ""), nil
	}
	var hits []Hit
	for _, source := range []func(*call) ([]Hit, error){s.findProjects, s.findDatasets, s.findJobs, s.findRequests, s.findPeople} {
		found, err := source(c)
		if err != nil && fault.KindOf(err) != fault.Denied {
			return List[Hit]{}, err
		}
		hits = append(hits, matching(found, q)...)
	}
	return listOf(hits, ""), nil
}

// matching keeps hits whose title, sub or id holds every word.
func matching(all []Hit, q string) []Hit {
	var out []Hit
	for _, h := range all {
		text := strings.ToLower(h.Title + " " + h.Sub + " " + h.Href)
		ok := true
		for _, word := range strings.Fields(q) {
			ok = ok && strings.Contains(text, word)
		}
		if ok && len(out) < searchPerKind {
			out = append(out, h)
		}
	}
	return out
}

func (s *Server) findProjects(c *call) ([]Hit, error) {
	all, err := s.Projects.List(c.ctx(), c.actor())
	return hitsOf(all, func(i int) Hit {
		return Hit{Kind: "project", Title: all[i].Name, Href: "/projects/" + all[i].ID, Sub: all[i].Slug}
	}), err
}

func (s *Server) findDatasets(c *call) ([]Hit, error) {
	if !access.Anywhere(c.actor(), access.DatasetRead) {
		return nil, nil
	}
	all, err := s.Datasets.List(c.ctx(), c.actor())
	return hitsOf(all, func(i int) Hit {
		return Hit{Kind: "dataset", Title: all[i].Name, Href: "/datasets/" + all[i].ID, Sub: all[i].Slug}
	}), err
}

func (s *Server) findJobs(c *call) ([]Hit, error) {
	all, err := s.Jobs.List(c.ctx(), c.actor(), job.Filter{Limit: searchAmong})
	return hitsOf(all, func(i int) Hit {
		return Hit{Kind: "job", Title: all[i].Name, Href: "/jobs/" + all[i].ID, Sub: all[i].ProjectName + ", " + string(all[i].State)}
	}), err
}

func (s *Server) findRequests(c *call) ([]Hit, error) {
	if !access.Anywhere(c.actor(), access.AirlockRead) {
		return nil, nil
	}
	all, err := s.Airlock.List(c.ctx(), c.actor(), airlock.Filter{Limit: searchAmong})
	return hitsOf(all, func(i int) Hit {
		return Hit{Kind: "airlock", Title: all[i].Title, Href: "/airlock/" + all[i].ID, Sub: all[i].ProjectName + ", " + string(all[i].State)}
	}), err
}

func (s *Server) findPeople(c *call) ([]Hit, error) {
	if !access.Anywhere(c.actor(), access.PersonRead) {
		return nil, nil
	}
	all, err := s.Identity.People(c.ctx(), c.actor())
	return hitsOf(all, func(i int) Hit {
		return Hit{Kind: "person", Title: all[i].Name, Href: "/people/" + all[i].ID, Sub: all[i].Handle}
	}), err
}

func hitsOf[T any](all []T, hit func(i int) Hit) []Hit {
	out := make([]Hit, len(all))
	for i := range all {
		out[i] = hit(i)
	}
	return out
}

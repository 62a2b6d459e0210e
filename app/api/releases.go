package api

import (
	"io"
	"net/http"
	"strconv"
	"time"

	"tresor/app/access"
	"tresor/app/release"
)

func (s *Server) releaseRoutes() []Route {
	return []Route{
		{Method: "GET", Path: "/releases", Access: by(access.ReleaseRead), Summary: "List releases, newest first", Query: []string{"project", "before", "limit"}, endpoint: get(s.listReleases)},
		{Method: "GET", Path: "/releases/{release}", Access: by(access.ReleaseRead), Summary: "Show a release with its files and hashes", endpoint: get(s.getRelease)},
		{Method: "GET", Path: "/releases/{release}/download", Access: by(access.ReleaseOpen), Summary: "Download a release", endpoint: download("application/zip", s.downloadRelease)},
	}
}

func (s *Server) listReleases(c *call) (List[release.Release], error) {
	limit, err := c.limit()
	if err != nil {
		return List[release.Release]{}, err
	}
	all, err := s.Releases.List(c.ctx(), c.actor(), release.Filter{Project: c.query("project"), Before: c.query("before"), Limit: limit})
	return listOf(all, nextOf(all, limit, func(r release.Release) string { return r.ID })), err
}

func (s *Server) getRelease(c *call) (release.Release, error) {
	return s.Releases.Get(c.ctx(), c.actor(), c.path("release"))
}

// downloadRelease is the only way out of the API for bytes of data, and
// release.Open is the only thing that it can hand out. Each opening is audited,
// a HEAD is none.
func (s *Server) downloadRelease(c *call) error {
	if c.r.Method == http.MethodHead {
		r, err := s.Releases.Get(c.ctx(), c.actor(), c.path("release"))
		if err == nil {
			err = describeRelease(c.w.Header(), r)
		}
		c.w.Header().Set("Content-Length", strconv.FormatInt(r.Size, 10))
		return err
	}
	f, r, err := s.Releases.Open(c.ctx(), c.actor(), c.path("release"))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := describeRelease(c.w.Header(), r); err != nil {
		return err
	}
	sendFile(c, f)
	return nil
}

func describeRelease(h http.Header, r release.Release) error {
	return release.Describe(h, "application/zip", "release-"+r.ID+".zip", r.SHA256)
}

// sendFile gives out a file that Describe described, or parts of it.
func sendFile(c *call, f io.ReadSeeker) {
	http.ServeContent(&longAnswer{recorder: c.w, eager: c.long()}, c.r, "", time.Time{}, f)
}

// longAnswer gives an answer of many gigabytes a deadline between writes.
type longAnswer struct {
	*recorder
	eager *eager
}

func (l *longAnswer) Write(b []byte) (int, error) { return l.eager.Write(b) }

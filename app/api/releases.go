package api

import (
	"encoding/base64"
	"encoding/hex"
	"mime"
	"net/http"
	"strconv"
	"time"

	"tresor/app/access"
	"tresor/app/fault"
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
	http.ServeContent(&longAnswer{recorder: c.w, eager: c.long()}, c.r, "", time.Time{}, f)
	return nil
}

// describeRelease says what the bytes are and what they hash to (RFC 9530).
func describeRelease(h http.Header, r release.Release) error {
	sum, err := hex.DecodeString(r.SHA256)
	if err != nil {
		return fault.Wrap("api.download", err)
	}
	h.Set("Accept-Ranges", "bytes")
	h.Set("Content-Type", "application/zip")
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": "release-" + r.ID + ".zip"}))
	h.Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum)+":")
	h.Set("ETag", `"`+r.SHA256+`"`)
	return nil
}

// longAnswer gives an answer of many gigabytes a deadline between writes.
type longAnswer struct {
	*recorder
	eager *eager
}

func (l *longAnswer) Write(b []byte) (int, error) { return l.eager.Write(b) }

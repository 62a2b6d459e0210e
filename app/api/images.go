package api

import (
	"net/http"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/image"
)

func (s *Server) imageRoutes() []Route {
	return []Route{
		{Method: "GET", Path: "/images", Access: by(access.ImageRead), Summary: "List the container images", endpoint: get(s.listImages)},
		{Method: "POST", Path: "/images", Access: by(access.ImageImport), Summary: "Import an OCI or docker archive; it runs only after it was approved", Query: []string{"ref"}, Max: s.Intake.Image, endpoint: upload(Stream, s.importImage)},
		{Method: "POST", Path: "/images/{digest}/approve", Access: by(access.ImageApprove), Summary: "Allow jobs to run an image with exactly this digest", Need: "reason", endpoint: slowly(post(s.approveImage))},
		{Method: "POST", Path: "/images/{digest}/revoke", Access: by(access.ImageRevoke), Summary: "Stop new jobs from using an image", Need: "reason", endpoint: post(s.revokeImage)},
	}
}

type reasonIn struct {
	Reason string `json:"reason" doc:"why; recorded in the audit log"`
}

func (s *Server) listImages(c *call) (List[image.Image], error) {
	all, err := s.Images.List(c.ctx(), c.actor())
	return listOf(all, ""), err
}

// importImage hands the body on as it comes in.
func (s *Server) importImage(c *call) (image.Image, error) {
	if c.r.ContentLength == 0 {
		return image.Image{}, refuse(http.StatusBadRequest, fault.Invalid.String(), fault.Invalid, "No archive was sent. Send an OCI or docker archive as the body.")
	}
	tell, size := s.progress("image"), max(c.r.ContentLength, 0)
	return s.Images.Import(c.ctx(), c.actor(), c.r.Body, c.query("ref"), func(done, total int64) { tell(done, max(total, size)) })
}

func (s *Server) approveImage(c *call, in reasonIn) (image.Image, error) {
	return s.Images.Approve(c.ctx(), c.actor(), c.path("digest"), in.Reason, s.progress("image"))
}

func (s *Server) revokeImage(c *call, in reasonIn) (image.Image, error) {
	return s.Images.Revoke(c.ctx(), c.actor(), c.path("digest"), in.Reason)
}

package release

import (
	"encoding/base64"
	"encoding/hex"
	"mime"
	"net/http"

	"tresor/app/fault"
)

// Describe says in the headers of an answer what released bytes are, what they hash
// to (RFC 9530), and that parts of them may be asked for (RFC 9110, section 14).
// sha256 is hexadecimal, or empty where no hash is known; anything else is an error and
// sets nothing.
func Describe(h http.Header, media, name, sha256 string) error {
	sum, err := hex.DecodeString(sha256)
	if err != nil {
		return fault.Wrap("release.Describe", err)
	}
	h.Set("Accept-Ranges", "bytes")
	h.Set("Content-Type", media)
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	if sha256 != "" {
		h.Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum)+":")
		h.Set("ETag", `"`+sha256+`"`)
	}
	return nil
}

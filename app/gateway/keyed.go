package gateway

import (
	"net/http"
	"strings"

	"github.com/minio/minio-go/v7/pkg/signer"
)

// emptySHA256 is the hash of no bytes, which a signed GET has as its body.
const emptySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// keyed puts a source's credential on requests to that source, and on no others: the
// client above it never holds it, so it follows no redirect by itself.
type keyed struct {
	next http.RoundTripper
	src  Source
	key  Credential
}

// RoundTrip implements http.RoundTripper.
func (k keyed) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Response != nil { // after a redirect; the first address is one that we made of the source's own
		u, err := plainURL(r.URL.String())
		if err != nil || !(Source{Prefix: k.src.reach()}).covers(u) {
			return k.next.RoundTrip(r)
		}
	}
	return k.next.RoundTrip(k.key.on(r.Clone(r.Context())))
}

// on puts the credential on the request.
func (c Credential) on(r *http.Request) *http.Request {
	switch {
	case c.AccessKey != "":
		region := c.Region
		if region == "" {
			region = defaultRegion
		}
		r.Host = strings.TrimSuffix(r.URL.Host, ":443") // what is signed is what servers and the proxies before them see
		r.Header.Set("X-Amz-Content-Sha256", emptySHA256)
		return signer.SignV4(*r, c.AccessKey, c.SecretKey, "", region)
	case c.Token != "":
		r.Header.Set("Authorization", "Bearer "+c.Token)
	default:
		r.SetBasicAuth(c.User, c.Password)
	}
	return r
}

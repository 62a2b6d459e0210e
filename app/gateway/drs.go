package gateway

import (
	"context"
	"encoding/json"
	"io"
	"net/url"
	"strings"

	"tresor/app/fault"
)

// drsObjects is where a GA4GH DRS 1.x service keeps the descriptions of its objects.
const drsObjects = "/ga4gh/drs/v1/objects/"

// mostWays is how many ways to an object are tried.
const mostWays = 10

// drsObject is what we need of a GA4GH DRS object.
type drsObject struct {
	Checksums []struct {
		Type     string `json:"type"`
		Checksum string `json:"checksum"`
	} `json:"checksums"`
	AccessMethods []drsWay `json:"access_methods"`
}

// drsWay is one way to the bytes: their address, or an id by which the service says it.
type drsWay struct {
	Type      string `json:"type"`
	AccessID  string `json:"access_id"`
	AccessURL struct {
		URL string `json:"url"`
	} `json:"access_url"`
}

// drs asks the entry's endpoint where the object is. The place has to be on the
// allow-list itself, or below an endpoint of it when it is s3://.
func (f *fetcher) drs(ctx context.Context, src Source, u *url.URL) (at *url.URL, sum string, err error) {
	id := url.PathEscape(strings.TrimPrefix(u.Path, "/"))
	var o drsObject
	if err := f.describe(ctx, u, src.Endpoint+drsObjects+id, &o); err != nil {
		return nil, "", err
	}
	for i, way := range o.AccessMethods {
		if i == mostWays {
			break
		}
		to := way.AccessURL.URL
		if to == "" && way.AccessID != "" {
			var answer struct {
				URL string `json:"url"`
			}
			if f.describe(ctx, u, src.Endpoint+drsObjects+id+"/access/"+url.PathEscape(way.AccessID), &answer) != nil {
				continue // another way may be open
			}
			to = answer.URL
		}
		if at := f.bytesAt(to); at != nil {
			return at, o.sha256(), nil
		}
	}
	return nil, "", sourceRefused(u.String())
}

// bytesAt is the https:// address of a place on the list; nil for any other.
func (f *fetcher) bytesAt(raw string) *url.URL {
	to, err := plainURL(raw)
	if err != nil {
		return nil
	}
	src, err := f.covering(to)
	switch {
	case err != nil:
	case src.Kind == SourceHTTPS:
		return to
	case src.Kind == SourceS3:
		if at, err := src.object(to); err == nil {
			return at
		}
	}
	return nil
}

// sha256 is the hash that the description promises; empty: none.
func (o drsObject) sha256() string {
	for _, c := range o.Checksums {
		if t := strings.ToLower(c.Type); t == "sha-256" || t == "sha256" {
			return strings.ToLower(c.Checksum)
		}
	}
	return ""
}

// describe reads a JSON answer of a DRS service.
func (f *fetcher) describe(ctx context.Context, u *url.URL, address string, into any) error {
	at, err := url.Parse(address)
	if err != nil {
		return sourceRefused(u.String())
	}
	resp, err := f.get(ctx, at)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, mostMeta)).Decode(into); err != nil {
		return unreachable(u.String(), err)
	}
	return nil
}

func otherBytes(raw string) error {
	return refuse(CodeMalformed, fault.Invalid, "Ask who keeps the object, or name another one.", "The file at %s is not the one that its description promises: its SHA-256 is another.", quoted(shown(raw)))
}

package gateway

import (
	"context"
	"encoding/json"
	"io"
	"net/url"
	"strings"
)

// drsObjects is where a GA4GH DRS 1.x service keeps the descriptions of its objects.
const drsObjects = "/ga4gh/drs/v1/objects/"

const (
	mostWays = 10      // ways to an object that are tried
	mostMeta = 1 << 20 // bytes of a description
)

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
// allow-list itself, with a credential of its own if it wants one, and below an
// endpoint of it when it is s3://.
func (f *fetcher) drs(ctx context.Context, from spot) (spot, error) {
	about := from.src.Endpoint + drsObjects + url.PathEscape(strings.TrimPrefix(from.at.Path, "/"))
	var o drsObject
	if err := f.describe(ctx, from, about, &o); err != nil {
		return spot{}, err
	}
	closed := sourceRefused(from.raw)
	for i, way := range o.AccessMethods {
		if i == mostWays {
			break
		}
		to := way.AccessURL.URL
		if to == "" && way.AccessID != "" {
			var answer struct {
				URL string `json:"url"`
			}
			if err := f.describe(ctx, from, about+"/access/"+url.PathEscape(way.AccessID), &answer); err != nil {
				closed = err // another way may be open
				continue
			}
			to = answer.URL
		}
		if at, ok := f.bytesAt(to); ok {
			at.raw, at.sum = from.raw, o.sha256()
			return at, nil
		}
	}
	return spot{}, closed
}

// bytesAt finds a place of the list, if it is one of https:// or s3://.
func (f *fetcher) bytesAt(raw string) (to spot, ok bool) {
	u, err := plainURL(raw)
	if err != nil {
		return to, false
	}
	src, err := f.covering(u)
	switch {
	case err != nil:
	case src.Kind == SourceHTTPS:
		return spot{src: src, at: u}, true
	case src.Kind == SourceS3:
		at, err := src.object(u)
		return spot{src: src, at: at}, err == nil
	}
	return to, false
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
func (f *fetcher) describe(ctx context.Context, about spot, address string, into any) (err error) {
	if about.at, err = url.Parse(address); err != nil {
		return sourceRefused(about.raw)
	}
	resp, err := f.get(ctx, about)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, mostMeta)).Decode(into); err != nil {
		return unreachable(about.raw, err)
	}
	return nil
}

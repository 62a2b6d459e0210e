package gateway

import (
	"context"
	"encoding/xml"
	"io"
	"net/url"
	"path"
	"strconv"
	"strings"

	"github.com/minio/minio-go/v7/pkg/s3utils"

	"tresor/app/fault"
	"tresor/app/job"
)

const (
	mostListed = 200     // files of one folder of a bucket
	maxListing = 1 << 20 // bytes of their list
)

// listing is what we need of an answer to ListObjectsV2 of S3.
type listing struct {
	XMLName      xml.Name `xml:"ListBucketResult"`
	EncodingType string
	IsTruncated  bool
	Contents     []struct{ Key string }
}

// files finds what lies below a folder of a bucket: each file is an input of its own, so
// that the approver sees each with its hash.
func (f *fetcher) files(ctx context.Context, p job.Place) ([]job.Place, error) {
	src, err := f.allowed(p.Origin)
	if err != nil {
		return nil, err
	}
	u, err := plainURL(p.Origin)
	if err != nil {
		return nil, sourceRefused(p.Origin)
	}
	at, err := url.Parse(src.Endpoint)
	if err != nil {
		return nil, sourceRefused(p.Origin)
	}
	at.Path += "/" + u.Host
	at.RawPath = s3utils.EncodePath(at.Path)
	at.RawQuery = url.Values{"list-type": {"2"}, "encoding-type": {"url"}, "max-keys": {strconv.Itoa(mostListed + 1)}, "prefix": {strings.TrimPrefix(u.Path, "/")}}.Encode()
	resp, err := f.get(ctx, spot{raw: p.Origin, src: src, at: at})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var l listing
	if err := xml.NewDecoder(io.LimitReader(resp.Body, maxListing)).Decode(&l); err != nil {
		return nil, unreachable(p.Origin, err)
	}
	return l.below(p, u)
}

// below makes inputs of the names in a list. Names are a stranger's: each has to lie in
// the folder that was asked for, and be a path.
func (l listing) below(p job.Place, u *url.URL) ([]job.Place, error) {
	var list []job.Place
	for _, c := range l.Contents {
		key, err := c.Key, error(nil)
		if l.EncodingType == "url" {
			key, err = url.QueryUnescape(key)
		}
		rest, inside := strings.CutPrefix("/"+key, u.Path)
		switch {
		case err != nil || !inside:
			return nil, malformed("The source of the folder %s lists names that do not lie in it.", quoted(shown(p.Origin)))
		case rest == "" || strings.HasSuffix(rest, "/"):
			continue // stands for a folder
		case path.Clean("/"+rest) != "/"+rest || strings.Contains(rest, `\`):
			return nil, malformed("The folder %s holds an object whose name is not a path: %s.", quoted(shown(p.Origin)), quoted(rest))
		}
		list = append(list, job.Place{Path: strings.TrimSuffix(p.Path, "/") + "/" + rest, Origin: (&url.URL{Scheme: SourceS3, Host: u.Host, Path: "/" + key}).String()})
	}
	switch {
	case l.IsTruncated || len(list) > mostListed:
		return nil, refuse(CodeTooLarge, fault.Invalid, "Name the files one by one or a smaller folder, or ask a data steward to register it as a dataset.", "The folder %s holds more than %d files.", quoted(shown(p.Origin)), mostListed)
	case len(list) == 0:
		return nil, malformed("There is no file in the folder %s.", quoted(shown(p.Origin)))
	}
	return list, nil
}

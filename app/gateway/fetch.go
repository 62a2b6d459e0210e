package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/minio/minio-go/v7/pkg/s3utils"
)

const mostRedirects = 5

// fetcher reaches the addresses of one allow-list and no others.
type fetcher struct {
	s       *Service
	sources []Source
	plugin  string // whose list; empty: inputs of jobs
	left    int64  // bytes that may still be fetched
	kept    int    // MiB in the vault, each file rounded up
}

func (s *Service) fetcher(all []Source, plugin string) *fetcher {
	f := &fetcher{s: s, plugin: plugin, left: mostSum * s.Fetch.MaxSize}
	for _, src := range all {
		if src.Plugin == plugin {
			f.sources = append(f.sources, src)
		}
	}
	return f
}

// allowed finds the entry that covers an address.
func (f *fetcher) allowed(raw string) (Source, error) {
	u, err := plainURL(raw)
	if err != nil {
		return Source{}, sourceRefused(raw)
	}
	return f.covering(u)
}

// covering finds the entry for an address: of several the narrowest, because an
// operator who lists a folder of a source once more gives it a credential of its own.
func (f *fetcher) covering(u *url.URL) (found Source, err error) {
	for _, src := range f.sources {
		if src.covers(u) && len(src.Prefix) > len(found.Prefix) {
			found = src
		}
	}
	if found.Prefix == "" {
		return Source{}, sourceRefused(u.String())
	}
	return found, nil
}

// spot is where the bytes of an address lie.
type spot struct {
	raw string   // as the task names it
	src Source   // whose credential goes there
	at  *url.URL // https://
	sum string   // SHA-256 that a description promises; empty: none
}

// resolve finds the https:// address: that of s3:// and drs:// is below the entry's
// endpoint, or where a description says.
func (f *fetcher) resolve(ctx context.Context, raw string) (spot, error) {
	src, err := f.allowed(raw)
	if err != nil {
		return spot{}, err
	}
	u, err := plainURL(raw)
	if err != nil {
		return spot{}, sourceRefused(raw)
	}
	to := spot{raw: raw, src: src, at: u}
	switch src.Kind {
	case SourceS3:
		to.at, err = src.object(u)
	case SourceDRS:
		return f.drs(ctx, to)
	}
	return to, err
}

// object is the address of an object of a bucket, in the form that has the bucket in
// its path and writes every sign as servers do who check a signature.
func (src Source) object(u *url.URL) (*url.URL, error) {
	if strings.HasSuffix(u.Path, "/") || u.Path == "" {
		return nil, malformed("The address %s names a bucket or a folder of one, and not a file.", quoted(shown(u.String())))
	}
	if !utf8.ValidString(u.Path) {
		return nil, malformed("The address %s is not UTF-8, as names in s3:// are.", quoted(shown(u.String())))
	}
	at, err := url.Parse(src.Endpoint)
	if err != nil {
		return nil, sourceRefused(u.String())
	}
	at.Path += "/" + u.Host + u.Path
	at.RawPath = s3utils.EncodePath(at.Path)
	return at, nil
}

// get asks for the bytes.
func (f *fetcher) get(ctx context.Context, to spot) (*http.Response, error) {
	client, err := f.client(to.src)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to.at.String(), nil)
	if err != nil {
		return nil, unreachable(to.raw, err)
	}
	req.Header.Set("User-Agent", "tresor")
	req.Header.Set("Accept-Encoding", "identity") // the hash is of the file, not of a packed form of it
	resp, err := client.Do(req)
	if err != nil {
		return nil, failed(to.raw, err)
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return nil, to.answered(resp)
	}
	return resp, nil
}

// failed says why there was no answer.
func failed(raw string, err error) error {
	var r *refusal
	if errors.As(err, &r) {
		return r
	}
	for u := (*url.Error)(nil); errors.As(err, &u); { // its text has the whole address, and a secret may be in it
		err = u.Err
	}
	return unreachable(raw, err)
}

// client goes with the credential of src, if it has one, and follows redirects within
// the allow-list only. It says to nobody where it comes from, and to another host
// nothing that was meant for the first one.
func (f *fetcher) client(src Source) (*http.Client, error) {
	key, err := f.s.credential(src)
	if err != nil {
		return nil, err
	}
	transport := f.transport()
	if key != nil {
		transport = keyed{next: transport, src: src, key: *key}
	}
	return &http.Client{Transport: transport, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		if len(via) > mostRedirects {
			return errors.New("too many redirects")
		}
		u, err := plainURL(req.URL.String())
		if err != nil || u.Scheme != SourceHTTPS {
			return sourceRefused(req.URL.String())
		}
		req.Header.Del("Referer")
		if first := via[0].URL; !strings.EqualFold(first.Host, u.Host) {
			req.Header = http.Header{"User-Agent": req.Header["User-Agent"], "Accept-Encoding": req.Header["Accept-Encoding"]}
		}
		_, err = f.endpointOrCovered(u)
		return err
	}}, nil
}

// reach is the https:// address below which an entry's files or descriptions lie. The
// rest of an endpoint is nobody's business: it may hold other buckets.
func (src Source) reach() string {
	switch src.Kind {
	case SourceS3:
		return src.Endpoint + "/" + strings.TrimPrefix(src.Prefix, SourceS3+"://")
	case SourceDRS:
		return src.Endpoint + drsObjects
	}
	return src.Prefix
}

// endpointOrCovered allows what the list covers and what an entry's endpoint holds of it.
func (f *fetcher) endpointOrCovered(u *url.URL) (Source, error) {
	for _, src := range f.sources {
		if src.Endpoint == "" {
			continue
		}
		if (Source{Prefix: src.reach()}).covers(u) {
			return src, nil
		}
	}
	return f.covering(u)
}

// transport verifies TLS and connects to public addresses only, except for hosts
// that the operator named on the list as private.
func (f *fetcher) transport() http.RoundTripper {
	if f.s.Fetch.Transport != nil {
		return f.s.Fetch.Transport
	}
	proxies := &seenProxies{choose: f.s.Fetch.Proxy}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		return f.dial(ctx, network, address, proxies.has(address))
	}
	return &http.Transport{Proxy: proxies.of, DialContext: dial, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: f.s.Fetch.Roots}, DisableCompression: true,
		DisableKeepAlives: true, TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: 30 * time.Second, MaxResponseHeaderBytes: 64 << 10}
}

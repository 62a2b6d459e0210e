package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"tresor/app/fault"
	"tresor/app/job"
)

const (
	mostRedirects = 5
	mostMeta      = 1 << 20 // bytes of a DRS object's description
)

// fetcher reaches the addresses of one allow-list and no others.
type fetcher struct {
	s       *Service
	sources []Source
	plugin  string // whose list; empty: inputs of jobs
}

func (s *Service) fetcher(all []Source, plugin string) *fetcher {
	f := &fetcher{s: s, plugin: plugin}
	for _, src := range all {
		if src.Plugin == plugin {
			f.sources = append(f.sources, src)
		}
	}
	return f
}

func sourceRefused(raw string) error {
	return refuse(CodeSource, fault.Denied, "Use a dataset (tresor://dataset/…) or the project's own files (file:///project/…), or ask the operator to allow the source.",
		"The address %s is not one that this server fetches from.", quoted(shown(raw)))
}

// fetchedInside refuses a program inside: it has read data, and an address that it
// chooses would carry them out to whoever reads that server's log.
func fetchedInside() error {
	return refuse(CodeSource, fault.Denied, "Ask a data steward to register the file as a dataset, or have it sent with the task from outside.",
		"A program inside cannot have this server fetch anything from outside.")
}

// shown is an address without what may be a secret in it.
func shown(raw string) string {
	at, query, has := strings.Cut(raw, "?")
	if scheme, rest, ok := strings.Cut(at, "://"); ok {
		host, path, slash := strings.Cut(rest, "/")
		host = host[strings.LastIndex(host, "@")+1:]
		if at = scheme + "://" + host; slash {
			at += "/" + path
		}
	}
	if has && query != "" {
		return at + "?…"
	}
	return at
}

// allowed finds the entry that covers an address, and the address itself.
func (f *fetcher) allowed(raw string) (Source, error) {
	u, err := plainURL(raw)
	if err != nil {
		return Source{}, sourceRefused(raw)
	}
	return f.covering(u)
}

func (f *fetcher) covering(u *url.URL) (Source, error) {
	for _, src := range f.sources {
		if src.covers(u) {
			return src, nil
		}
	}
	return Source{}, sourceRefused(u.String())
}

// place fetches the input's bytes into the vault and pins them by their hash.
func (f *fetcher) place(ctx context.Context, p *job.Place) error {
	raw := p.Origin
	u, sum, err := f.resolve(ctx, raw)
	if err != nil {
		return err
	}
	resp, err := f.get(ctx, u)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	max := f.s.Fetch.MaxSize
	if resp.ContentLength > max {
		return tooLarge(raw, max)
	}
	blob, err := f.s.Vault.Put(ctx, resp.Body, max)
	switch {
	case fault.KindOf(err) == fault.Exhausted && !errors.Is(err, syscall.ENOSPC):
		return tooLarge(raw, max)
	case err != nil && ctx.Err() != nil:
		return unreachable(raw, ctx.Err())
	case err != nil:
		return unreachable(raw, err)
	case resp.ContentLength >= 0 && blob.Size != resp.ContentLength:
		return unreachable(raw, io.ErrUnexpectedEOF)
	case sum != "" && blob.SHA256 != sum:
		return otherBytes(raw)
	}
	p.Origin, p.SHA256, p.Size = shown(raw), blob.SHA256, blob.Size
	return nil
}

func tooLarge(raw string, max int64) error {
	return refuse(CodeTooLarge, fault.Invalid, "Ask a data steward to register it as a dataset.", "The file at %s is larger than the %d MB that this server fetches.", quoted(shown(raw)), max>>20)
}

func unreachable(raw string, cause error) error {
	return &refusal{code: CodeUnavailable, err: fault.WithNext(fault.Kinded("gateway.fetch", fault.Unavailable, cause, "The file at %s could not be fetched.", quoted(shown(raw))),
		"Check the address, and try again later.")}
}

// resolve turns s3:// and drs:// into the https:// address of the entry's endpoint.
// sum is the hash that a description promises; empty: none.
func (f *fetcher) resolve(ctx context.Context, raw string) (at *url.URL, sum string, err error) {
	src, err := f.allowed(raw)
	if err != nil {
		return nil, "", err
	}
	u, err := plainURL(raw)
	if err != nil {
		return nil, "", sourceRefused(raw)
	}
	switch src.Kind {
	case SourceS3:
		at, err = src.object(u)
		return at, "", err
	case SourceDRS:
		return f.drs(ctx, src, u)
	}
	return u, "", nil
}

// object is the address of an object of a bucket, in the form that has the bucket in
// its path.
func (src Source) object(u *url.URL) (*url.URL, error) {
	return url.Parse(src.Endpoint + "/" + u.Host + u.EscapedPath())
}

// get opens an https:// address that the list allows, or an endpoint of it.
func (f *fetcher) get(ctx context.Context, u *url.URL) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, unreachable(u.String(), err)
	}
	req.Header.Set("User-Agent", "tresor")
	resp, err := f.client().Do(req)
	if err != nil {
		var r *refusal
		if errors.As(err, &r) {
			return nil, r
		}
		return nil, unreachable(u.String(), err)
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		return nil, unreachable(u.String(), fmt.Errorf("status %d", resp.StatusCode))
	}
	return resp, nil
}

// client follows redirects within the allow-list only.
func (f *fetcher) client() *http.Client {
	return &http.Client{Transport: f.transport(), CheckRedirect: func(req *http.Request, via []*http.Request) error {
		if len(via) > mostRedirects {
			return errors.New("too many redirects")
		}
		u, err := plainURL(req.URL.String())
		if err != nil || u.Scheme != SourceHTTPS {
			return sourceRefused(req.URL.String())
		}
		_, err = f.endpointOrCovered(u)
		return err
	}}
}

// reach is where below its endpoint an entry's files or descriptions lie. The rest of
// the endpoint is nobody's business: it may hold other buckets.
func (src Source) reach() string {
	if src.Kind == SourceS3 {
		return src.Endpoint + "/" + strings.TrimPrefix(src.Prefix, SourceS3+"://")
	}
	return src.Endpoint + drsObjects
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
		return f.dialPublic(ctx, network, address, proxies.has(address))
	}
	return &http.Transport{Proxy: proxies.of, DialContext: dial, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, DisableCompression: true,
		DisableKeepAlives: true, TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: 30 * time.Second, MaxResponseHeaderBytes: 64 << 10}
}

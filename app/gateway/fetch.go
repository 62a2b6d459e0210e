package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/minio/minio-go/v7/pkg/s3utils"
	"golang.org/x/time/rate"

	"tresor/app/fault"
	"tresor/app/job"
)

const (
	mostRedirects = 5
	mostSum       = 4       // times the size of one file: all files of a task together
	mostMeta      = 1 << 20 // bytes of a DRS object's description
)

// vain bounds, in MiB, what a caller may have fetched for requests that are refused
// after it: those bytes stay in the vault, and no quota of tasks counts them.
const vainBurst = 20 << 10

var vainEvery = rate.Every(24 * time.Hour / vainBurst)

func fromOutside(p job.Place) bool { return p.Origin != "" }

// fetch gets the bytes of the places that lie outside.
func (s *Service) fetch(ctx context.Context, o *order, list []job.Place) error {
	if o.p.kind == Inside { // an address is words of a program that has read data
		return fetchedInside()
	}
	if err := s.room(o.p); err != nil { // nothing is fetched for a task that is refused
		return err
	}
	if s.vain.dry(o.p.key, s.Now()) {
		return refuse(CodeQuota, fault.Exhausted, "Wait an hour, and send tasks whose inputs are all there.", "Too much was fetched for requests of yours that were then refused.")
	}
	sources, err := s.sources(ctx)
	if err != nil {
		return err
	}
	f := s.fetcher(sources, "")
	for _, p := range list { // all of them first, for the same reason
		if fromOutside(p) {
			if _, err := f.allowed(p.Origin); err != nil {
				return err
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, s.Fetch.Timeout)
	defer cancel()
	for i := range list {
		if fromOutside(list[i]) {
			err := f.place(ctx, &list[i])
			o.fetched = f.kept
			if err != nil {
				return err
			}
		}
	}
	return nil
}

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
	raw, _, _ = strings.Cut(raw, "#")
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

// place fetches the input's bytes into the vault and pins them by their hash.
func (f *fetcher) place(ctx context.Context, p *job.Place) error {
	raw := p.Origin
	to, err := f.resolve(ctx, raw)
	if err != nil {
		return err
	}
	resp, err := f.get(ctx, to)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	max := min(f.s.Fetch.MaxSize, f.left)
	switch {
	case resp.ContentLength > max:
		return tooLarge(raw, max)
	case resp.ContentLength < 0 && len(resp.TransferEncoding) == 0: // a connection that was cut looks like the end
		return unreachable(raw, errors.New("neither a length nor chunks: the end of the file would be a guess"))
	}
	blob, err := f.s.Vault.Put(ctx, resp.Body, max)
	if f.left -= blob.Size; err == nil {
		f.kept += 1 + int(blob.Size>>20)
	}
	switch {
	case fault.KindOf(err) == fault.Exhausted && !errors.Is(err, syscall.ENOSPC):
		return tooLarge(raw, max)
	case err != nil && ctx.Err() != nil:
		return unreachable(raw, ctx.Err())
	case err != nil:
		return unreachable(raw, err)
	case resp.ContentLength >= 0 && blob.Size != resp.ContentLength:
		return unreachable(raw, io.ErrUnexpectedEOF)
	case to.sum != "" && blob.SHA256 != to.sum:
		return otherBytes(raw)
	}
	p.Origin, p.SHA256, p.Size = shown(raw), blob.SHA256, blob.Size
	return nil
}

func tooLarge(raw string, max int64) error {
	return refuse(CodeTooLarge, fault.Invalid, "Ask a data steward to register it as a dataset.", "The file at %s is larger than %d MB, which is all that may still be fetched for this request.", quoted(shown(raw)), max>>20)
}

func unreachable(raw string, cause error) error {
	return &refusal{code: CodeUnavailable, err: fault.WithNext(fault.Kinded("gateway.fetch", fault.Unavailable, cause, "The file at %s could not be fetched.", quoted(shown(raw))),
		"Check the address, and try again later.")}
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

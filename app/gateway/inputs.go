package gateway

import (
	"context"
	"errors"
	"io"
	"strings"
	"syscall"
	"time"

	"golang.org/x/time/rate"

	"tresor/app/fault"
	"tresor/app/job"
)

// mostSum is how many times the size of one file all files of a task may have together.
const mostSum = 4

// vain bounds, in MiB, what a caller may have fetched for requests that are refused
// after it: those bytes stay in the vault, and no quota of tasks counts them.
const vainBurst = 20 << 10

var vainEvery = rate.Every(24 * time.Hour / vainBurst)

func fromOutside(p job.Place) bool { return p.Origin != "" }

// fetch gets the bytes of the places that lie outside; a folder becomes its files.
func (s *Service) fetch(ctx context.Context, o *order, list []job.Place) ([]job.Place, error) {
	if o.p.kind == Inside { // an address is words of a program that has read data
		return nil, fetchedInside()
	}
	if err := s.room(o.p); err != nil { // nothing is fetched for a task that is refused
		return nil, err
	}
	if s.vain.dry(o.p.key, s.Now()) {
		return nil, refuse(CodeQuota, fault.Exhausted, "Wait an hour, and send tasks whose inputs are all there.", "Too much was fetched for requests of yours that were then refused.")
	}
	sources, err := s.sources(ctx)
	if err != nil {
		return nil, err
	}
	f := s.fetcher(sources, "")
	for _, p := range list { // all of them first, for the same reason
		if fromOutside(p) {
			if _, err := f.allowed(p.Origin); err != nil {
				return nil, err
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, s.Fetch.Timeout)
	defer cancel()
	defer func() { o.fetched = f.kept }()
	if list, err = f.unfold(ctx, list); err != nil {
		return nil, err
	}
	for i := range list {
		if fromOutside(list[i]) {
			if err := f.place(ctx, &list[i]); err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

// unfold puts the files of folders outside into their places.
func (f *fetcher) unfold(ctx context.Context, list []job.Place) ([]job.Place, error) {
	var all []job.Place
	for _, p := range list {
		if !fromOutside(p) || !p.Directory {
			all = append(all, p)
			continue
		}
		files, err := f.files(ctx, p)
		if err != nil {
			return nil, err
		}
		all = append(all, files...)
	}
	return all, nil
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

func otherBytes(raw string) error {
	return refuse(CodeMalformed, fault.Invalid, "Ask who keeps the object, or name another one.", "The file at %s is not the one that its description promises: its SHA-256 is another.", quoted(shown(raw)))
}

package app

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"tresor/app/config"
	"tresor/app/fault"
)

// Made is what Init made, for the person who ran it.
type Made struct {
	Made    []string  `json:"made"`
	Link    string    `json:"link,omitempty"` // one-time link of the first operator; empty when one has an account
	Expires time.Time `json:"expires_at,omitzero"`
}

// Init makes the data folder, the settings file, the keys and the first
// operator's account. What is there already stays as it is.
func Init(ctx context.Context, cfg config.Config, o Options, handle, name string) (Made, error) {
	p := cfg.Paths()
	m := missing(cfg, p.DB, p.Vault, p.Keys)
	a, err := New(ctx, cfg, o)
	if err != nil {
		return Made{}, err
	}
	defer a.Close()
	return a.first(ctx, m, handle, name)
}

// InitHub is Init for a hub, which has no data of its own.
func InitHub(ctx context.Context, cfg config.Config, o Options, handle, name string) (Made, error) {
	p := cfg.Paths()
	m := missing(cfg, p.DB, p.Keys)
	h, err := NewHub(ctx, cfg, o)
	if err != nil {
		return Made{}, err
	}
	defer h.Close()
	return h.first(ctx, m, handle, name)
}

// missing names what is not there yet: the data folder, its settings and paths.
func missing(cfg config.Config, paths ...string) Made {
	var m Made
	for _, path := range append([]string{cfg.Data, filepath.Join(cfg.Data, config.File)}, paths...) {
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			m.Made = append(m.Made, path)
		}
	}
	return m
}

// first writes the settings and gives the first operator a link; there is none
// when an operator has an account already.
func (a *App) first(ctx context.Context, m Made, handle, name string) (Made, error) {
	if err := writeSettings(filepath.Join(a.cfg.Data, config.File)); err != nil {
		return Made{}, err
	}
	_, link, err := a.Identity.Bootstrap(ctx, handle, name)
	if fault.KindOf(err) == fault.Conflict {
		return m, nil
	}
	if err != nil {
		return Made{}, err
	}
	m.Link, m.Expires = link.URL, link.ExpiresAt
	return m, nil
}

// writeSettings puts the commented settings file there unless one exists.
func writeSettings(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return folderFault("app.Init", path, err)
	}
	_, err = f.WriteString(config.Manual())
	if serr := f.Sync(); err == nil {
		err = serr
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		os.Remove(path)
		return folderFault("app.Init", path, err)
	}
	return nil
}

package airlock

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"path"
	"strings"

	"tresor/app/access"
	"tresor/app/airlock/check"
	"tresor/app/fault"
	"tresor/app/store"
)

// Bounds of one page.
const (
	maxRows  = 200
	maxLines = 1000
	maxShown = 2000 // bytes of one line of text
)

// View is one page of one file, made for a person to look at and for nothing
// else: cells and lines are cut, invisible characters are shown, pictures are
// pixels. It is never the file.
type View struct {
	Kind      string          `json:"kind"` // table, text, image or none
	Path      string          `json:"path"`
	Columns   []string        `json:"columns"`
	Rows      [][]string      `json:"rows"`
	Offset    int             `json:"offset"` // first row or line on this page
	Total     int             `json:"total"`  // rows or lines of the file
	Text      string          `json:"text"`
	Data      []byte          `json:"data,omitempty"`       // a picture, base64 in JSON
	MediaType string          `json:"media_type,omitempty"` // of Data
	Findings  []check.Finding `json:"findings"`             // with the cells on this page only
}

// View shows a page of a file under review: offset and limit count table rows
// (at most 200) or text lines (at most 1,000). It is the second of the three
// functions through which bytes reach a door: only reviewers and the members of
// the project may look, each look is in the audit log before anything is shown,
// and the bytes are compared with the hash of the request first.
func (s *Service) View(ctx context.Context, actor access.Actor, id, item string, offset, limit int) (View, error) {
	const op = "airlock.View"
	if offset < 0 {
		return View{}, fault.New(op, fault.Invalid, "The offset %d is negative.", offset)
	}
	var r Request
	var it Item
	var prof check.Profile
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		var err error
		if r, it, err = s.shownItem(tx, actor, id, item); err != nil {
			return err
		}
		p, err := s.Projects.Lookup(tx, r.Project)
		prof = s.profile(p.Threshold)
		return err
	})
	if err != nil {
		return View{}, fault.Wrap(op, err)
	}
	raw, err := s.verified(it)
	if err != nil {
		return View{}, fault.Wrap(op, err)
	}
	v, err := render(prof, it, raw, offset, limit)
	if err != nil {
		return View{}, fault.Wrap(op, err)
	}
	if err := s.looked(ctx, actor, r, it); err != nil {
		return View{}, fault.Wrap(op, err)
	}
	return v, nil
}

// shownItem loads a file that the actor may look at. Files that are being
// prepared are shown to members only.
func (s *Service) shownItem(tx *store.Tx, actor access.Actor, id, item string) (Request, Item, error) {
	r, err := s.allowed(tx, actor, access.AirlockView, id)
	if err != nil {
		return r, Item{}, err
	}
	it, err := s.itemOfRequest(tx, r, item)
	if err != nil {
		return r, it, err
	}
	if it.round > r.Round && actor.In(r.Project) == "" {
		return r, it, fault.New("airlock.View", fault.NotFound, "The request has no such file.")
	}
	return r, it, nil
}

// verified reads the bytes of an item and compares them with its hash. An item
// is small: the checks refuse more than Profile.MaxFile.
func (s *Service) verified(it Item) ([]byte, error) {
	const op = "airlock.verified"
	f, err := s.Vault.Open(it.SHA256)
	if err != nil {
		return nil, fault.Kinded(op, fault.NotFound, err, "The bytes of %s are not kept any more.", it.Path)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, it.Size+1))
	if err != nil {
		return nil, fault.Kinded(op, fault.Unavailable, err, "The file %s could not be read. Try again; if it stays, tell the operator.", it.Path)
	}
	if sum := sha256.Sum256(raw); hex.EncodeToString(sum[:]) != it.SHA256 {
		return nil, fault.New(op, fault.Internal, "The bytes of %s are not those of the request. Nothing is shown; tell the operator.", it.Path)
	}
	return raw, nil
}

// looked records that somebody is about to see a file, once an item and person
// as seen, and each time in the audit log.
func (s *Service) looked(ctx context.Context, actor access.Actor, r Request, it Item) error {
	return s.DB.Update(ctx, func(tx *store.Tx) error {
		if it.round <= r.Round {
			_, err := tx.Exec(`INSERT OR IGNORE INTO airlock_seen (item, person, sha256, seen_at) VALUES (?, ?, ?, ?)`, it.ID, actor.ID, it.SHA256, store.Millis(tx.Now()))
			if err != nil {
				return err
			}
		}
		_, err := s.note(tx, actor, "airlock.viewed", r, "item", it.ID, "sha256", it.SHA256)
		return err
	})
}

func render(p check.Profile, it Item, raw []byte, offset, limit int) (View, error) {
	v := View{Kind: it.Kind, Path: it.Path, Columns: []string{}, Rows: [][]string{}, Offset: offset}
	switch it.Kind {
	case check.KindTable:
		limit = bound(limit, 100, maxRows)
		page, err := check.ReadPage(bytes.NewReader(raw), it.Path, p, offset, limit)
		if err != nil {
			return v, err
		}
		v.Columns, v.Rows, v.Total = page.Columns, page.Rows, page.Total
		if v.Columns == nil {
			v.Columns = []string{}
		}
	case check.KindText:
		limit = bound(limit, 500, maxLines)
		v.Text, v.Total = lines(raw, offset, limit)
	case check.KindImage:
		var err error
		if v.Data, v.MediaType, err = pixels(it, raw); err != nil {
			return v, err
		}
	}
	v.Findings = onPage(it.Findings, offset, limit)
	return v, nil
}

func bound(n, usual, most int) int {
	if n <= 0 {
		return usual
	}
	return min(n, most)
}

// pixels returns a picture that holds nothing but what it shows. A picture of a
// submitted round already is one.
func pixels(it Item, raw []byte) ([]byte, string, error) {
	kind := "image/jpeg"
	if strings.EqualFold(path.Ext(it.Path), ".png") {
		kind = "image/png"
	}
	if it.SHA256 != it.SourceSHA256 {
		return raw, kind, nil
	}
	var b bytes.Buffer
	if err := check.Clean(it.Path, bytes.NewReader(raw), &b); err != nil {
		return nil, "", fault.Kinded("airlock.View", fault.Invalid, err, "The picture cannot be shown: %v.", err)
	}
	return b.Bytes(), kind, nil
}

func lines(raw []byte, offset, limit int) (string, int) {
	var text strings.Builder
	n := 0
	r := bufio.NewReader(bytes.NewReader(raw))
	for {
		line, err := r.ReadBytes('\n')
		if len(line) == 0 {
			return text.String(), n
		}
		if n >= offset && n < offset+limit {
			text.WriteString(check.Shown(bytes.TrimRight(line, "\r\n"), maxShown))
			text.WriteByte('\n')
		}
		n++
		if err != nil {
			return text.String(), n
		}
	}
}

// onPage keeps every finding, but only those of its cells that the page shows.
func onPage(all []check.Finding, offset, limit int) []check.Finding {
	list := make([]check.Finding, 0, len(all))
	for _, f := range all {
		var cells []check.Cell
		for _, c := range f.Cells {
			if c.Row >= offset && c.Row < offset+limit {
				cells = append(cells, c)
			}
		}
		f.Cells = cells
		list = append(list, f)
	}
	return list
}

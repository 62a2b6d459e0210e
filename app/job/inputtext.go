package job

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/store"
)

// maxInputText is how much of a file that was sent with a task is shown, in bytes.
const maxInputText = 64 << 10

// InputText is the beginning of a text file that came with a job. Characters that
// would hide or reorder what is read are written out, as \u202e for example.
type InputText struct {
	Path      string `json:"path"`
	Size      int64  `json:"size"` // bytes of the whole file
	SHA256    string `json:"sha256"`
	Text      string `json:"text"`
	Truncated bool   `json:"truncated"` // there is more than Text
	Escaped   int    `json:"escaped"`   // characters that are written out
}

// InputText returns the text of a file that was sent with the job, place n of its
// Places, for who decides about it. Each look leaves an audit event. What a program
// inside has sent needs the right to see values too: it may be made of data. Errors:
// NotFound when there is no such job or place, Denied, Conflict for what is no text or no file
// that was sent.
func (s *Service) InputText(ctx context.Context, actor access.Actor, id string, n int) (InputText, error) {
	const op = "job.InputText"
	var t InputText
	err := s.update(ctx, func(tx *store.Tx) error {
		j, err := find(tx, id)
		if err != nil {
			return err
		}
		if err := mayReadInput(actor, j); err != nil {
			return err
		}
		if n < 0 || n >= len(j.Places) {
			return fault.New(op, fault.NotFound, access.NotSeen)
		}
		p := j.Places[n]
		if p.From != FromContent {
			return fault.New(op, fault.Conflict, "The input %s was not sent with the job. Open it where it comes from.", clip(p.Path))
		}
		var content []byte
		if err := tx.QueryRow(`SELECT content FROM job_input WHERE job = ? AND name = ?`, id, placeName(n)).Scan(&content); err != nil {
			return fault.Wrap(op, err)
		}
		if t, err = textOf(content); err != nil {
			return err
		}
		t.Path, t.SHA256 = p.Path, p.SHA256
		_, err = s.Log.Append(tx, audit.By(actor, "input.read", Subject(id), j.Project, "place", strconv.Itoa(n), "sha256", p.SHA256))
		return err
	})
	return t, fault.Wrap(op, err)
}

func mayReadInput(actor access.Actor, j Job) error {
	if err := access.May(actor, access.JobRead, j.thing()); err != nil {
		return err
	}
	if err := access.May(actor, access.JobDecide, j.thing()); err != nil {
		return err
	}
	if parentOf(j.Via) == "" {
		return nil
	}
	return access.May(actor, access.DatasetValues, j.thing())
}

// textOf is the beginning of a content as it can be shown. Errors: Conflict for what is no text.
func textOf(content []byte) (InputText, error) {
	t := InputText{Size: int64(len(content)), Truncated: len(content) > maxInputText}
	if t.Truncated {
		content = content[:maxInputText]
		for len(content) > 0 && !utf8.RuneStart(content[len(content)-1]) {
			content = content[:len(content)-1]
		}
		if r, _ := utf8.DecodeLastRune(content); r == utf8.RuneError && len(content) > 0 { // the first byte of a cut one
			content = content[:len(content)-1]
		}
	}
	if !utf8.Valid(content) || strings.ContainsRune(string(content), 0) {
		return t, fault.New("job.InputText", fault.Conflict, "This file is no text, so it is not shown. Its hash says which it is.")
	}
	var b strings.Builder
	for _, r := range string(content) {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r)) {
			fmt.Fprintf(&b, `\u%04x`, r)
			t.Escaped++
			continue
		}
		b.WriteRune(r)
	}
	t.Text = b.String()
	return t, nil
}

// Package output keeps the files that jobs leave, while they are still inside.
//
// It owns the table output and decides what a file is (table, text, image,
// other). Bytes enter through a Sink, which believes nothing of what a container
// says about them, and stand in the vault under their hash. It never gives bytes
// to a door: Content is for workspace and airlock, which meter and audit. A crash
// while collecting leaves no row and no file that counts; collecting again gives
// the same result.
package output

import (
	"io"
	"os"

	"tresor/app/fault"
	"tresor/app/store"
	"tresor/app/vault"
)

// State is where a file is on its way out.
type State string

// The states of a file.
const (
	Held      State = "held"      // waits inside
	Requested State = "requested" // part of an airlock request
	Released  State = "released"  // left through a release
	Erased    State = "erased"    // its bytes are gone
)

// Kind is what a file can be shown as.
type Kind string

// The kinds of file.
const (
	Table Kind = "table" // strict CSV or TSV from its first line to its last
	Text  Kind = "text"  // UTF-8 without control characters
	Image Kind = "image" // PNG, JPEG, GIF or WebP by its first bytes
	Other Kind = "other"
)

// Output is one file that a job left.
type Output struct {
	ID      string `json:"id"`
	JobID   string `json:"job_id"`
	Project string `json:"-"`
	Path    string `json:"path"` // relative to the output folder
	SHA256  string `json:"sha256"`
	Size    int64  `json:"size"` // bytes
	Kind    Kind   `json:"kind"`
	Rows    int64  `json:"rows"` // of a table, without the header
	Cols    int    `json:"cols"` // of a table
	State   State  `json:"state"`
}

// Service keeps outputs.
type Service struct {
	vault *vault.Vault
	ids   func() string
}

// New returns a Service that keeps bytes in v and makes ids with ids.
func New(v *vault.Vault, ids func() string) *Service {
	return &Service{vault: v, ids: ids}
}

const columns = `id, job, project, path, sha256, size, kind, row_count, col_count, state`

// Get returns one output; fault.NotFound when there is none.
func (s *Service) Get(tx *store.Tx, id string) (Output, error) {
	o, err := scan(tx.QueryRow(`SELECT `+columns+` FROM output WHERE id = ?`, id))
	if store.NotFound(err) {
		return o, fault.New("output.Get", fault.NotFound, "There is no such output.")
	}
	return o, fault.Wrap("output.Get", err)
}

// ListByJob returns a job's outputs by path; none is not an error.
func (s *Service) ListByJob(tx *store.Tx, job string) ([]Output, error) {
	rows, err := tx.Query(`SELECT `+columns+` FROM output WHERE job = ? ORDER BY path`, job)
	if err != nil {
		return nil, fault.Wrap("output.ListByJob", err)
	}
	defer rows.Close()
	list := []Output{}
	for rows.Next() {
		o, err := scan(rows)
		if err != nil {
			return nil, fault.Wrap("output.ListByJob", err)
		}
		list = append(list, o)
	}
	return list, fault.Wrap("output.ListByJob", rows.Err())
}

// MarkState notes how far outputs have come on their way out. Whoever calls it
// writes the audit event of the request or release in the same transaction. An
// erased output stays erased: fault.Conflict.
func (s *Service) MarkState(tx *store.Tx, state State, ids ...string) error {
	for _, id := range ids {
		res, err := tx.Exec(`UPDATE output SET state = ? WHERE id = ? AND state <> 'erased'`, string(state), id)
		if err != nil {
			return fault.Wrap("output.MarkState", err)
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return fault.Kinded("output.MarkState", fault.Conflict, err, "An output of this request does not exist any more. Make the request again.")
		}
	}
	return nil
}

// Usage returns how many bytes a project's outputs hold, each content once.
func (s *Service) Usage(tx *store.Tx, project string) (int64, error) {
	var n int64
	err := tx.QueryRow(`SELECT coalesce(sum(size), 0) FROM (SELECT DISTINCT sha256, size FROM output WHERE project = ? AND state <> 'erased')`, project).Scan(&n)
	return n, fault.Wrap("output.Usage", err)
}

// Content opens an output's bytes. Only workspace and airlock may call it: they
// ask who looks, meter and audit.
func (s *Service) Content(o Output) (io.ReadSeekCloser, error) {
	if o.State == Erased {
		return nil, fault.New("output.Content", fault.NotFound, "The bytes of %s have been erased.", o.Path)
	}
	f, err := s.vault.Open(o.SHA256)
	if err != nil {
		return nil, fault.Wrap("output.Content", err)
	}
	return seekable{f}, nil
}

// seekable hides the file's name and everything else that is not reading.
type seekable struct{ f *os.File }

func (s seekable) Read(p []byte) (int, error)                { return s.f.Read(p) }
func (s seekable) Seek(off int64, whence int) (int64, error) { return s.f.Seek(off, whence) }
func (s seekable) Close() error                              { return s.f.Close() }

type scanner interface{ Scan(...any) error }

func scan(row scanner) (Output, error) {
	var o Output
	err := row.Scan(&o.ID, &o.JobID, &o.Project, &o.Path, &o.SHA256, &o.Size, &o.Kind, &o.Rows, &o.Cols, &o.State)
	return o, err
}

package tree

import (
	"io"
	"os"

	"tresor/app/fault"
	"tresor/app/store"
)

const columns = `project, path, sha256, size, job, created_at, executable`

// Stat returns one file; fault.NotFound when there is none of that path.
func (s *Service) Stat(tx *store.Tx, project, path string) (File, error) {
	const op = "tree.Stat"
	path, err := Clean(path)
	if err != nil {
		return File{}, err
	}
	f, err := scan(tx.QueryRow(`SELECT `+columns+` FROM tree_file WHERE project = ? AND path = ?`, project, path))
	if store.NotFound(err) {
		return f, Missing(path)
	}
	return f, fault.Wrap(op, err)
}

// Missing is the answer of Stat for a path that is not there, for callers who keep
// one from somebody: fault.NotFound.
func Missing(path string) error {
	return fault.New("tree.Stat", fault.NotFound, "There is no file %q among the project's files. Look for its name in their list.", clip(path))
}

// MaxPage is the most files that one List returns.
const MaxPage = 1000

// List returns the files below a folder by path, after the path `after`, at most
// limit of them (0: MaxPage); folder "" is the whole tree. A full page means that
// there may be more.
func (s *Service) List(tx *store.Tx, project, folder, after string, limit int) ([]File, error) {
	return s.Since(tx, project, folder, -1, after, limit)
}

// Change counts the changes of a project's tree: as long as it stays the same nothing
// in the tree is another.
func (s *Service) Change(tx *store.Tx, project string) (int64, error) {
	var n int64
	err := tx.QueryRow(`SELECT n FROM tree_change WHERE project = ?`, project).Scan(&n)
	if store.NotFound(err) {
		return 0, nil
	}
	return n, fault.Wrap("tree.Change", err)
}

// Since is List for the files that were written after the given Change.
func (s *Service) Since(tx *store.Tx, project, folder string, change int64, after string, limit int) ([]File, error) {
	const op = "tree.List"
	folder, err := cleanFolder(folder)
	if err != nil {
		return nil, err
	}
	if limit <= 0 || limit > MaxPage {
		limit = MaxPage
	}
	low, high := between(folder)
	rows, err := tx.Query(`SELECT `+columns+` FROM tree_file WHERE project = ? AND path > ? AND path < ? AND change > ? ORDER BY path LIMIT ?`,
		project, max(low, after), high, change, limit)
	if err != nil {
		return nil, fault.Wrap(op, err)
	}
	defer rows.Close()
	list := []File{}
	for rows.Next() {
		f, err := scan(rows)
		if err != nil {
			return nil, fault.Wrap(op, err)
		}
		list = append(list, f)
	}
	return list, fault.Wrap(op, rows.Err())
}

// between are the bounds of all paths below a folder: '0' follows '/' in ASCII.
func between(folder string) (low, high string) {
	if folder == "" {
		return "", "\U0010FFFF"
	}
	return folder + "/", folder + "0"
}

// Usage returns how many bytes a project's tree names, each path counted.
func (s *Service) Usage(tx *store.Tx, project string) (int64, error) {
	var n int64
	err := tx.QueryRow(`SELECT coalesce(sum(size), 0) FROM tree_file WHERE project = ?`, project).Scan(&n)
	return n, fault.Wrap("tree.Usage", err)
}

// Content opens a file's bytes. Only job and workspace may call it: the one puts
// them into the project's containers, the other asks who looks, meters and audits.
func (s *Service) Content(f File) (io.ReadSeekCloser, error) {
	r, err := s.Vault.Open(f.SHA256)
	if err != nil {
		return nil, fault.Wrap("tree.Content", err)
	}
	return seekable{r}, nil
}

// seekable hides the file's name and everything else that is not reading.
type seekable struct{ f *os.File }

func (s seekable) Read(p []byte) (int, error)                { return s.f.Read(p) }
func (s seekable) Seek(off int64, whence int) (int64, error) { return s.f.Seek(off, whence) }
func (s seekable) Close() error                              { return s.f.Close() }

type scanner interface{ Scan(...any) error }

func scan(row scanner) (File, error) {
	var f File
	var at int64
	err := row.Scan(&f.Project, &f.Path, &f.SHA256, &f.Size, &f.Job, &at, &f.Executable)
	f.CreatedAt = store.Time(at)
	return f, err
}

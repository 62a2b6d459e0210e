package tree

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/project"
	"tresor/app/store"
)

// Put writes files into a project's tree, all or none, in place of what was at
// their paths; of two files of one path the later counts. Their bytes are in the
// vault. One audit event names them by the SHA-256 of their manifest, the lines
// "<sha256> <size> <path>" sorted by path. A refusal has written nothing: Exhausted
// when the quota does not hold them, Conflict when a path would be a file and a
// folder at once, Invalid for a path that cannot be used.
func (s *Service) Put(tx *store.Tx, by access.Actor, project, job string, files []File) error {
	files, err := s.check(tx, project, files)
	if err != nil || len(files) == 0 {
		return err
	}
	change, err := count(tx, project)
	if err != nil {
		return err
	}
	var bytes int64
	for _, f := range files {
		_, err := tx.Exec(`INSERT INTO tree_file (`+columns+`, change) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (project, path) DO UPDATE SET sha256 = excluded.sha256, size = excluded.size, job = excluded.job, created_at = excluded.created_at,
			executable = excluded.executable, change = excluded.change`,
			project, f.Path, f.SHA256, f.Size, job, store.Millis(tx.Now()), f.Executable, change)
		if err != nil {
			return fault.Wrap("tree.Put", err)
		}
		bytes += f.Size
	}
	return s.note(tx, by, project, "tree.written", "files", strconv.Itoa(len(files)), "bytes", strconv.FormatInt(bytes, 10),
		"sha256", manifest(files), "job", job)
}

// count notes that a project's tree changes, and answers the new Change.
func count(tx *store.Tx, project string) (n int64, err error) {
	err = tx.QueryRow(`INSERT INTO tree_change (project, n) VALUES (?, 1) ON CONFLICT (project) DO UPDATE SET n = n + 1 RETURNING n`, project).Scan(&n)
	return n, fault.Wrap("tree.count", err)
}

// check returns the files with clean paths, each path once, or refuses them.
func (s *Service) check(tx *store.Tx, project string, files []File) ([]File, error) {
	const op = "tree.Put"
	used, err := s.Usage(tx, project)
	if err != nil {
		return nil, err
	}
	byPath := map[string]File{}
	for _, f := range files {
		if f.Path, err = Clean(f.Path); err != nil {
			return nil, err
		}
		if !s.Vault.Has(f.SHA256) {
			return nil, fault.New(op, fault.Internal, "The bytes of %s are not kept.", clip(f.Path))
		}
		byPath[f.Path] = f
	}
	list := make([]File, 0, len(byPath))
	for _, f := range byPath {
		before, err := oneKind(tx, project, f.Path, byPath)
		if err != nil {
			return nil, err
		}
		used += f.Size - before
		list = append(list, f)
	}
	if used > s.Quota {
		return nil, fault.New(op, fault.Exhausted, "The project's files would have %d MB, and they may have %d MB. Have files erased that are not needed any more.", used>>20, s.Quota>>20)
	}
	sort.Slice(list, func(i, k int) bool { return list[i].Path < list[k].Path })
	return list, nil
}

// oneKind refuses a path that is a folder, or lies below a file; it returns the
// size of the file that is there.
func oneKind(tx *store.Tx, project, path string, along map[string]File) (int64, error) {
	const op = "tree.Put"
	var other string
	low, high := between(path)
	err := tx.QueryRow(`SELECT path FROM tree_file WHERE project = ? AND path > ? AND path < ? LIMIT 1`, project, low, high).Scan(&other)
	if err == nil {
		return 0, fault.New(op, fault.Conflict, "%q is a folder of the project's files, so no file can have that path. Choose another one.", clip(path))
	}
	if !store.NotFound(err) {
		return 0, fault.Wrap(op, err)
	}
	for at := strings.LastIndexByte(path, '/'); at > 0; at = strings.LastIndexByte(path[:at], '/') {
		_, now := along[path[:at]]
		size, err := sizeOf(tx, project, path[:at])
		if err != nil {
			return 0, err
		}
		if now || size >= 0 {
			return 0, fault.New(op, fault.Conflict, "%q is a file of the project, so nothing can lie below it. Choose another path than %q.", clip(path[:at]), clip(path))
		}
	}
	size, err := sizeOf(tx, project, path)
	return max(size, 0), err
}

// sizeOf is the size of the file that is there, or -1.
func sizeOf(tx *store.Tx, project, path string) (int64, error) {
	var n int64
	err := tx.QueryRow(`SELECT size FROM tree_file WHERE project = ? AND path = ?`, project, path).Scan(&n)
	if store.NotFound(err) {
		return -1, nil
	}
	return n, fault.Wrap("tree.Put", err)
}

// manifest is the hash of the lines that name files.
func manifest(files []File) string {
	lines := make([]string, len(files))
	for i, f := range files {
		lines[i] = fmt.Sprintf("%s %d %s\n", f.SHA256, f.Size, f.Path)
	}
	sort.Slice(lines, func(i, j int) bool { return lines[i][64:] < lines[j][64:] })
	sum := sha256.Sum256([]byte(strings.Join(lines, "")))
	return hex.EncodeToString(sum[:])
}

// Erase takes a file, or everything below a folder, out of a project's tree and
// returns how many files that were. The bytes stay in the vault, where other
// things may need them. fault.NotFound when there is nothing of that path.
func (s *Service) Erase(ctx context.Context, actor access.Actor, projectID, path string) (int, error) {
	const op = "tree.Erase"
	if err := access.May(actor, access.TreeErase, access.Thing{Project: projectID}); err != nil {
		return 0, err
	}
	path, err := Clean(path)
	if err != nil {
		return 0, err
	}
	gone := 0
	err = s.DB.Update(ctx, func(tx *store.Tx) error {
		low, high := between(path)
		res, err := tx.Exec(`DELETE FROM tree_file WHERE project = ? AND (path = ? OR path > ? AND path < ?)`, projectID, path, low, high)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if gone = int(n); err == nil && n == 0 {
			err = fault.New(op, fault.NotFound, "There is no file and no folder %q among the project's files.", clip(path))
		}
		if err != nil {
			return err
		}
		if _, err := count(tx, projectID); err != nil {
			return err
		}
		name := sha256.Sum256([]byte(path))
		return s.note(tx, actor, projectID, "tree.erased", "files", strconv.Itoa(gone), "path_sha256", hex.EncodeToString(name[:]))
	})
	if err != nil {
		gone = 0
	}
	return gone, fault.Wrap(op, err)
}

func (s *Service) note(tx *store.Tx, by access.Actor, projectID, verb string, kv ...string) error {
	_, err := s.Log.Append(tx, audit.By(by, verb, project.Subject(projectID), projectID, kv...))
	return fault.Wrap(verb, err)
}

package sqlrun

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"tresor/app/store"
)

const presentation = "presentation.sqlite"

// maxDatasets is how many files SQLite attaches to one connection.
const maxDatasets = 10

// session is one connection with every dataset attached.
type session struct {
	db     *sql.DB
	conn   *sql.Conn
	schema schema
	log    io.Writer
}

// schema is what the datasets hold, for suggestions.
type schema struct {
	tables  []string // unqualified, as written
	columns []string
}

// open attaches every presentation below data under the name of its folder. The
// tables can also be named without it; when two datasets have a table of the
// same name, the first by dataset name is meant, and a note says so.
func open(ctx context.Context, data string, log io.Writer) (*session, error) {
	files, err := filepath.Glob(filepath.Join(data, "*", presentation))
	if err != nil {
		return nil, failed(ExitData, "The datasets cannot be listed: %v.", err)
	}
	sort.Strings(files)
	switch {
	case len(files) == 0:
		return nil, failed(ExitData, "No dataset is mounted. Ask a data steward to grant one to the project.")
	case len(files) > maxDatasets:
		return nil, failed(ExitData, "%d datasets are mounted; one query can reach %d. Name the datasets that the job needs.", len(files), maxDatasets)
	}
	s := &session{log: log}
	if err := s.attach(ctx, files); err != nil {
		s.close()
		return nil, failed(ExitData, "A dataset cannot be opened: %v. Tell the data steward.", err)
	}
	return s, nil
}

func (s *session) attach(ctx context.Context, files []string) error {
	var err error
	if s.db, err = store.OpenReadOnly(files[0]); err != nil {
		return err
	}
	if s.conn, err = s.db.Conn(ctx); err != nil {
		return err
	}
	if err := s.conn.Raw(addFunctions); err != nil {
		return err
	}
	owner := map[string]string{}
	for _, f := range files {
		name := filepath.Base(filepath.Dir(f))
		if _, err := s.conn.ExecContext(ctx, "ATTACH DATABASE ? AS "+quoteName(name), address(f)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := s.learn(ctx, name, owner); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return s.settings(ctx)
}

// address opens a file of a read-only mount without locks and side files.
func address(file string) string {
	return "file:" + (&url.URL{Path: file}).EscapedPath() + "?mode=ro&immutable=1"
}

func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func (s *session) settings(ctx context.Context) error {
	_, err := s.conn.ExecContext(ctx, "PRAGMA query_only=ON; PRAGMA cache_size=-65536")
	return err
}

// learn collects the names of a dataset and warns of tables that hide others.
func (s *session) learn(ctx context.Context, dataset string, owner map[string]string) error {
	rows, err := s.conn.QueryContext(ctx, "SELECT m.name, c.name FROM "+quoteName(dataset)+".sqlite_schema AS m JOIN pragma_table_info(m.name, ?) AS c WHERE m.type = 'table'", dataset)
	if err != nil {
		return err
	}
	defer rows.Close()
	last := ""
	for rows.Next() {
		var table, column string
		if err := rows.Scan(&table, &column); err != nil {
			return err
		}
		s.schema.columns = append(s.schema.columns, column)
		if table != last {
			s.schema.tables = append(s.schema.tables, table)
			s.warn(dataset, table, owner)
			last = table
		}
	}
	return rows.Err()
}

func (s *session) warn(dataset, table string, owner map[string]string) {
	key := strings.ToLower(table)
	if first, taken := owner[key]; taken {
		if !strings.HasPrefix(table, "_") {
			fmt.Fprintf(s.log, "note: the datasets %s and %s both have a table %s; without a dataset name it is %s.%s\n", first, dataset, table, first, table)
		}
		return
	}
	owner[key] = dataset
}

func (s *session) close() {
	var err error
	if s.conn != nil {
		err = s.conn.Close()
	}
	if s.db != nil {
		err = errors.Join(err, s.db.Close())
	}
	if err != nil && !errors.Is(err, os.ErrClosed) {
		fmt.Fprintln(s.log, "note: closing the datasets:", err)
	}
}

package sqlrun

import (
	"database/sql/driver"
	"errors"
	"strings"
)

// What the driver's connection and statements can do; the driver itself is
// imported by the store only.
type (
	preparer interface {
		Prepare(query string) (driver.Stmt, error)
	}
	readonly interface{ Readonly() bool }
)

// prepareAll compiles every statement before the first one runs, so that a
// mistake in the last one does not cost the time of the others.
func (s *session) prepareAll(queries []Query) error {
	var wrong []string
	for _, q := range queries {
		if err := s.prepare(q); err != nil {
			wrong = append(wrong, err.Error())
		}
	}
	if len(wrong) > 0 {
		return failed(ExitQuery, "%s", strings.Join(wrong, "\n"))
	}
	return nil
}

func (s *session) prepare(q Query) error {
	return s.conn.Raw(func(c any) error {
		p, ok := c.(preparer)
		if !ok {
			return errors.New("the SQLite driver cannot prepare statements")
		}
		stmt, err := p.Prepare(q.SQL)
		if err != nil {
			return s.explain(q, err, p)
		}
		defer stmt.Close()
		if r, ok := stmt.(readonly); !ok || !r.Readonly() {
			return failed(ExitQuery, "%s: the statement writes, and datasets are read-only here. Write a SELECT.", q.Output)
		}
		if stmt.NumInput() > 0 {
			return failed(ExitQuery, "%s: the statement has a placeholder (?, :name, @name or $name), and there are no values for it. Write the value itself.", q.Output)
		}
		return nil
	})
}

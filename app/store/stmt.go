package store

import (
	"context"
	"database/sql"
	"strings"
	"sync"
)

// maxStatements bounds the compiled statements of one keeper. The program's own
// texts are fewer; texts that are put together (lists of ids) would be endless.
const maxStatements = 256

// preparer is a connection or a pool.
type preparer interface {
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
}

// statements keeps what SQLite has compiled, by text. Compiling an insert with its
// triggers costs more than running it.
//
// Only statements that run from their start to their end are kept: an Exec, and a
// QueryRow whose Scan follows at once. A row that is read while the same text runs
// again would lose its place.
type statements struct {
	on    preparer
	later bool // compile in the background: a pool may have no connection to spare for its own user
	ctx   context.Context
	stop  context.CancelFunc
	wg    sync.WaitGroup

	mu sync.Mutex
	by map[string]*sql.Stmt // nil: being compiled, or does not compile
}

func newStatements(on preparer, later bool) *statements {
	ctx, stop := context.WithCancel(context.Background())
	return &statements{on: on, later: later, ctx: ctx, stop: stop, by: map[string]*sql.Stmt{}}
}

// get answers the compiled statement, or nil when the text is to be run as it is:
// several statements in one text, a full keeper, one that is still being compiled,
// or one that does not compile, whose error the plain way then tells.
func (s *statements) get(query string) *sql.Stmt {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st, ok := s.by[query]; ok {
		return st
	}
	if len(s.by) >= maxStatements || s.ctx.Err() != nil || strings.Contains(query, ";") {
		return nil
	}
	s.by[query] = nil
	if s.later {
		s.wg.Go(func() { s.keep(query, s.compile(query)) })
		return nil
	}
	st := s.compile(query)
	s.by[query] = st
	return st
}

func (s *statements) compile(query string) *sql.Stmt {
	st, err := s.on.PrepareContext(s.ctx, query)
	if err != nil {
		return nil
	}
	return st
}

func (s *statements) keep(query string, st *sql.Stmt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.by[query] = st
}

// close gives the compiled statements back and lets no more be made.
func (s *statements) close() {
	s.stop()
	s.wg.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.by {
		if st != nil {
			_ = st.Close() // its connection goes next and takes it along
		}
	}
	clear(s.by)
}

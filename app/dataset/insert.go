package dataset

import (
	"context"
	"database/sql"
	"errors"
	"strings"
)

// Bounds of one batch.
const (
	maxParameters = 32766   // of one statement: SQLite's own limit
	maxBatch      = 4 << 20 // bytes of text in one batch, lest long texts fill the memory
)

// rowsOfStatement is how many rows go into one INSERT.
func rowsOfStatement(t Table) int { return max(1, maxParameters/len(t.Columns)) }

// insertSQL inserts that many rows.
func insertSQL(t Table, rows int) string {
	one := "(" + strings.TrimSuffix(strings.Repeat("?,", len(t.Columns)), ",") + "),"
	return "INSERT INTO " + quoted(t.Name) + " VALUES " + strings.TrimSuffix(strings.Repeat(one, rows), ",")
}

// collector is the sink that turns cells into values, and hands over batches of
// whole rows. It waits while the inserter has more than it can write.
type collector struct {
	ctx   context.Context // ends the waiting
	table Table
	most  int // values of a batch
	batch []any
	bytes int // of text in the batch
	full  chan<- []any
}

func (c *collector) cell(i int, b []byte) *flaw {
	v, ok := c.table.Columns[i].value(b, c.table.Missing)
	if !ok {
		return flawed(0, "", "field %d does not fit its type", i+1)
	}
	c.batch = append(c.batch, v)
	c.bytes += len(b)
	return nil
}

func (c *collector) row() *flaw {
	if len(c.batch) >= c.most || c.bytes >= maxBatch {
		c.flush()
	}
	return nil
}

// flush hands the batch over. When the inserter has failed it drops it: eachBlock
// ends with the context.
func (c *collector) flush() {
	select {
	case c.full <- c.batch:
	case <-c.ctx.Done():
	}
	c.batch, c.bytes = make([]any, 0, c.most), 0
}

// value reads a cell as the column's type; nil is no value.
func (c Column) value(b []byte, missing []string) (v any, ok bool) {
	if len(b) == 0 {
		return nil, true
	}
	for _, m := range missing {
		if string(b) == m {
			return nil, true
		}
	}
	switch c.Type {
	case Integer:
		return anyOf(parseInteger(b))
	case Real:
		return anyOf(parseReal(b))
	case Boolean:
		yes, ok := parseBoolean(b)
		if yes {
			return int64(1), ok
		}
		return int64(0), ok
	}
	return string(b), true
}

func anyOf[T any](v T, ok bool) (any, bool) { return v, ok }

// inserter writes batches; most of them fill the prepared statement.
type inserter struct {
	conn  *sql.Conn
	table Table
	many  *sql.Stmt // of rowsOfStatement rows; made for the first batch that fills it
	rows  int64     // written
}

// run inserts what a collector hands over, to the end or the first error.
func (in *inserter) run(ctx context.Context, full <-chan []any) (err error) {
	for batch := range full {
		if err = in.insert(ctx, batch); err != nil {
			break
		}
	}
	if in.many != nil {
		err = errors.Join(err, in.many.Close())
	}
	return err
}

func (in *inserter) insert(ctx context.Context, batch []any) (err error) {
	rows := len(batch) / len(in.table.Columns)
	switch rows {
	case 0:
	case rowsOfStatement(in.table):
		err = in.fill(ctx, batch)
	default:
		_, err = in.conn.ExecContext(ctx, insertSQL(in.table, rows), batch...)
	}
	if err == nil {
		in.rows += int64(rows)
	}
	return err
}

func (in *inserter) fill(ctx context.Context, batch []any) (err error) {
	if in.many == nil {
		in.many, err = in.conn.PrepareContext(ctx, insertSQL(in.table, rowsOfStatement(in.table)))
	}
	if err == nil {
		_, err = in.many.ExecContext(ctx, batch...)
	}
	return err
}

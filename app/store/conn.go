package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"net/url"
	"strings"

	"github.com/mattn/go-sqlite3"
)

// connector opens SQLite connections with one fixed DSN, so that no connection
// of a pool can be without the pragmas.
type connector struct {
	dsn string
	drv *sqlite3.SQLiteDriver
}

func (c connector) Connect(context.Context) (driver.Conn, error) { return c.drv.Open(c.dsn) }
func (c connector) Driver() driver.Driver                        { return c.drv }

// hardened tells SQLite not to trust the text of a schema it reads: a planted
// view or trigger may not call functions with side effects, and a damaged page
// is noticed when it is read instead of being followed.
func hardened(c *sqlite3.SQLiteConn) error {
	_, err := c.Exec("PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON; PRAGMA mmap_size=0", nil)
	return err
}

// pool opens path with the given DSN parameters. It connects at first use.
func pool(path string, params ...string) *sql.DB {
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + strings.Join(params, "&")
	return sql.OpenDB(connector{dsn: dsn, drv: &sqlite3.SQLiteDriver{ConnectHook: hardened}})
}

// shared are the parameters of every connection to the appliance's database.
// The busy timeout comes first: the pragmas after it may have to wait.
var shared = []string{
	"mode=rw", "_busy_timeout=10000", "_journal_mode=WAL", "_synchronous=FULL",
	"_foreign_keys=1", "_defer_foreign_keys=0",
}

func writerPool(path string) *sql.DB {
	db := pool(path, append([]string{"_txlock=immediate"}, shared...)...)
	db.SetMaxOpenConns(1)
	return db
}

func readerPool(path string) *sql.DB {
	db := pool(path, append([]string{"_txlock=deferred", "_query_only=1"}, shared...)...)
	db.SetMaxOpenConns(readers)
	db.SetMaxIdleConns(readers)
	return db
}

// readers is how many Views run at once; more wait their turn. SQLite readers
// are bound by the processor, and each holds up to 2 MB of page cache.
const readers = 8

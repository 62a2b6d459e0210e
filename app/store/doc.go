// Package store keeps the appliance's rows: one SQLite database, many readers,
// one writer. It owns the connections, the migrations and the backup, and holds
// no word of the domain: every table belongs to the package that is named above
// it in migrations/.
//
// Promises: Update returns nil only after its rows are on the disk (WAL with
// synchronous=FULL), and returns an error only when none of them is. A crash at
// any moment leaves the last committed state; nothing needs repair by hand. A
// database that a newer program wrote, or that is damaged, is refused and left
// as it is. One process has the database open at a time.
package store

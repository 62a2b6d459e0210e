package airlock

import (
	"tresor/app/fault"
	"tresor/app/store"
)

// pin keeps bytes in the vault for a request.
func pin(tx *store.Tx, request string, hashes ...string) error {
	for _, h := range hashes {
		if _, err := tx.Exec(`INSERT OR IGNORE INTO airlock_pin (sha256, request) VALUES (?, ?)`, h, request); err != nil {
			return err
		}
	}
	return nil
}

// unpin lets go of the bytes of a request that ended without a release.
func unpin(tx *store.Tx, request string) error {
	_, err := tx.Exec(`DELETE FROM airlock_pin WHERE request = ?`, request)
	return err
}

// Pinned reports whether a request needs these bytes. Whoever erases bytes from
// the vault asks first, in the transaction that forgets them.
func Pinned(tx *store.Tx, sha256 string) (bool, error) {
	var n int
	err := tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM airlock_pin WHERE sha256 = ?)`, sha256).Scan(&n)
	return n == 1, fault.Wrap("airlock.Pinned", err)
}

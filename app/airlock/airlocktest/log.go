package airlocktest

import (
	"context"
	"path/filepath"

	"tresor/app/audit"
	"tresor/app/store"
)

func openLog(ctx context.Context, db *store.DB, dir string) (*audit.Log, error) {
	return audit.Open(ctx, db, filepath.Join(dir, "audit.key"), "tresor/test")
}

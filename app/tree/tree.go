// Package tree keeps each project's tree: files that stay inside, under the paths
// by which the project's own programs name them.
//
// It owns the tables tree_file and tree_change, the count of changes that tells a
// program inside whether anything is new. A file is a path, a hash and a size; its bytes stand
// in the vault, and folders are no more than the beginnings of paths. The last
// writer of a path wins, and the audit log keeps who wrote which hash. Put works in
// the transaction of whoever made the files, after their bytes are durable, so a
// crash leaves a path as it was. The package never gives bytes to what is outside:
// Content is for job, which puts them into the project's own containers, for gateway,
// which hands them to programs in these, and for workspace. Nothing leaves the appliance from here; Erase takes paths away and leaves the
// bytes, which others may need.
package tree

import (
	"time"

	"tresor/app/audit"
	"tresor/app/store"
	"tresor/app/vault"
)

// DefaultQuota bounds the files of one project, in bytes.
const DefaultQuota = 20 << 30

// File is one file of a project's tree.
type File struct {
	Project   string    `json:"-"`    // id
	Path      string    `json:"path"` // relative, without a slash at either end
	SHA256    string    `json:"sha256"`
	Size      int64     `json:"size"` // bytes
	Job       string    `json:"job"`  // that wrote it; empty: none
	CreatedAt time.Time `json:"created_at"`

	Executable bool `json:"executable,omitempty"` // programs inside may run it
}

// Deps is what the service works with.
type Deps struct {
	DB    *store.DB
	Log   *audit.Log
	Vault *vault.Vault
	Quota int64 // bytes per project; 0: DefaultQuota
}

// Service keeps the trees.
type Service struct{ Deps }

// New returns a Service.
func New(d Deps) *Service {
	if d.Quota == 0 {
		d.Quota = DefaultQuota
	}
	return &Service{d}
}

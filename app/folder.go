package app

import (
	"context"
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"tresor/app/fault"
)

// openFolder makes the data folder with the modes that the two-account split
// needs and locks it for this process.
func (a *App) openFolder(context.Context) error {
	const op = "app.openFolder"
	for _, dir := range []struct {
		path string
		mode os.FileMode
	}{
		{a.cfg.Data, 0o711},
		{a.paths.Keys, 0o700},
		{a.paths.TLS, 0o755},
		{a.paths.Datasets, 0o711},
		{a.paths.Projects, 0o711},
		{a.paths.Jobs, 0o711},
		{a.paths.Backups, 0o700},
		{a.paths.Plugins, 0o700},
		{a.paths.Run, 0o711},
	} {
		if err := os.MkdirAll(dir.path, dir.mode); err != nil {
			return folderFault(op, dir.path, err)
		}
		if err := os.Chmod(dir.path, dir.mode); err != nil {
			return folderFault(op, dir.path, err)
		}
	}
	if err := a.gate(); err != nil {
		return folderFault(op, a.cfg.Data, err)
	}
	return a.lock()
}

func folderFault(op, path string, err error) error {
	kind, next := fault.Internal, "Check the folder and its owner."
	switch {
	case errors.Is(err, os.ErrPermission):
		kind, next = fault.Denied, "Run it as the folder's owner, or name another folder with --data."
	case errors.Is(err, unix.ENOSPC):
		kind, next = fault.Exhausted, "Make room on the disk."
	}
	return fault.WithNext(fault.Kinded(op, kind, err, "The data folder %s cannot be used: %v.", path, err), "%s", next)
}

// gate lets only root and the account that runs Podman pass through the data
// folder, so that no other account of the host reaches what containers read.
func (a *App) gate() error {
	if os.Geteuid() != 0 {
		return nil // one account does both
	}
	u, err := user.Lookup(a.cfg.Sandbox.Account)
	if err != nil {
		return nil // the doctor and the engine say so
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return err
	}
	if err := os.Chown(a.cfg.Data, 0, gid); err != nil {
		return err
	}
	return os.Chmod(a.cfg.Data, 0o710)
}

// lock keeps a second server away from this folder. The kernel frees it when the
// process ends, however it ends.
func (a *App) lock() error {
	const op = "app.lock"
	f, err := os.OpenFile(filepath.Join(a.paths.Run, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return folderFault(op, a.paths.Run, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return fault.WithNext(fault.Kinded(op, fault.Conflict, err, "A server is running on the data folder %s already.", a.cfg.Data),
			"Stop it first, or name another folder with --data.")
	}
	a.unlock = func() { f.Close() }
	return nil
}

package agent

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// written answers the files of a folder that some process has open for writing, by name:
// a log that grows, say. They are nobody's input yet and would be another one each time.
func written(where string) map[string]bool {
	open := map[string]bool{}
	procs, err := os.ReadDir("/proc")
	if err != nil {
		return open
	}
	for _, proc := range procs {
		if _, err := strconv.Atoi(proc.Name()); err != nil {
			continue
		}
		dir := filepath.Join("/proc", proc.Name(), "fd")
		fds, err := os.ReadDir(dir)
		if err != nil { // gone, or not ours to look at
			continue
		}
		for _, fd := range fds {
			to, err := os.Readlink(filepath.Join(dir, fd.Name()))
			if err != nil {
				continue
			}
			if name, in := strings.CutPrefix(to, where+"/"); in && writes(filepath.Join("/proc", proc.Name(), "fdinfo", fd.Name())) {
				open[name] = true
			}
		}
	}
	return open
}

// writes reads from a descriptor's record whether it was opened for writing.
func writes(info string) bool {
	b, err := os.ReadFile(info)
	if err != nil {
		return false
	}
	_, rest, _ := bytes.Cut(b, []byte("flags:\t"))
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	flags, err := strconv.ParseInt(string(line), 8, 64)
	return err == nil && flags&unix.O_ACCMODE != unix.O_RDONLY
}

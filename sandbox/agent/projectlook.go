package agent

import (
	"fmt"
	"net/http"
	"os"
	"path"
	"sort"
	"strings"

	"golang.org/x/sys/unix"

	"tresor/sandbox"
)

// look walks the folder for files that are not what the project has, by name.
func (p *Project) look(notes bool) ([]found, error) {
	v, err := p.open()
	if err != nil {
		return nil, err
	}
	defer v.close()
	d, err := open2(v.dir, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0, strictly)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(d.Fd()), &st); err != nil {
		d.Close()
		return nil, err
	}
	s := &search{p: p, notes: notes, dev: st.Dev}
	if err := s.dir(d, "", 0); err != nil {
		return nil, err
	}
	if s.fresh > mostProjectFiles {
		return nil, &Denial{Status: http.StatusRequestEntityTooLarge, Text: fmt.Sprintf("%s holds %d new files, and at most %d are sent at once. Pack them into one, or keep them in another folder.", sandbox.Printable(p.target), s.fresh, mostProjectFiles)}
	}
	sort.Slice(s.news, func(i, k int) bool { return s.news[i].name < s.news[k].name })
	return s.news, nil
}

// search is one walk.
type search struct {
	p       *Project
	notes   bool
	dev     uint64 // of the folder: what is mounted in it is an input
	entries int
	fresh   int // files that the project does not have at all
	news    []found
}

// dir walks one open directory and closes it.
func (s *search) dir(d *os.File, in string, depth int) error {
	defer d.Close()
	for {
		names, err := d.Readdirnames(4096)
		for _, name := range names {
			if s.entries++; s.entries > maxEntries {
				return &Denial{Status: http.StatusRequestEntityTooLarge, Text: fmt.Sprintf("%s holds more than %d entries.", s.p.target, maxEntries)}
			}
			if err := s.entry(d, in, name, depth); err != nil {
				return err
			}
		}
		if err != nil { // the end, or a folder that went away
			return nil
		}
	}
}

func (s *search) entry(d *os.File, in, name string, depth int) error {
	at := path.Join(in, name)
	var st unix.Stat_t
	if err := unix.Fstatat(int(d.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil
	}
	folder := st.Mode&unix.S_IFMT == unix.S_IFDIR
	if ownProject(at) || st.Dev != s.dev || folder && !s.notes && strings.HasPrefix(name, ".") {
		return nil
	}
	k := s.p.files[at]
	if k != nil && k.stamp == stampOf(&st) {
		return nil
	}
	if err := sandbox.CheckPath(path.Join(s.p.target, at)); err != nil {
		s.p.once(at, "not kept in the project: "+err.Error())
		return nil
	}
	if folder {
		sub, err := openAt(d, name, unix.O_DIRECTORY)
		if err != nil || depth >= sandbox.MaxDepth {
			s.p.once(at, "not kept in the project: the folder cannot be opened, or lies too deep")
			return nil
		}
		return s.dir(sub, at, depth+1)
	}
	if why := irregular(&st); why != "" {
		s.p.once(at, "not kept in the project: "+why)
		return nil
	}
	if k == nil {
		s.fresh++
	}
	s.news = append(s.news, found{at, stampOf(&st)})
	return nil
}

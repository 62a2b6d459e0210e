package job

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"

	"tresor/app/dataset"
	"tresor/app/fault"
	"tresor/app/store"
	"tresor/sandbox"
)

// dataFolder is where datasets that are copied come from, inside the container.
const dataFolder = "/.tresor-data"

// own reports whether the job's files have paths of their own.
func (j Job) own() bool { return len(j.Volumes) > 0 }

// setContent keeps the content of place i, which the table of inputs has under a
// name that no plain input can have.
func (j *Job) setContent(i int, content []byte) {
	if j.content == nil {
		j.content = map[string][]byte{}
	}
	j.content[placeName(i)] = content
}

func placeName(i int) string { return "/" + strconv.Itoa(i) }

// hasContent reports whether bytes of the job are in the table of inputs.
func (j Job) hasContent() bool {
	return len(j.Inputs) > 0 || slices.ContainsFunc(j.Places, func(p PlaceInfo) bool { return p.From == FromContent })
}

// scratch are the volumes of a job: its own folder unless its files have paths of
// their own, and the folders that its tasks share, in their order.
func (j Job) scratch() []sandbox.Scratch {
	var list []sandbox.Scratch
	if !j.own() {
		list = append(list, sandbox.Scratch{Name: scratchOf(j.ID), Target: workFolder})
	}
	for i, v := range j.shared() {
		list = append(list, sandbox.Scratch{Name: fmt.Sprintf("%s-v%d", scratchOf(j.ID), i), Target: v})
	}
	return list
}

// shared are the folders that all tasks share, none inside another: those of paths of
// their own, and the working folders in the project's.
func (j Job) shared() []string {
	folders := slices.Clone(j.Volumes)
	for _, t := range j.Tasks {
		if within(t.Workdir, sandbox.ProjectFolder) {
			folders = append(folders, t.Workdir)
		}
	}
	return smallest(folders)
}

// projectFolder is the shared folder in which task n finds the project's files, because
// it works in it; "" for all other tasks, which pay nothing for it.
func (j Job) projectFolder(n int) string {
	at := j.Tasks[n].Workdir
	if !j.Inside || !within(at, sandbox.ProjectFolder) {
		return ""
	}
	for _, v := range j.shared() {
		if within(at, v) {
			return v
		}
	}
	return ""
}

// roots finds where the datasets of the places lie on the host, by place; it
// refuses one that is no longer granted or no longer the same.
func (s *Service) roots(tx *store.Tx, j *Job) (map[int]string, error) {
	found := map[int]string{}
	for i, p := range j.Places {
		if p.From != FromDataset {
			continue
		}
		list, err := s.Datasets.MountFor(tx, j.Project, p.DatasetID, p.Version)
		if err != nil {
			return nil, err
		}
		for _, m := range list {
			if m.SHA256 != p.VersionSHA256 {
				return nil, fault.New("job.start", fault.Conflict, "Version %d of the dataset %s is not the one that the job was submitted with.", p.Version, p.Dataset)
			}
			found[i] = inVersion(m.Source, p)
		}
	}
	return found, nil
}

// inVersion is where a place lies in the folder of its dataset's version: a folder
// is all of that, as other jobs see it.
func inVersion(dir string, p PlaceInfo) string {
	switch {
	case p.Directory:
		return dir
	case p.File == dataset.PresentationFile:
		return filepath.Join(dir, p.File)
	}
	return filepath.Join(dir, "files", p.File)
}

// layPaths adds to a spec what a job with paths of its own needs. Copies are made
// for the first task only: later ones find what the ones before have made of them.
func (s *Service) layPaths(sp *sandbox.Spec, j *Job, n int, roots map[int]string) error {
	sp.Folders = j.Volumes
	if n == len(j.Tasks)-1 {
		sp.Outputs = patterns(j.Wants)
	}
	for i, p := range j.Places {
		if p.From == FromDataset && !p.Copied {
			sp.Binds = append(sp.Binds, sandbox.Bind{Source: roots[i], Target: p.Path})
		}
	}
	if n > 0 {
		return nil
	}
	s.copyData(sp, j, roots)
	return s.copyBytes(sp, j)
}

// copyData has datasets copied that cannot be shown read-only.
func (s *Service) copyData(sp *sandbox.Spec, j *Job, roots map[int]string) {
	for i, p := range j.Places {
		if p.From != FromDataset || !p.Copied {
			continue
		}
		from := path.Join(dataFolder, strconv.Itoa(i))
		sp.Binds = append(sp.Binds, sandbox.Bind{Source: roots[i], Target: from})
		sp.Copies = append(sp.Copies, dataCopies(p, from)...)
	}
}

// dataCopies are the copies of a dataset that lies at from: its two parts, since no
// copy goes to a shared folder itself.
func dataCopies(p PlaceInfo, from string) []sandbox.Copy {
	if !p.Directory {
		return copies(p, from)
	}
	var list []sandbox.Copy
	for _, part := range []string{"files", dataset.PresentationFile} {
		list = append(list, sandbox.Copy{From: path.Join(from, part), To: path.Join(p.Path, part)})
	}
	return list
}

// copyBytes writes everything else where the sandbox account can read it.
func (s *Service) copyBytes(sp *sandbox.Spec, j *Job) error {
	dir, laid := filepath.Join(s.folder(j.ID), "in"), false
	for i, p := range j.Places {
		if p.From == FromDataset {
			continue
		}
		if !laid {
			if err := errors.Join(makeFolder(s.folder(j.ID), 0o711), makeFolder(dir, 0o755)); err != nil {
				return err
			}
			sp.Binds, laid = append(sp.Binds, sandbox.Bind{Source: dir, Target: placeFolder}), true
		}
		if err := s.lay(filepath.Join(dir, strconv.Itoa(i)), p, j.content[placeName(i)]); err != nil {
			return err
		}
		sp.Copies = append(sp.Copies, copies(p, path.Join(placeFolder, strconv.Itoa(i)))...)
	}
	return nil
}

// copies are the copies of a place that lies at from.
func copies(p PlaceInfo, from string) []sandbox.Copy {
	if !p.Directory {
		return []sandbox.Copy{{From: from, To: p.Path}}
	}
	list := make([]sandbox.Copy, len(p.Files))
	for i, f := range p.Files {
		list[i] = sandbox.Copy{From: path.Join(from, f.Path), To: path.Join(p.Path, f.Path)}
	}
	return list
}

// lay writes the bytes of one place to the host's path `to`.
func (s *Service) lay(to string, p PlaceInfo, content []byte) error {
	switch {
	case p.From == FromContent:
		return replace(to, content)
	case !p.Directory:
		return s.fromVault(to, p.SHA256, p.Executable)
	}
	for _, f := range p.Files {
		at := filepath.Join(to, filepath.FromSlash(f.Path))
		for dir := filepath.Dir(at); len(dir) >= len(to); dir = filepath.Dir(dir) {
			if err := makeFolder(dir, 0o755); err != nil {
				return err
			}
		}
		if err := s.fromVault(at, f.SHA256, f.Executable); err != nil {
			return err
		}
	}
	return nil
}

// fromVault copies kept bytes to a file that the sandbox account can read.
func (s *Service) fromVault(to, sum string, executable bool) (err error) {
	if s.Vault == nil {
		return fault.New("job.start", fault.Unavailable, "This server keeps no files for projects.")
	}
	from, err := s.Vault.Open(sum)
	if err != nil {
		return err
	}
	defer from.Close()
	if err := os.Remove(to); err != nil && !os.IsNotExist(err) {
		return err
	}
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return err
	}
	mode := os.FileMode(0o444)
	if executable {
		mode = 0o555
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Chmod(mode), f.Close())
}

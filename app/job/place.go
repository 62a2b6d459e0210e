package job

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
	"slices"
	"strings"

	"tresor/app/dataset"
	"tresor/app/fault"
	"tresor/app/project"
	"tresor/app/store"
	"tresor/app/tree"
)

// Place is an input at a path of its own. Exactly one of Content, Dataset, Tree
// and Origin says where its bytes come from.
type Place struct {
	Path      string
	Directory bool
	Content   []byte // may be empty when nothing else is set
	Dataset   string // id or slug
	Version   int    // of the dataset; 0: the latest
	File      string // of the dataset; empty with Directory: all its files
	Tree      string // path in the project's tree
	Origin    string // address that the bytes were fetched from; they are in the vault
	SHA256    string // of fetched bytes; of others: they must have it when it is given
	Size      int64  // of fetched bytes

	copy bool // of a dataset: it cannot be shown read-only at its path
}

// Where the bytes of a place come from.
const (
	FromContent = "content"
	FromDataset = "dataset"
	FromTree    = "tree"
	FromFetched = "fetched"
)

// checkPlaces checks what needs no database about inputs at paths of their own.
func checkPlaces(s *Submission) error {
	if len(s.Places) > maxPlaces {
		return invalid("There are %d inputs, and a job takes at most %d. Put files into folders, or have them registered as a dataset.", len(s.Places), maxPlaces)
	}
	total, folder := 0, map[string]bool{}
	for _, p := range s.Places {
		if err := p.check(); err != nil {
			return err
		}
		if total += len(p.Content); total > MaxContents {
			return invalid("The contents of the inputs have more than %s together. Have large data registered as a dataset.", sizeText(MaxContents))
		}
		if _, twice := folder[p.Path]; twice {
			return invalid("Two inputs go to %q. Every input needs its own path.", clip(p.Path))
		}
		folder[p.Path] = p.Directory
	}
	return checkNested(s.Places, folder)
}

// checkNested refuses a place that would lie in another one which is a file.
func checkNested(places []Place, folder map[string]bool) error {
	for _, p := range places {
		for at := path.Dir(p.Path); at != "/"; at = path.Dir(at) {
			if isFolder, there := folder[at]; there && !isFolder {
				return invalid("The input %q would lie in %q, which is a file.", clip(p.Path), clip(at))
			}
		}
	}
	return nil
}

func (p Place) check() error {
	check := checkFile
	if p.Directory || p.Dataset != "" {
		check = checkPath
	}
	if err := check("an input", p.Path); err != nil {
		return err
	}
	sources := 0
	for _, has := range []bool{len(p.Content) > 0, p.Dataset != "", p.Tree != "", p.Origin != ""} {
		if has {
			sources++
		}
	}
	switch {
	case sources > 1:
		return invalid("The input %q has more than one source. Name one.", clip(p.Path))
	case p.SHA256 != "" && !isHash(p.SHA256):
		return invalid("The hash of the input %q is not 64 hexadecimal digits.", clip(p.Path))
	case p.Dataset != "":
		return p.checkDataset()
	case p.Tree != "":
		return p.checkTree()
	case p.Origin != "":
		return p.checkFetched()
	case p.Directory:
		return invalid("The input %q is a folder and has no source. Name a folder of the project or a dataset, or leave it out: shared folders are there.", clip(p.Path))
	case len(p.Content) > MaxContent:
		return invalid("The content of the input %q has %s, and it may have %s. Have large data registered as a dataset.", clip(p.Path), sizeText(int64(len(p.Content))), sizeText(MaxContent))
	}
	return nil
}

func (p Place) checkDataset() error {
	switch {
	case p.Version < 0:
		return invalid("The input %q names version %d of a dataset. Versions count from 1; leave it out for the latest.", clip(p.Path), p.Version)
	case p.Directory && p.File != "":
		return invalid("The input %q is a folder %q of a dataset, and datasets have no folders. Name one file, or the whole dataset.", clip(p.Path), clip(p.File))
	case !p.Directory && p.File == "":
		return invalid("The input %q names a dataset and none of its files. Name one, or take the whole dataset as a folder.", clip(p.Path))
	}
	return nil
}

func (p Place) checkTree() error {
	if p.Directory && strings.Trim(p.Tree, "/") == "" {
		return nil // all of it
	}
	_, err := tree.Clean(p.Tree)
	return err
}

func (p Place) checkFetched() error {
	switch {
	case p.Directory:
		return invalid("The input %q is a folder at an address. Only single files are fetched.", clip(p.Path))
	case p.SHA256 == "" || p.Size < 0:
		return invalid("The input %q was fetched and has no hash. Fetch it again.", clip(p.Path))
	}
	return nil
}

func isHash(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == sha256.Size && strings.ToLower(s) == s
}

// pinPlaces finds out what every place is now, so that it stays that: versions,
// files and hashes are fixed from here on.
func (s *Service) pinPlaces(tx *store.Tx, j *Job, p project.Project, grants []project.Grant, sub Submission) error {
	j.Places = []PlaceInfo{}
	known := map[string]dataset.Version{}
	files := 0
	for i, place := range sub.Places {
		info := PlaceInfo{Path: place.Path, Directory: place.Directory, Copied: place.Dataset == "" || place.copy, SHA256: place.SHA256, Size: place.Size}
		var err error
		switch {
		case place.Dataset != "":
			err = s.pinData(tx, &info, p, grants, place, known)
		case place.Tree != "":
			err = s.pinTree(tx, &info, p.ID, place, sub.sees)
		case place.Origin != "":
			err = s.pinFetched(&info, place)
		default:
			err = pinContent(&info, place)
			j.setContent(i, place.Content)
		}
		if err != nil {
			return err
		}
		if place.SHA256 != "" && place.SHA256 != info.SHA256 {
			return fault.New("job.Submit", fault.Conflict, "The input %q has another hash (%s) than the one that was asked for (%s). Look at the source again.", clip(place.Path), info.SHA256, place.SHA256)
		}
		if files += len(info.Files); files > maxTreeFiles {
			return invalid("The folders of the project that are inputs hold more than %d files together. Name smaller folders, or pack files into one.", maxTreeFiles)
		}
		j.Places = append(j.Places, info)
	}
	return nil
}

func pinContent(info *PlaceInfo, p Place) error {
	sum := sha256.Sum256(p.Content)
	info.From, info.SHA256, info.Size = FromContent, hex.EncodeToString(sum[:]), int64(len(p.Content))
	return nil
}

func (s *Service) pinFetched(info *PlaceInfo, p Place) error {
	info.From, info.Origin = FromFetched, p.Origin
	if s.Vault == nil || !s.Vault.Has(p.SHA256) {
		return fault.New("job.Submit", fault.Unavailable, "The bytes of the input %q are not kept any more. Fetch it again.", clip(p.Path))
	}
	return nil
}

// pinData finds a dataset's file, or all its files, and its hash in the manifest.
func (s *Service) pinData(tx *store.Tx, info *PlaceInfo, p project.Project, grants []project.Grant, place Place, known map[string]dataset.Version) error {
	g, ok := pick(grants, place.Dataset)
	if !ok {
		return invalid("The dataset %q is not granted to the project %s. Ask a data steward for it, or choose one that is granted.", clip(place.Dataset), p.Name)
	}
	mounts, err := s.Datasets.MountFor(tx, p.ID, g.DatasetID, place.Version)
	if err != nil {
		return err
	}
	for _, m := range mounts {
		info.From, info.Dataset, info.DatasetID, info.Version, info.VersionSHA256, info.File = FromDataset, m.Slug, m.DatasetID, m.Version, m.SHA256, place.File
	}
	v, err := s.version(tx, info.DatasetID, info.Version, known)
	if err != nil {
		return err
	}
	if place.Directory || place.File == dataset.PresentationFile {
		info.SHA256, info.Size = v.SHA256, v.Bytes
		return nil
	}
	at := slices.IndexFunc(v.Files, func(f dataset.File) bool { return f.Name == place.File })
	if at < 0 {
		return invalid("Version %d of the dataset %s has no file %q. Choose one of its files: %s.", v.N, info.Dataset, clip(place.File), someFiles(v.Files))
	}
	info.SHA256, info.Size = v.Files[at].SHA256, v.Files[at].Size
	return nil
}

func someFiles(files []dataset.File) string {
	var names []string
	for _, f := range files[:min(len(files), 10)] {
		names = append(names, f.Name)
	}
	return strings.Join(names, ", ")
}

// version looks a version up once per submission: its record can be long.
func (s *Service) version(tx *store.Tx, id string, n int, known map[string]dataset.Version) (dataset.Version, error) {
	d, err := dataset.Dataset{}, error(nil)
	if v, ok := known[id]; ok && v.N == n {
		return v, nil
	}
	if d, err = s.Datasets.Lookup(tx, id); err != nil {
		return dataset.Version{}, err
	}
	for _, v := range d.Versions {
		if v.N == n {
			known[id] = v
			return v, nil
		}
	}
	return dataset.Version{}, fault.New("job.Submit", fault.NotFound, "There is no version %d of the dataset %s.", n, d.Slug)
}

// pinTree finds a file of the project's tree, or all files below a folder. What the
// submission may not see is not there.
func (s *Service) pinTree(tx *store.Tx, info *PlaceInfo, projectID string, p Place, sees seer) error {
	info.From, info.Tree = FromTree, strings.Trim(p.Tree, "/")
	if s.Tree == nil {
		return fault.New("job.Submit", fault.Unavailable, "This server keeps no files for projects.")
	}
	if !p.Directory {
		f, err := s.Tree.Stat(tx, projectID, p.Tree)
		if err != nil {
			return err
		}
		if ok, err := sees(tx, f); err != nil {
			return err
		} else if !ok {
			return tree.Missing(p.Tree)
		}
		info.SHA256, info.Size, info.Executable = f.SHA256, f.Size, f.Executable
		return nil
	}
	return s.pinFolder(tx, info, projectID, sees)
}

// seer says whether a file of the tree is there for a submission.
type seer func(*store.Tx, tree.File) (bool, error)

func (sub Submission) sees(tx *store.Tx, f tree.File) (bool, error) {
	if sub.Sees == nil {
		return true, nil
	}
	return sub.Sees(tx, f)
}

func (s *Service) pinFolder(tx *store.Tx, info *PlaceInfo, projectID string, sees seer) error {
	for after := ""; ; {
		list, err := s.Tree.List(tx, projectID, info.Tree, after, tree.MaxPage)
		if err != nil {
			return err
		}
		for _, f := range list {
			after = f.Path
			if ok, err := sees(tx, f); err != nil {
				return err
			} else if !ok {
				continue
			}
			rest := strings.TrimPrefix(strings.TrimPrefix(f.Path, info.Tree), "/")
			info.Files = append(info.Files, PlaceFile{rest, f.SHA256, f.Size, f.Executable})
			info.Size += f.Size
		}
		if len(info.Files) > maxTreeFolder {
			return invalid("The folder %q of the project holds more than %d files, and an input has at most that many. Name a folder in it.", clip(info.Tree), maxTreeFolder)
		}
		if len(list) < tree.MaxPage {
			break
		}
	}
	if len(info.Files) == 0 {
		return fault.New("job.Submit", fault.NotFound, "There is no folder %q among the project's files, or it is empty.", clip(info.Tree))
	}
	info.SHA256 = folderHash(info.Files)
	return checkBelow(info)
}

// folderHash names the files of a folder together, as dataset.Manifest does.
func folderHash(files []PlaceFile) string {
	list := make([]dataset.File, len(files))
	for i, f := range files {
		list[i] = dataset.File{Name: f.Path, SHA256: f.SHA256, Size: f.Size}
	}
	sum := sha256.Sum256(dataset.Manifest(list))
	return hex.EncodeToString(sum[:])
}

// checkBelow refuses files whose path in the container would be one that no task may have.
func checkBelow(info *PlaceInfo) error {
	for _, f := range info.Files {
		if err := checkPath("an input", path.Join(info.Path, f.Path)); err != nil {
			return err
		}
	}
	return nil
}

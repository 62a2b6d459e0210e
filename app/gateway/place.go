package gateway

import (
	"context"
	"path"
	"slices"
	"strconv"
	"strings"

	"tresor/app/fault"
	"tresor/app/job"
	"tresor/plugins/protocol"
)

// places translates the inputs. Addresses outside are fetched here, before anybody
// approves the job, so that the approver sees what was fetched by its hash.
func (s *Service) places(ctx context.Context, o *order) ([]job.Place, error) {
	var list []job.Place
	for _, in := range o.r.Inputs {
		p, err := o.l.place(in)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	if !slices.ContainsFunc(list, fromOutside) { // most tasks: no look at the allow-list
		return list, nil
	}
	return s.fetch(ctx, o, list)
}

// place translates one input; an address outside stays as Origin, to be fetched.
func (l lent) place(in protocol.Input) (job.Place, error) {
	p := job.Place{Path: in.Path, Directory: in.Directory}
	switch {
	case in.HasContent || in.Source == "":
		if in.Directory {
			return p, malformed("The input %s is a folder and has content. Only a file has.", quoted(in.Path))
		}
		if len(in.Content) > protocol.MaxContent {
			return p, refuse(CodeTooLarge, fault.Invalid, "Put it into a dataset or the project's own files.", "The content of the input %s is longer than %d KiB.", quoted(in.Path), protocol.MaxContent>>10)
		}
		p.Content = append([]byte{}, in.Content...)
		return p, nil
	case strings.HasPrefix(in.Source, datasetScheme):
		return l.dataset(p, strings.TrimPrefix(in.Source, datasetScheme))
	case strings.HasPrefix(in.Source, projectTree):
		if p.Tree = strings.TrimSuffix(strings.TrimPrefix(in.Source, projectTree), "/"); p.Tree == "" {
			return p, malformed("The input %s names all of the project's files. Name one, or a folder.", quoted(in.Path))
		}
		return p, nil
	}
	p.Origin = in.Source
	if in.Directory {
		if !strings.HasPrefix(in.Source, SourceS3+"://") {
			return p, refuse(CodeSource, fault.Denied, "Name the files one by one.", "The input %s is a folder at an address outside that has no folders, so it cannot be fetched.", quoted(in.Path))
		}
		p.Origin = strings.TrimSuffix(in.Source, "/") + "/"
	}
	return p, nil
}

const datasetScheme = "tresor://dataset/"

// dataset reads <id or slug>[@version][/path]. What the caller may not use is
// answered like what does not exist.
func (l lent) dataset(p job.Place, ref string) (job.Place, error) {
	name, file, _ := strings.Cut(ref, "/")
	name, number, pinned := strings.Cut(name, "@")
	if pinned {
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 || strconv.Itoa(n) != number {
			return p, malformed("The version in %s is not a number from 1 up.", quoted(datasetScheme+ref))
		}
		p.Version = n
	}
	g, ok := grantOf(l.project, name)
	if !ok || !l.mayUse(g.DatasetID) {
		return p, noDataset()
	}
	p.Dataset, p.File = g.DatasetID, strings.TrimSuffix(file, "/")
	switch {
	case p.File != "" && (path.Clean(p.File) != p.File || p.File[0] == '/' || strings.HasPrefix(p.File, "../") || p.File == ".." || p.File == "."):
		return p, malformed("The path in %s is not clean.", quoted(datasetScheme+ref))
	case p.File == "" && !p.Directory:
		return p, malformed("%s is a whole dataset, so the input has to be a folder (type DIRECTORY).", quoted(datasetScheme+ref))
	}
	return p, nil
}

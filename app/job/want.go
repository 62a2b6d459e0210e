package job

import (
	"path"
	"slices"
	"strings"

	"tresor/app/tree"
	"tresor/sandbox"
)

// Want is an output from a path of its own.
type Want struct {
	Path      string // absolute; with * ? [ when Prefix is set
	Prefix    string // what is cut off a matched path before the rest is put behind Target and Tree
	Directory bool   // everything in the folder
	Target    string // where it was asked for; kept and given back, never used
	Tree      string // path in the project's tree, where it stays inside; empty: held for release
}

const wildcards = "*?["

// checkWants checks outputs from paths of their own.
func checkWants(s *Submission) error {
	if len(s.Wants) > maxWants {
		return invalid("There are %d outputs, and a job names at most %d. A folder or a pattern covers many files.", len(s.Wants), maxWants)
	}
	s.Wants = slices.Clone(s.Wants)
	seen := map[Want]bool{}
	for i := range s.Wants {
		w := &s.Wants[i]
		if err := w.check(); err != nil {
			return err
		}
		if seen[*w] {
			return invalid("The output %q is named twice with the same target.", clip(w.Path))
		}
		seen[*w] = true
	}
	return nil
}

func (w *Want) check() error {
	check := checkFile
	if w.Directory {
		check = checkPath
	}
	if err := check("an output", w.Path); err != nil {
		return err
	}
	if len(w.Target) > maxTarget || unreadable(w.Target, false) {
		return invalid("The target of the output %q is longer than %d bytes or holds control characters.", clip(w.Path), maxTarget)
	}
	if w.Prefix != "" {
		if err := w.checkPattern(); err != nil {
			return err
		}
	}
	return w.checkTree()
}

func (w *Want) checkPattern() error {
	w.Path = strings.ReplaceAll(w.Path, "[!", "[^")
	_, err := path.Match(w.Path, "/")
	switch {
	case err != nil:
		return invalid("The output pattern %q is malformed. Use * and ? and close every bracket.", clip(w.Path))
	case !strings.HasPrefix(w.Path, w.Prefix) || strings.ContainsAny(w.Prefix, wildcards):
		return invalid("The prefix %q of the output %q is not how that path begins, or holds a pattern itself. Name the folder before the first pattern.", clip(w.Prefix), clip(w.Path))
	case w.folder() == "/":
		return invalid("The output pattern %q begins in no folder. Put the outputs into one, as in /work/*.csv.", clip(w.Path))
	}
	return checkPath("an output", w.folder())
}

func (w *Want) checkTree() error {
	if w.Tree == "" || (w.Directory || w.Prefix != "") && strings.Trim(w.Tree, "/") == "" {
		return nil
	}
	_, err := tree.Clean(w.Tree)
	return err
}

// folder is what has to be shared so that the output can be written and found.
func (w Want) folder() string {
	switch {
	case w.Prefix != "":
		return path.Dir(w.Path[:strings.IndexAny(w.Path+"*", wildcards)] + "x")
	case w.Directory:
		return w.Path
	}
	return path.Dir(w.Path)
}

func (w Want) info() WantInfo { return WantInfo(w) }

// pattern is what the runner is asked to collect.
func (w WantInfo) pattern() string {
	p := w.Path
	if w.Prefix == "" {
		p = sandbox.Literal(p)
	}
	if w.Directory {
		p += "/*"
	}
	return p
}

// covers reports whether a collected file belongs to the want, and what of its
// path goes behind Target and Tree.
func (w WantInfo) covers(file string) (rest string, ok bool) {
	switch {
	case w.single():
		return "", file == w.Path
	case w.Prefix == "":
		return strings.CutPrefix(file, w.Path+"/")
	case w.Directory:
		ok = sandbox.MatchOutput(w.pattern(), file)
	default:
		ok, _ = path.Match(w.pattern(), file)
	}
	if !ok {
		return "", false
	}
	return strings.TrimPrefix(file[min(len(w.Prefix), len(file)):], "/"), true
}

// single reports whether the want is one file that has to be there.
func (w WantInfo) single() bool { return w.Prefix == "" && !w.Directory }

// behind appends the rest of a path to a target.
func behind(target, rest string) string {
	if rest == "" {
		return target
	}
	if target == "" {
		return rest
	}
	return strings.TrimSuffix(target, "/") + "/" + rest
}

// patterns are what the runner collects for all wants, each once.
func patterns(wants []WantInfo) []string {
	var list []string
	for _, w := range wants {
		if p := w.pattern(); !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	return list
}

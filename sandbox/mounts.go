package sandbox

import (
	"path"
	"slices"
	"strings"
)

// checkMounts: scratch volumes never overlap; a bind may lie inside a volume, and nothing inside a bind.
func (s Spec) checkMounts() error {
	var volumes, binds []string
	for _, v := range s.Scratch {
		if !ValidVolume(v.Name) {
			return Invalid("scratch name %q is not [a-z0-9-]", v.Name)
		}
		if err := checkTarget(v.Target); err != nil {
			return err
		}
		if other, ok := overlap(volumes, v.Target); ok {
			return Invalid("mount targets %q and %q overlap", other, v.Target)
		}
		volumes = append(volumes, v.Target)
	}
	for _, b := range s.Binds {
		if !cleanAbsolute(b.Source) || strings.ContainsAny(b.Source, ":,\n") {
			return Invalid("mount source %q is not an absolute clean path", b.Source)
		}
		if err := checkTarget(b.Target); err != nil {
			return err
		}
		if b.Target == "/tmp" {
			return Invalid("mount target %q belongs to the sandbox", b.Target)
		}
		if other, ok := overlap(binds, b.Target); ok {
			return Invalid("mount targets %q and %q overlap", other, b.Target)
		}
		if i := slices.IndexFunc(volumes, func(v string) bool { return within(v, b.Target) }); i >= 0 {
			return Invalid("mount targets %q and %q overlap", volumes[i], b.Target)
		}
		if s.own(b.Target) {
			return Invalid("mount target %q belongs to the sandbox", b.Target)
		}
		binds = append(binds, b.Target)
	}
	return nil
}

// checkTarget refuses a mount over the sandbox's own places.
func checkTarget(target string) error {
	if !cleanAbsolute(target) || strings.ContainsAny(target, ":,\n") {
		return Invalid("mount target %q is not an absolute clean path", target)
	}
	for _, r := range reserved {
		if target == r || r != "/" && within(target, r) {
			return Invalid("mount target %q belongs to the sandbox", target)
		}
	}
	return nil
}

// overlap finds a target at, inside or around p: their order would decide what the program sees.
func overlap(targets []string, p string) (string, bool) {
	for _, t := range targets {
		if within(p, t) || within(t, p) {
			return t, true
		}
	}
	return "", false
}

// checkFiles judges what the agent makes before the command.
func (s Spec) checkFiles() error {
	for _, f := range s.Folders {
		if err := s.checkWritable("folder", f, false); err != nil {
			return err
		}
	}
	to := map[string]bool{}
	for _, c := range s.Copies {
		if !cleanAbsolute(c.From) || !s.inBind(c.From) {
			return Invalid("the source %q of a copy is not inside a mount", c.From)
		}
		if err := s.checkWritable("copy", c.To, true); err != nil {
			return err
		}
		if to[c.To] {
			return Invalid("two copies go to %q", c.To)
		}
		if i := slices.IndexFunc(s.Binds, func(b Bind) bool { return within(b.Target, c.To) }); i >= 0 {
			return Invalid("the copy to %q would lie around the mount %q", c.To, s.Binds[i].Target)
		}
		to[c.To] = true
	}
	return nil
}

// checkStreams judges the files of the standard streams.
func (s Spec) checkStreams() error {
	if s.Stdin != "" {
		if !cleanAbsolute(s.Stdin) || !s.inBind(s.Stdin) && s.volumeOf(s.Stdin) == "" || s.own(s.Stdin) {
			return Invalid("standard input %q is not a file in a mount or scratch volume", s.Stdin)
		}
		if s.Stdin == s.Stdout || s.Stdin == s.Stderr {
			return Invalid("%q is to be read and written at once", s.Stdin)
		}
	}
	for _, p := range []string{s.Stdout, s.Stderr} {
		if p == "" {
			continue
		}
		if err := s.checkWritable("standard stream", p, true); err != nil {
			return err
		}
	}
	return nil
}

// checkWritable: p lies in a scratch volume (strictly: inside it), in no read-only mount, and is not ours.
func (s Spec) checkWritable(what, p string, strict bool) error {
	if !cleanAbsolute(p) {
		return Invalid("%s %q is not an absolute clean path", what, p)
	}
	v := s.volumeOf(p)
	switch {
	case v == "" || strict && v == p:
		return Invalid("%s %q is not inside a scratch volume", what, p)
	case s.inBind(p):
		return Invalid("%s %q lies in a read-only mount", what, p)
	case s.own(p):
		return Invalid("%s %q belongs to the sandbox", what, p)
	}
	return nil
}

func (s Spec) checkOutputs() error {
	for _, o := range s.Outputs {
		if !cleanAbsolute(o) {
			return Invalid("output %q is not an absolute clean path", o)
		}
		if _, err := path.Match(o, "/"); err != nil {
			return Invalid("output pattern %q is malformed", o)
		}
		if s.volumeOf(o) == "" {
			return Invalid("output %q is not inside a scratch volume", o)
		}
		if s.own(o) {
			return Invalid("output %q belongs to the sandbox", o)
		}
	}
	return nil
}

// checkProject: the folder of the project is a scratch volume of its own at or in ProjectFolder.
func (s Spec) checkProject() error {
	switch p := s.Project; {
	case p == "":
	case !s.Inside:
		return Invalid("the folder %q needs the task service, which the container is not offered", p)
	case !within(p, ProjectFolder):
		return Invalid("the folder %q is not %s nor in it", p, ProjectFolder)
	case s.volumeOf(p) != p:
		return Invalid("the folder %q is no scratch volume", p)
	}
	return nil
}

// volumeOf answers the scratch target at or above p, or nothing.
func (s Spec) volumeOf(p string) string {
	for _, v := range s.Scratch {
		if within(p, v.Target) {
			return v.Target
		}
	}
	return ""
}

func (s Spec) inBind(p string) bool {
	return slices.ContainsFunc(s.Binds, func(b Bind) bool { return within(p, b.Target) })
}

// own says whether p is in the sandbox's own folder of a volume.
func (s Spec) own(p string) bool {
	v := s.volumeOf(p)
	return v != "" && within(p, v+"/"+OwnDir)
}

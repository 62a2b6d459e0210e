package sandbox

import (
	"path"
	"regexp"
	"strings"
)

var (
	refShape    = regexp.MustCompile(`^tresor-[a-z0-9][a-z0-9-]{0,112}$`)
	volumeShape = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,119}$`)
	imageShape  = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	envShape    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=[^\x00]*$`)
	labelShape  = regexp.MustCompile(`^[a-z][a-z0-9._-]{0,62}$`)
)

// OwnDir is the sandbox's own folder at the top of a scratch volume: never a target, never an output.
const OwnDir = ".tresor"

// reserved are the places that the sandbox itself lays out, and those by which a program
// in the image starts at all.
var reserved = []string{"/", "/proc", "/sys", "/dev", "/run", "/etc", "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/boot"}

// Validate refuses a Spec that could not run, or that reaches for a place which is
// the sandbox's own. The answer is ErrInvalid with the reason. Limits must be filled in.
func (s Spec) Validate() error {
	for _, check := range []func() error{s.checkIdentity, s.checkCommand, s.checkMounts, s.checkFiles, s.checkStreams, s.checkOutputs, s.checkProject, s.Limits.validate} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// Valid says whether the name could be a container of ours.
func (r Ref) Valid() bool { return refShape.MatchString(string(r)) }

// ValidVolume says whether the name could be a scratch volume of ours.
func ValidVolume(name string) bool { return volumeShape.MatchString(name) }

func (s Spec) checkIdentity() error {
	if !s.Ref.Valid() {
		return Invalid("container name %q is not tresor-[a-z0-9-]", string(s.Ref))
	}
	if !imageShape.MatchString(s.Image) {
		return Invalid("image %q is not an id or digest: sha256 and 64 hex digits", s.Image)
	}
	for k, v := range s.Labels {
		if !labelShape.MatchString(k) || len(v) > 256 || strings.ContainsRune(v, 0) {
			return Invalid("label %q is malformed", k)
		}
	}
	return nil
}

func (s Spec) checkCommand() error {
	if len(s.Argv) == 0 || s.Argv[0] == "" {
		return Invalid("no command to run")
	}
	for _, a := range s.Argv {
		if strings.ContainsRune(a, 0) {
			return Invalid("the command holds a NUL byte")
		}
	}
	for _, e := range s.Env {
		if !envShape.MatchString(e) {
			return Invalid("environment entry %q is not NAME=value", cut(e))
		}
	}
	if s.Workdir != "" && !cleanAbsolute(s.Workdir) {
		return Invalid("working directory %q is not an absolute clean path", s.Workdir)
	}
	return nil
}

func cleanAbsolute(p string) bool {
	return path.IsAbs(p) && path.Clean(p) == p && !strings.ContainsRune(p, 0)
}

// within says whether p is dir or lies inside it.
func within(p, dir string) bool {
	return p == dir || strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}

func cut(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

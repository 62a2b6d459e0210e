package job

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"tresor/app/access"
	"tresor/app/dataset"
	"tresor/app/fault"
	"tresor/app/store"
	"tresor/sandbox"
)

// refOf names the container of one attempt. It depends on nothing else, so a
// restart knows the name before it looks.
func refOf(job string, task, attempt int) sandbox.Ref {
	return sandbox.Ref(fmt.Sprintf("tresor-%s-%d-%d", job, task, attempt))
}

// ownerOf reads from a container's labels which attempt it is; false for a
// container that is not a job's.
func ownerOf(st sandbox.Status) (job string, task, attempt int, ok bool) {
	job = st.Labels["job"]
	task, errTask := strconv.Atoi(st.Labels["task"])
	attempt, errAttempt := strconv.Atoi(st.Labels["attempt"])
	return job, task, attempt, job != "" && errTask == nil && errAttempt == nil
}

func scratchOf(job string) string { return "tresor-" + job }

// check asks again, at the start, everything that a submission was allowed on.
// The answer is a refusal for people.
func (s *Service) check(tx *store.Tx, j *Job) error {
	if err := s.Projects.Open(tx, j.Project); err != nil {
		return err
	}
	member, err := s.Projects.WorkingRoles(tx, j.Submitter.ID)
	if err != nil {
		return err
	}
	who := access.Actor{ID: j.Submitter.ID, Handle: j.Submitter.Handle, Name: j.Submitter.Name, Projects: member}
	if !access.Can(who, access.JobSubmit, j.thing()) {
		return fault.New("job.start", fault.Denied, "%s is no longer a member of the project, or their account is disabled.", j.Submitter.Name)
	}
	for _, t := range j.Tasks {
		img, err := s.Images.Resolve(tx, t.Image)
		if err != nil {
			return err
		}
		if img.Digest != t.Image || img.ID != t.imageID {
			return fault.New("job.start", fault.Conflict, "The image %s is not the one that the job was submitted with.", t.ImageRef)
		}
	}
	if _, err = s.mounts(tx, j); err != nil {
		return err
	}
	if _, err = s.roots(tx, j); err != nil || s.Allowed == nil {
		return err
	}
	return s.Allowed(tx, *j)
}

// mounts finds where the pinned dataset versions lie; it refuses one that is no
// longer granted or no longer the same.
func (s *Service) mounts(tx *store.Tx, j *Job) ([]dataset.Mount, error) {
	var all []dataset.Mount
	for _, d := range j.Datasets {
		list, err := s.Datasets.MountFor(tx, j.Project, d.ID, d.Version)
		if err != nil {
			return nil, err
		}
		for _, m := range list {
			if m.SHA256 != d.SHA256 {
				return nil, fault.New("job.start", fault.Conflict, "Version %d of the dataset %s is not the one that the job was submitted with.", d.Version, d.Slug)
			}
		}
		all = append(all, list...)
	}
	return all, nil
}

// spec builds what the runner is asked for. It writes the inline inputs, which
// may be lost in a crash: they are written again before each attempt.
func (s *Service) spec(j *Job, n int, mounts []dataset.Mount, roots map[int]string) (sandbox.Spec, error) {
	t := j.Tasks[n]
	sp := sandbox.Spec{
		Ref:     refOf(j.ID, n, t.Attempt),
		Labels:  map[string]string{"job": j.ID, "task": strconv.Itoa(n), "attempt": strconv.Itoa(t.Attempt), "volumes": strconv.Itoa(len(j.shared()))},
		Image:   t.imageID,
		Argv:    t.Argv,
		Env:     t.Env,
		Workdir: t.Workdir,
		Stdin:   t.Stdin,
		Stdout:  t.Stdout,
		Stderr:  t.Stderr,
		Scratch: j.scratch(),
		Inside:  j.Inside,
		Project: j.projectFolder(n),
		Limits:  j.Limits.sandbox(),
	}
	if n == len(j.Tasks)-1 {
		sp.Outputs = j.Declared
	}
	for _, m := range mounts {
		sp.Binds = append(sp.Binds, sandbox.Bind{Source: m.Source, Target: m.Target})
	}
	if j.own() {
		return sp, s.layPaths(&sp, j, n, roots)
	}
	if len(j.Inputs) == 0 {
		return sp, nil
	}
	dir, err := s.writeInputs(j)
	sp.Binds = append(sp.Binds, sandbox.Bind{Source: dir, Target: inFolder})
	return sp, err
}

func (s *Service) folder(job string) string { return filepath.Join(s.Dir, job) }

// writeInputs lays the inline inputs out where the sandbox account can read them
// but not list the folders above.
func (s *Service) writeInputs(j *Job) (string, error) {
	dir := filepath.Join(s.folder(j.ID), "in")
	if err := makeFolder(s.folder(j.ID), 0o711); err != nil {
		return dir, err
	}
	if err := makeFolder(dir, 0o755); err != nil {
		return dir, err
	}
	for name, content := range j.content {
		if err := replace(filepath.Join(dir, name), content); err != nil {
			return dir, err
		}
	}
	return dir, nil
}

// makeFolder makes a folder with exactly this mode, whatever the umask.
func makeFolder(dir string, mode os.FileMode) error {
	if err := os.MkdirAll(dir, mode); err != nil {
		return err
	}
	return os.Chmod(dir, mode)
}

func replace(path string, content []byte) error {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	if err := os.WriteFile(path, content, 0o444); err != nil {
		return err
	}
	return os.Chmod(path, 0o444)
}

package job

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/image"
	"tresor/app/project"
	"tresor/app/store"
)

// decider is what Images may offer besides: it says when an image was decided about.
type decider interface {
	OnDecision(func(tx *store.Tx, i image.Image) error)
}

// hearImages has jobs that wait for an image looked at when one was decided about.
func (s *Service) hearImages() {
	if d, ok := s.Images.(decider); ok {
		d.OnDecision(func(tx *store.Tx, _ image.Image) error {
			tx.AfterCommit(s.lookAtWaiting)
			return nil
		})
	}
}

func (s *Service) lookAtWaiting() {
	select {
	case s.decided <- struct{}{}:
	default:
	}
}

// imageFor resolves a task's image; waits when a later approval can still allow it.
func (s *Service) imageFor(tx *store.Tx, ref string) (img image.Image, waits bool, err error) {
	for i, name := range image.Spellings(ref) {
		found, problem := s.Images.Resolve(tx, name)
		if i == 0 || fault.KindOf(problem) != fault.NotFound || problem == nil {
			img, err = found, problem
		}
		if problem == nil || fault.KindOf(problem) != fault.NotFound {
			break
		}
	}
	if err == nil || errors.Is(err, image.ErrRevoked) {
		return img, false, err
	}
	switch fault.KindOf(err) {
	case fault.NotFound, fault.Conflict, fault.Unavailable:
		return image.Image{}, true, err
	}
	return image.Image{}, false, err
}

// setWaiting notes which image the job waits for, with the words for people.
func (j *Job) setWaiting(ref string) {
	j.WaitingImage, j.Reason, j.storedNext = ref, "", ""
	if ref != "" {
		j.Reason = fmt.Sprintf("Waits for the image %s to be approved.", clip(ref))
		j.storedNext = "An operator has to import and approve the image. The job goes on by itself then."
	}
}

// waitBatch is how many waiting jobs one transaction takes on.
const waitBatch = 50

// wakeWaiting goes on with every job whose images have been approved, and refuses
// those whose image was revoked. What fails is tried again at the next decision or comparison.
func (s *Service) wakeWaiting(ctx context.Context) error {
	var refs []string
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		var err error
		refs, err = texts(tx, `SELECT DISTINCT waits_image FROM job WHERE waits_image <> ''`)
		return err
	})
	for _, ref := range refs {
		err = errors.Join(err, s.wakeAll(ctx, ref))
	}
	return err
}

// waitingFor are jobs that wait for one image. That it is not empty is said for the
// database, whose index holds no others.
const waitingFor = `SELECT id FROM job WHERE waits_image = ? AND waits_image <> '' AND id > ? ORDER BY id LIMIT ?`

// wakeAll wakes the jobs that wait for one image, some at a time.
func (s *Service) wakeAll(ctx context.Context, ref string) error {
	for after, more := "", true; more; {
		err := s.update(ctx, func(tx *store.Tx) error {
			more = false
			if _, waits, err := s.imageFor(tx, ref); waits || err != nil && !errors.Is(err, image.ErrRevoked) {
				return unlessGone(waits, err)
			}
			ids, err := texts(tx, waitingFor, ref, after, waitBatch)
			if err != nil || len(ids) == 0 {
				return err
			}
			more = true
			tx.AfterCommit(func() { after = ids[len(ids)-1] })
			return each(ids, func(id string) error { return s.wake(tx, id) })
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func each(ids []string, do func(string) error) error {
	for _, id := range ids {
		if err := do(id); err != nil {
			return err
		}
	}
	return nil
}

func texts(tx *store.Tx, query string, args ...any) ([]string, error) {
	rows, err := tx.Query(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		list = append(list, text)
	}
	return list, rows.Err()
}

// wake pins the digests of a waiting job's images and lets it go on as its project decides.
func (s *Service) wake(tx *store.Tx, id string) error {
	j, err := load(tx, id)
	if err != nil || j.State != Submitted || j.WaitingImage == "" {
		return err
	}
	waiting, err := s.pinImages(tx, &j)
	if errors.Is(err, image.ErrRevoked) {
		return s.move(tx, &j, step{to: Refused, by: access.System, reason: fault.Message(err),
			next: "Submit it again with another image.", detail: []string{"cause", "image-revoked"}})
	}
	if err != nil {
		return err
	}
	j.setWaiting(waiting)
	if _, err := tx.Exec(`UPDATE job SET waits_image = ?, reason = ?, next = ? WHERE id = ?`, waiting, j.Reason, j.storedNext, id); err != nil {
		return fault.Wrap("job.wake", err)
	}
	s.publish(tx, j)
	if waiting != "" {
		return nil
	}
	e := audit.By(access.System, "job.resolved", Subject(id), j.Project, "tasks", strconv.Itoa(len(j.Tasks)))
	if _, err := s.Log.Append(tx, e); err != nil {
		return fault.Wrap("job.wake", err)
	}
	return s.goOn(tx, &j)
}

// pinImages resolves what is not resolved yet and returns the first image that is not approved.
func (s *Service) pinImages(tx *store.Tx, j *Job) (waiting string, err error) {
	for i := range j.Tasks {
		t := &j.Tasks[i]
		if t.imageID != "" {
			continue
		}
		img, waits, err := s.imageFor(tx, t.asked())
		if waits {
			orElse(&waiting, t.asked())
			continue
		}
		if err != nil {
			return "", err
		}
		t.Image, t.imageID, t.ImageRef = img.Digest, img.ID, img.Ref
		if _, err := tx.Exec(`UPDATE job_task SET image = ?, image_id = ?, image_ref = ? WHERE job = ? AND n = ?`,
			t.Image, t.imageID, t.ImageRef, j.ID, t.N); err != nil {
			return "", fault.Wrap("job.wake", err)
		}
	}
	return waiting, nil
}

// asked is what the submission named.
func (t TaskRun) asked() string { return t.ImageRef }

// goOn decides whether a submitted job may run without a person's word.
func (s *Service) goOn(tx *store.Tx, j *Job) error {
	p, err := s.Projects.Head(tx, j.Project)
	if err != nil {
		return err
	}
	if p.Approval == project.EveryJob || j.EveryJob {
		return s.moved(tx, *j)
	}
	if err := s.pass(tx, j, step{to: Approved, by: access.System, detail: []string{"mode", string(p.Approval)}}); err != nil {
		return err
	}
	e := j.entry()
	tx.AfterCommit(func() { s.sched.add(e) })
	return nil
}

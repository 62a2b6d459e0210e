package project

import (
	"regexp"
	"strings"
	"time"

	"tresor/app/fault"
)

// Draft is what a new project starts with. Zero values of the policy fields mean
// the defaults; others need the right to set a project's policy.
type Draft struct {
	Slug        string     `json:"slug"`
	Name        string     `json:"name"`
	Purpose     string     `json:"purpose"`
	EndsAt      *time.Time `json:"ends_at"`
	Approval    Approval   `json:"approval"`
	Threshold   int        `json:"threshold"`
	Reviewers   int        `json:"reviewers"`
	WaiverUntil *time.Time `json:"waiver_until"` // with Reviewers 1
	Reason      string     `json:"reason"`       // why the policy is weaker than the default
}

// Change is what to change; nil leaves a field as it is.
type Change struct {
	Name        *string    `json:"name"`
	Purpose     *string    `json:"purpose"`
	State       *State     `json:"state"`
	EndsAt      *time.Time `json:"ends_at"`
	NoEnd       bool       `json:"no_end"` // drop the end date
	Approval    *Approval  `json:"approval"`
	Threshold   *int       `json:"threshold"`
	Reviewers   *int       `json:"reviewers"`
	WaiverUntil *time.Time `json:"waiver_until"`
	Reason      string     `json:"reason"` // needed to close, to reopen and to weaken the policy
}

var slugForm = regexp.MustCompile(`^[a-z][a-z0-9-]{1,39}$`)

const maxText = 4000 // characters of a purpose or a reason

func (d *Draft) complete() {
	if d.Approval == "" {
		d.Approval = ImageOnly
	}
	if d.Threshold == 0 {
		d.Threshold = DefaultThreshold
	}
	if d.Reviewers == 0 {
		d.Reviewers = DefaultReviewers
	}
}

// standard reports whether the draft keeps the policy that every project has.
func (d Draft) standard() bool {
	return d.Approval == ImageOnly && d.Threshold == DefaultThreshold && d.Reviewers == DefaultReviewers
}

func (c Change) policy() bool {
	return c.Approval != nil || c.Threshold != nil || c.Reviewers != nil || c.WaiverUntil != nil
}

func (c Change) facts() bool {
	return c.Name != nil || c.Purpose != nil || c.State != nil || c.EndsAt != nil || c.NoEnd
}

func invalid(op, format string, args ...any) error {
	return fault.New(op, fault.Invalid, format, args...)
}

// checkText refuses empty, oversized and unprintable text.
func checkText(op, what, s string, max int) error {
	switch {
	case strings.TrimSpace(s) == "":
		return invalid(op, "The %s is missing. Write it in a sentence that others understand.", what)
	case len([]rune(s)) > max:
		return invalid(op, "The %s is longer than %d characters. Shorten it.", what, max)
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' }):
		return invalid(op, "The %s holds control characters. Remove them.", what)
	}
	return nil
}

// check refuses a project that must not be stored. now is the moment of the change.
func (p Project) check(op string, now time.Time) error {
	if !slugForm.MatchString(p.Slug) {
		return invalid(op, "%q is not a short name. Use 2 to 40 lower-case letters, digits and hyphens, starting with a letter.", p.Slug)
	}
	if err := checkText(op, "name", p.Name, 200); err != nil {
		return err
	}
	if err := checkText(op, "purpose", p.Purpose, maxText); err != nil {
		return err
	}
	return p.checkPolicy(op, now)
}

func (p Project) checkPolicy(op string, now time.Time) error {
	switch p.Approval {
	case EveryJob, ImageOnly, NoneAtAll:
	default:
		return invalid(op, "%q is not an approval mode. Choose every, image or off.", p.Approval)
	}
	if p.Threshold < 1 || p.Threshold > 1_000_000 {
		return invalid(op, "The smallest count that may be released is %d. Choose a number from 1 to 1,000,000; 10 is usual.", p.Threshold)
	}
	if p.Reviewers < 1 || p.Reviewers > DefaultReviewers {
		return invalid(op, "A project has one or two reviewers per request, not %d.", p.Reviewers)
	}
	if p.Reviewers < DefaultReviewers {
		return p.checkWaiver(op, now)
	}
	return p.checkReason(op)
}

func (p Project) checkWaiver(op string, now time.Time) error {
	w := p.Waiver
	if w == nil || strings.TrimSpace(w.Reason) == "" {
		return invalid(op, "One reviewer instead of two is a waiver. Give the reason for it.")
	}
	if w.Until.IsZero() || !w.Until.After(now) {
		return invalid(op, "One reviewer instead of two is a waiver. Say until when it holds, with waiver_until in the future.")
	}
	if w.Until.After(now.AddDate(1, 0, 1)) {
		return invalid(op, "A waiver holds for at most a year. Choose an earlier waiver_until and renew it when it is still needed.")
	}
	return checkText(op, "reason", w.Reason, maxText)
}

// checkReason wants a reason for every policy weaker than the default.
func (p Project) checkReason(op string) error {
	if p.Approval != NoneAtAll && p.Threshold >= DefaultThreshold {
		return nil
	}
	if strings.TrimSpace(p.Reason) == "" {
		return invalid(op, "No approval of jobs, or a threshold under %d, is weaker than the default. Give the reason for it.", DefaultThreshold)
	}
	return checkText(op, "reason", p.Reason, maxText)
}

// checkEnd refuses an end that has passed already.
func checkEnd(op string, ends *time.Time, now time.Time) error {
	if ends != nil && !ends.After(now) {
		return invalid(op, "The end date %s has passed already. Choose a later one, or close the project.", ends.Format("2006-01-02"))
	}
	return nil
}

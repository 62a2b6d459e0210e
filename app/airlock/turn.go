package airlock

import (
	"slices"

	"tresor/app/access"
)

// turn says whose turn it is, in words for one reader. voted tells that this
// reader has voted on the current round.
func (r Request) turn(actor access.Actor, voted bool) Turn {
	t := Turn{Who: r.State.side()}
	switch t.Who {
	case TurnRequester:
		t.Yours = access.Can(actor, access.AirlockSubmit, r.thing())
	case TurnReviewers:
		t.Yours = !voted && access.Can(actor, access.AirlockReview, r.thing())
	case TurnReleaser:
		t.Yours = access.Can(actor, access.ReleaseMake, r.thing())
	}
	t.Next = r.nextText(t.Yours, voted)
	return t
}

func (r Request) nextText(yours, voted bool) string {
	switch {
	case r.State == Draft && yours:
		return "Write what the files show, look at the findings, and submit the request."
	case r.State == Draft:
		return r.Requester.Name + " has to submit the request."
	case r.State == Returned && yours:
		return "Read the reviewers' comments, change the request, and submit it again."
	case r.State == Returned:
		return r.Requester.Name + " has to change the request and submit it again."
	case r.State.UnderReview() && yours:
		return "Look at every file, then vote."
	case r.State.UnderReview() && voted:
		return "You have voted. The request goes on when the other reviewer has voted."
	case r.State.UnderReview():
		return "Output checkers who are not members of the project have to vote."
	case r.State == Approved && yours:
		return "Make the release."
	case r.State == Approved:
		return "A member of the project or a reviewer makes the release."
	case r.State == Rejected:
		return "Nothing leaves. Read the reviewers' comments and submit a changed job."
	case r.State == Released:
		return "Download the release."
	}
	return "Nothing to do: the request was withdrawn. The job's outputs can be asked for again."
}

// shows reports whether the files that the request lists now are for actor's
// eyes: what a project prepares for the next round is its own until it is sent.
func (r Request) shows(actor access.Actor) bool {
	return !r.State.Editable() || actor.In(r.Project) != ""
}

// can lists what the actor may do to the request now, in the words of the
// actions: edit, submit, withdraw, review, comment, view, release.
func (r Request) can(actor access.Actor, voted bool) []string {
	list := []string{}
	for _, a := range []struct {
		name   string
		action access.Action
		now    bool
	}{
		{"edit", access.AirlockEdit, r.State.Editable()},
		{"submit", access.AirlockSubmit, r.State.Editable()},
		{"withdraw", access.AirlockWithdraw, r.State.Can(Withdrawn)},
		{"review", access.AirlockReview, r.State.UnderReview() && !voted},
		{"comment", access.AirlockComment, !r.State.Terminal()},
		{"view", access.AirlockView, r.shows(actor)},
		{"release", access.ReleaseMake, r.State == Approved},
	} {
		if a.now && access.Can(actor, a.action, r.thing()) {
			list = append(list, a.name)
		}
	}
	return slices.Clip(list)
}

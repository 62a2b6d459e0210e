package access

import (
	"strings"
	"testing"

	"tresor/app/fault"
)

func TestSeparationOfDuties(t *testing.T) {
	checker := Actor{ID: "me", Roles: []Role{Checker}}
	operator := Actor{ID: "me", Roles: []Role{Operator}}
	both := Actor{ID: "me", Roles: []Role{Operator, Steward}}
	cases := []struct {
		name   string
		actor  Actor
		action Action
		thing  Thing
		kind   fault.Kind
		says   string
	}{
		{"checker reviews a stranger's request", checker, AirlockReview, Thing{Project: "p", Owner: "else"}, 0, ""},
		{"denied: checker reviews own request", checker, AirlockReview, Thing{Project: "p", Owner: "me"}, fault.Denied, "own request"},
		{"denied: checker reviews a request from own job", checker, AirlockReview, Thing{Project: "p", Owner: "else", Involved: []string{"me"}}, fault.Denied, "own request"},
		{"denied: checker reviews a request of own project", member(Researcher, Checker), AirlockReview, Thing{Project: "p", Owner: "else"}, fault.Denied, "member of this project"},
		{"denied: the system reviews", System, AirlockReview, Thing{Project: "p", Owner: "else"}, fault.Denied, "person's judgement"},
		{"denied: operator reads a log", operator, JobLog, Thing{Project: "p"}, fault.Denied, "members"},
		{"denied: operator who is steward downloads a release", both, ReleaseOpen, Thing{Project: "p"}, fault.Denied, "never see data"},
		{"denied: operator who is steward sees values", both, DatasetValues, Thing{Projects: []string{"p"}}, fault.Denied, "never see data"},
		{"operator sees the catalogue", operator, DatasetRead, Thing{Projects: []string{"p"}}, 0, ""},
		{"denied: lead approves own job", member(Lead), JobDecide, Thing{Project: "p", Owner: "me"}, fault.Denied, "own job"},
		{"lead approves a researcher's job", member(Lead), JobDecide, Thing{Project: "p", Owner: "else"}, 0, ""},
		{"denied: steward approves own job", member(Researcher, Steward), JobDecide, Thing{Project: "p", Owner: "me"}, fault.Denied, "own job"},
		{"lead adds a researcher", member(Lead), ProjectMember, Thing{Project: "p", Person: "else", Role: Researcher}, 0, ""},
		{"denied: lead appoints a lead", member(Lead), ProjectMember, Thing{Project: "p", Person: "else", Role: Lead}, fault.Denied, "researchers only"},
		{"denied: lead drops somebody of unknown role", member(Lead), ProjectMember, Thing{Project: "p", Person: "else"}, fault.Denied, "researchers only"},
		{"denied: lead changes own membership", member(Lead), ProjectMember, Thing{Project: "p", Person: "me", Role: Researcher}, fault.Denied, "own roles"},
		{"operator appoints a lead", operator, ProjectMember, Thing{Project: "p", Person: "else", Role: Lead}, 0, ""},
		{"denied: operator makes themselves a member", operator, ProjectMember, Thing{Project: "p", Person: "me", Role: Lead}, fault.Denied, "own roles"},
		{"denied: operator changes own account", operator, PersonManage, Thing{Person: "me"}, fault.Denied, "own roles"},
		{"operator changes somebody else", operator, PersonManage, Thing{Person: "else"}, 0, ""},
		{"submitter cancels", member(Researcher), JobCancel, Thing{Project: "p", Owner: "me"}, 0, ""},
		{"denied: colleague cancels", member(Researcher), JobCancel, Thing{Project: "p", Owner: "else"}, fault.Denied, "lead"},
		{"not found: former member cancels own job", Actor{ID: "me"}, JobCancel, Thing{Project: "p", Owner: "me"}, fault.NotFound, "visible"},
		{"denied: colleague submits somebody's request", member(Researcher), AirlockSubmit, Thing{Project: "p", Owner: "else"}, fault.Denied, "person who made"},
		{"lead withdraws somebody's request", member(Lead), AirlockWithdraw, Thing{Project: "p", Owner: "else"}, 0, ""},
		{"not found: stranger reads a job", Actor{ID: "me"}, JobRead, Thing{Project: "p"}, fault.NotFound, "visible"},
		{"not found: stranger reads a dataset", Actor{ID: "me"}, DatasetRead, Thing{Projects: []string{"p"}}, fault.NotFound, "visible"},
		{"member of one of several projects reads a dataset", member(Researcher), DatasetRead, Thing{Projects: []string{"x", "p"}}, 0, ""},
		{"lead lends the project", member(Lead), FederationUse, Thing{Project: "p"}, 0, ""},
		{"denied: researcher lends the project", member(Researcher), FederationUse, Thing{Project: "p"}, fault.Denied, "Only the lead"},
		{"denied: operator lends a project", operator, FederationUse, Thing{Project: "p"}, fault.Denied, "Only the lead"},
		{"denied: lead makes a principal", member(Lead), FederationManage, Thing{}, fault.Denied, "operator"},
		{"lead sees a principal of the project", member(Lead), FederationRead, Thing{Projects: []string{"x", "p"}}, 0, ""},
		{"denied: lead sees a principal of no project", member(Lead), FederationRead, Thing{}, fault.Denied, "operators and auditors"},
		{"not found: lead sees a principal of other projects", member(Lead), FederationRead, Thing{Projects: []string{"x"}}, fault.NotFound, "visible"},
		{"denied: researcher reads the ledger", member(Researcher), FederationLedger, Thing{Project: "p"}, fault.Denied, "lead of the project"},
		{"denied: operator makes a token for data", operator, TokenMake, Thing{Project: "p"}, fault.Denied, "members"},
		{"own token", Actor{ID: "me"}, TokenRevoke, Thing{Owner: "me"}, 0, ""},
		{"denied: somebody else's token", member(Lead), TokenRevoke, Thing{Owner: "else"}, fault.Denied, "somebody else's"},
		{"operator revokes a leaked token", operator, TokenRevoke, Thing{Owner: "else"}, 0, ""},
		{"denied: operator looks into the tree", operator, TreeRead, Thing{Project: "p"}, fault.Denied, "members"},
		{"denied: hub operator downloads results", operator, HubResults, Thing{Project: "p"}, fault.Denied, "members"},
		{"not found: stranger sees a hub task", Actor{ID: "me"}, HubTasks, Thing{Project: "p"}, fault.NotFound, "visible"},
		{"denied: a project role without a project", member(Lead), JobSubmit, Thing{}, fault.Denied, "members"},
		{"denied: an owner without an id", Actor{Via: "web"}, JobCancel, Thing{Project: "p"}, fault.Denied, "Sign in"},
		{"denied: not signed in", Actor{}, HomeRead, Thing{}, fault.Denied, "Sign in"},
		{"denied: an unknown action, even for the system", System, "data.leak", Thing{}, fault.Denied, "not an action"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { check(t, May(c.actor, c.action, c.thing), c.kind, c.says) })
	}
}

func TestValidateRoles(t *testing.T) {
	in := map[string]Role{"p": Researcher}
	cases := []struct {
		name     string
		site     []Role
		projects map[string]Role
		kind     fault.Kind
		says     string
	}{
		{"nothing", nil, nil, 0, ""},
		{"operator alone", []Role{Operator}, nil, 0, ""},
		{"operator and auditor", []Role{Operator, Auditor}, nil, 0, ""},
		{"checker in a project", []Role{Checker}, in, 0, ""},
		{"refused: operator and checker", []Role{Operator, Checker}, nil, fault.Conflict, "cannot be an output checker"},
		{"refused: operator in a project", []Role{Operator}, in, fault.Conflict, "cannot be a member"},
		{"refused: unknown site role", []Role{"root"}, nil, fault.Invalid, "not a site role"},
		{"refused: a project role for the site", []Role{Lead}, nil, fault.Invalid, "not a site role"},
		{"refused: the same role twice", []Role{Checker, Checker}, nil, fault.Invalid, "twice"},
		{"refused: a site role in a project", nil, map[string]Role{"p": Operator}, fault.Invalid, "not a project role"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { check(t, ValidateRoles(c.site, c.projects), c.kind, c.says) })
	}
}

func TestAnywhere(t *testing.T) {
	cases := []struct {
		name   string
		actor  Actor
		action Action
		want   bool
	}{
		{"researcher lists jobs", member(Researcher), JobRead, true},
		{"researcher has requests to edit", member(Researcher), AirlockEdit, true},
		{"lead lists people", member(Lead), PersonRead, true},
		{"lead adds researchers", member(Lead), ProjectMember, true},
		{"researcher does not manage members", member(Researcher), ProjectMember, false},
		{"person without roles has no jobs", Actor{ID: "me"}, JobRead, false},
		{"operator has no logs", Actor{ID: "me", Roles: []Role{Operator}}, JobLog, false},
		{"nobody", Actor{}, JobRead, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := Anywhere(c.actor, c.action); got != c.want {
				t.Errorf("Anywhere = %v, want %v", got, c.want)
			}
		})
	}
}

// While enrolling, a session reaches its own account and nothing else.
func TestWhileEnrolling(t *testing.T) {
	for _, action := range Actions() {
		own := strings.HasPrefix(string(action), "session.") && action != SessionStepUp
		if got := action.WhileEnrolling(); got != (own || action.Public()) {
			t.Errorf("%s: WhileEnrolling = %v", action, got)
		}
	}
}

func TestEveryRuleSaysWhoMay(t *testing.T) {
	for action, r := range matrix {
		if !strings.HasSuffix(r.says, ".") {
			t.Errorf("%s: %q is not a sentence", action, r.says)
		}
		if !r.public && !r.signed && !r.owner && len(r.site)+len(r.member) == 0 {
			t.Errorf("%s: nobody may do it", action)
		}
	}
}

func check(t *testing.T, err error, kind fault.Kind, says string) {
	t.Helper()
	if says == "" {
		if err != nil {
			t.Fatalf("refused: %v", err)
		}
		return
	}
	if err == nil || fault.KindOf(err) != kind {
		t.Fatalf("got %v, want kind %v", err, kind)
	}
	if !strings.Contains(fault.Message(err), says) {
		t.Errorf("says %q, want it to mention %q", fault.Message(err), says)
	}
}

package cli

import (
	"net/http"

	"github.com/spf13/cobra"
)

// policy holds the flags about a project that create and change share.
type policy struct {
	name, purpose, ends, approval, waiver, reason string
	threshold, reviewers                          int
}

func (p *policy) flags(e *env, c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&p.name, "name", "", "name for people")
	f.StringVar(&p.purpose, "purpose", "", "what the data may be used for")
	f.StringVar(&p.ends, "ends", "", "last day of the project, as 2027-12-31")
	f.StringVar(&p.approval, "approval", "", "job approval: every, image (default) or off")
	f.IntVar(&p.threshold, "threshold", 0, "smallest count that may be released (default 10)")
	f.IntVar(&p.reviewers, "reviewers", 0, "reviews that a request needs (default 2; 1 needs --waiver-until)")
	f.StringVar(&p.waiver, "waiver-until", "", "last day on which one reviewer is enough")
	f.StringVar(&p.reason, "reason", "", "why the policy is weaker than the default (recorded)")
	flagCompletes(e, c, "approval", words("every", "image", "off"))
}

// body holds what was said on the command line and nothing else.
func (p *policy) body(c *cobra.Command) (map[string]any, error) {
	body := map[string]any{}
	for name, v := range map[string]any{"name": p.name, "purpose": p.purpose, "approval": p.approval, "reason": p.reason, "threshold": p.threshold, "reviewers": p.reviewers} {
		if c.Flags().Changed(name) {
			body[name] = v
		}
	}
	for key, day := range map[string]string{"ends_at": p.ends, "waiver_until": p.waiver} {
		if day == "" {
			continue
		}
		t, err := parseDay(day)
		if err != nil {
			return nil, err
		}
		body[key] = t
	}
	return body, nil
}

func projectCreate(e *env) *cobra.Command {
	var p policy
	var slug string
	c := &cobra.Command{Use: "create", Short: "Create a project", Args: cobra.NoArgs,
		Example: `  tresor project create --slug aurora --name "Aurora" --purpose "Effect of cost sharing on visits" --ends 2027-12-31`,
		RunE: func(c *cobra.Command, _ []string) error {
			body, err := p.body(c)
			if err != nil {
				return err
			}
			body["slug"] = slug
			return show(c.Context(), e, http.MethodPost, "/projects", body, printProject)
		}}
	c.Flags().StringVar(&slug, "slug", "", "short name for addresses, lower case")
	p.flags(e, c)
	required(c, "slug", "name", "purpose")
	return c
}

func projectChange(e *env) *cobra.Command {
	var p policy
	var noEnd bool
	c := &cobra.Command{Use: "change PROJECT", Short: "Change a project's name, purpose, end or policy; what is not named stays", Args: cobra.ExactArgs(1),
		Long: `The policy (approval, threshold, reviewers) is a data steward's to change: use --as.
One reviewer instead of two is a waiver: it needs --waiver-until and --reason, and ends by itself.`,
		Example: `  tresor project change aurora --ends 2028-06-30
  tresor project change aurora --as stefan --approval every
  tresor project change aurora --as stefan --reviewers 1 --waiver-until 2027-01-31 --reason "second checker on leave"`,
		RunE: func(c *cobra.Command, args []string) error {
			body, err := p.body(c)
			if err != nil {
				return err
			}
			if noEnd {
				body["no_end"] = true
			}
			return show(c.Context(), e, http.MethodPatch, "/projects/"+esc(args[0]), body, printProject)
		}}
	p.flags(e, c)
	c.Flags().BoolVar(&noEnd, "no-end", false, "drop the end date")
	c.MarkFlagsMutuallyExclusive("ends", "no-end")
	c.MarkFlagsOneRequired("name", "purpose", "ends", "no-end", "approval", "threshold", "reviewers", "waiver-until")
	return completes(e, c, someProjects)
}

package cli

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tresor/app/fault"
)

type personView struct {
	ID       string     `json:"id"`
	Handle   string     `json:"handle"`
	Name     string     `json:"name"`
	Roles    []string   `json:"roles"`
	Email    string     `json:"email,omitempty"`
	Disabled bool       `json:"disabled"`
	Password bool       `json:"password"`
	TOTP     bool       `json:"totp"`
	LastSeen *time.Time `json:"last_seen"`
}

type linkView struct {
	URL       string    `json:"url"`
	ExpiresAt time.Time `json:"expires_at"`
}

var siteRoles = words("operator", "steward", "checker", "auditor")

func newPerson(e *env) *cobra.Command {
	return group("person", "People: accounts, roles and one-time links", "",
		personList(e), personShow(e), personCreate(e), personChange(e), personLink(e), personRoles(e), personDisable(e), personSessions(e))
}

func people(c *cobra.Command, e *env) ([]personView, error) {
	var p page[personView]
	err := e.client.do(c.Context(), http.MethodGet, "/people", nil, &p)
	return p.Items, err
}

// personID turns a sign-in name into an id; an id is passed through.
func personID(c *cobra.Command, e *env, who string) (string, error) {
	all, err := people(c, e)
	if err != nil {
		return "", err
	}
	for _, p := range all {
		if p.Handle == who || p.ID == who {
			return p.ID, nil
		}
	}
	return "", fault.WithNext(fault.New("cli.person", fault.NotFound, "There is no person with the sign-in name %q.", who), "See `tresor person list`.")
}

func personList(e *env) *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List the people", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return show(c.Context(), e, http.MethodGet, "/people", nil, func(w io.Writer, p page[personView]) {
				var rows [][]string
				for _, x := range p.Items {
					rows = append(rows, []string{x.Handle, x.Name, strings.Join(x.Roles, " "), yes(x.Disabled, "disabled", "active"), yes(x.TOTP, "yes", "no"), when(x.LastSeen)})
				}
				table(w, "person|name|roles|state|second factor|last seen", rows)
			})
		}}
}

func personCreate(e *env) *cobra.Command {
	var name, email string
	var roles []string
	c := &cobra.Command{Use: "create HANDLE", Short: "Create an account and print its one-time link", Args: cobra.ExactArgs(1),
		Example: `  tresor person create ada --name "Ada Lovelace" --role checker`,
		RunE: func(c *cobra.Command, args []string) error {
			body := map[string]any{"handle": args[0], "name": name, "roles": roles}
			if email != "" {
				body["email"] = email
			}
			var p personView
			if err := e.client.do(c.Context(), http.MethodPost, "/people", body, &p); err != nil {
				return err
			}
			return printLink(c, e, p)
		}}
	f := c.Flags()
	f.StringVar(&name, "name", "", "full name")
	f.StringVar(&email, "email", "", "address for notices")
	f.StringSliceVar(&roles, "role", nil, "site role: operator, steward, checker, auditor (repeatable)")
	flagCompletes(e, c, "role", siteRoles)
	required(c, "name")
	return c
}

func printLink(c *cobra.Command, e *env, p personView) error {
	var l linkView
	if err := e.client.do(c.Context(), http.MethodPost, "/people/"+esc(p.ID)+"/link", map[string]any{}, &l); err != nil {
		return err
	}
	if e.json {
		return printJSON(e.out, map[string]any{"person": p, "link": l})
	}
	fmt.Fprintf(e.out, "One-time link for %s, good once until %s:\n%s\n", p.Handle, l.ExpiresAt.Local().Format("2006-01-02 15:04 MST"), l.URL)
	fmt.Fprintln(e.out, "Hand it over in person or by a channel that you trust: whoever opens it becomes this person.")
	return nil
}

func personLink(e *env) *cobra.Command {
	return completes(e, &cobra.Command{Use: "link PERSON", Short: "Issue a new one-time link (first sign-in, or a lost password)", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := personID(c, e, args[0])
			if err != nil {
				return err
			}
			var p personView
			if err := e.client.do(c.Context(), http.MethodGet, "/people/"+esc(id), nil, &p); err != nil {
				return err
			}
			return printLink(c, e, p)
		}}, somePeople)
}

func personRoles(e *env) *cobra.Command {
	return completes(e, &cobra.Command{Use: "roles PERSON [ROLE…]", Short: "Set a person's site roles (none: take all away)", Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := personID(c, e, args[0])
			if err != nil {
				return err
			}
			roles := append([]string{}, args[1:]...)
			return show(c.Context(), e, http.MethodPatch, "/people/"+esc(id), map[string]any{"roles": roles}, printPerson)
		}}, somePeople, siteRoles, siteRoles, siteRoles, siteRoles)
}

func yes(ok bool, then, otherwise string) string {
	if ok {
		return then
	}
	return otherwise
}

func printPerson(w io.Writer, p personView) {
	facts(w, "person", p.Handle, "name", p.Name, "id", p.ID, "roles", strings.Join(p.Roles, " "), "email", p.Email,
		"password", yes(p.Password, "set", "not set yet"), "second factor", yes(p.TOTP, "confirmed", "not set yet"), "state", yes(p.Disabled, "disabled", "active"), "last seen", when(p.LastSeen))
}

func personDisable(e *env) *cobra.Command {
	var undo bool
	var reason string
	c := &cobra.Command{Use: "disable PERSON", Short: "End a person's sessions and refuse new ones (--undo restores)", Args: cobra.ExactArgs(1),
		Example: "  tresor person disable rosa --reason \"left the institute\"\n  tresor person disable rosa --undo",
		RunE: func(c *cobra.Command, args []string) error {
			id, err := personID(c, e, args[0])
			if err != nil {
				return err
			}
			return show(c.Context(), e, http.MethodPatch, "/people/"+esc(id), map[string]any{"disabled": !undo, "reason": reason}, printPerson)
		}}
	c.Flags().BoolVar(&undo, "undo", false, "let the person sign in again")
	c.Flags().StringVar(&reason, "reason", "", "why (recorded)")
	c.MarkFlagsOneRequired("undo", "reason")
	return completes(e, c, somePeople)
}

func personShow(e *env) *cobra.Command {
	return completes(e, &cobra.Command{Use: "show PERSON", Short: "Show one person", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := personID(c, e, args[0])
			if err != nil {
				return err
			}
			return show(c.Context(), e, http.MethodGet, "/people/"+esc(id), nil, printPerson)
		}}, somePeople)
}

func personChange(e *env) *cobra.Command {
	var name, email string
	c := &cobra.Command{Use: "change PERSON", Short: "Change a person's name or address", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := personID(c, e, args[0])
			if err != nil {
				return err
			}
			body := map[string]string{}
			for k, v := range map[string]string{"name": name, "email": email} {
				if c.Flags().Changed(k) {
					body[k] = v
				}
			}
			return show(c.Context(), e, http.MethodPatch, "/people/"+esc(id), body, printPerson)
		}}
	c.Flags().StringVar(&name, "name", "", "full name")
	c.Flags().StringVar(&email, "email", "", "address for notices")
	c.MarkFlagsOneRequired("name", "email")
	return completes(e, c, somePeople)
}

func personSessions(e *env) *cobra.Command {
	var end bool
	c := &cobra.Command{Use: "sessions PERSON", Short: "List where a person is signed in, or --end it all", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := personID(c, e, args[0])
			if err != nil {
				return err
			}
			path := "/people/" + esc(id) + "/sessions"
			if end {
				if err := e.client.do(c.Context(), http.MethodDelete, path, nil, nil); err != nil {
					return err
				}
			}
			return show(c.Context(), e, http.MethodGet, path, nil, printSessions)
		}}
	c.Flags().BoolVar(&end, "end", false, "sign the person out everywhere")
	return completes(e, c, somePeople)
}

func printSessions(w io.Writer, p page[struct {
	ID        string    `json:"id"`
	Kind      string    `json:"kind"`
	Address   string    `json:"address"`
	CreatedAt time.Time `json:"created_at"`
	SeenAt    time.Time `json:"seen_at"`
	ExpiresAt time.Time `json:"expires_at"`
}]) {
	var rows [][]string
	for _, s := range p.Items {
		rows = append(rows, []string{s.ID, s.Kind, s.Address, when(&s.CreatedAt), when(&s.SeenAt), when(&s.ExpiresAt)})
	}
	table(w, "session|signed in by|address|since|last seen|ends", rows)
}

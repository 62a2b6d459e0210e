package cli

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tresor/app/fault"
)

type settingView struct {
	Key      string   `json:"key"`
	Label    string   `json:"label"`
	Kind     string   `json:"kind"`
	Choices  []string `json:"choices"`
	Default  string   `json:"default"`
	Required bool     `json:"required"`
}

type pluginView struct {
	Name      string `json:"name"`
	Title     string `json:"title"`
	Version   string `json:"version"`
	Protocol  string `json:"protocol"`
	Builtin   bool   `json:"builtin"`
	Path      string `json:"path"`
	SHA256    string `json:"sha256"`
	Enabled   bool   `json:"enabled"`
	Running   bool   `json:"running"`
	Starts    int    `json:"starts"`
	LastError string `json:"last_error"`
	Health    *struct {
		OK     bool   `json:"ok"`
		Detail string `json:"detail"`
	} `json:"health"`
	Since     *time.Time        `json:"since"`
	Schema    []settingView     `json:"settings_schema"`
	Settings  map[string]string `json:"settings"`
	Set       []string          `json:"set"`
	OnDemand  bool              `json:"on_demand"`
	TrustedBy string            `json:"trusted_by"`
	Confined  struct {
		Checked bool   `json:"checked"`
		Text    string `json:"text"`
	} `json:"confined"`
}

func newPlugin(e *env) *cobra.Command {
	return group("plugin", "Plugins: protocols that this appliance speaks with the outside",
		`A plugin translates one protocol. It runs as a process of its own without authority:
it sees no data, no unreleased byte and no secret of another plugin.`,
		pluginList(e), pluginShow(e), pluginTrust(e), pluginTest(e), pluginEnable(e, "enable", "Start a plugin now and at every start"),
		pluginEnable(e, "disable", "Stop a plugin"), pluginSet(e), pluginRemove(e))
}

func pluginPath(name string) string { return "/plugins/" + esc(name) }

func pluginList(e *env) *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List the plugins and how they are", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return show(c.Context(), e, http.MethodGet, "/plugins", nil, printPlugins)
		}}
}

func printPlugins(w io.Writer, p page[pluginView]) {
	var rows [][]string
	for _, x := range p.Items {
		rows = append(rows, []string{x.Name, x.Protocol, x.Version, yes(x.Builtin, "built in", "external"), pluginState(x), x.LastError})
	}
	table(w, "plugin|protocol|version|program|state|last error", rows)
}

func pluginState(p pluginView) string {
	switch {
	case p.OnDemand:
		return "runs while it is tested"
	case !p.Enabled:
		return "disabled"
	case p.Running:
		return "running"
	}
	return "down"
}

func pluginShow(e *env) *cobra.Command {
	return completes(e, &cobra.Command{Use: "show PLUGIN", Short: "Show one plugin with its settings, but for secrets", Args: cobra.ExactArgs(1),
		Example: "  tresor plugin show tes",
		RunE: func(c *cobra.Command, args []string) error {
			return show(c.Context(), e, http.MethodGet, pluginPath(args[0]), nil, printPlugin)
		}}, somePlugins)
}

func printPlugin(w io.Writer, p pluginView) {
	health := ""
	if p.Health != nil {
		health = yes(p.Health.OK, "well", "not well") + ": " + p.Health.Detail
	}
	facts(w, "plugin", p.Name, "title", p.Title, "protocol", p.Protocol, "version", p.Version, "program", yes(p.Builtin, "built in", p.Path), "sha256", p.SHA256, "trusted by", p.TrustedBy,
		"state", pluginState(p), "since", when(p.Since), "starts", strconv.Itoa(p.Starts), "health", health, "last error", p.LastError,
		"confined", firstOf(p.Confined.Text, yes(p.Confined.Checked, "checked", "not checked yet")))
	fmt.Fprintln(w, "\nsettings")
	var rows [][]string
	for _, s := range p.Schema {
		value := p.Settings[s.Key]
		if s.Kind == "secret" {
			value = yes(slices.Contains(p.Set, s.Key), "(set)", "(not set)")
		}
		rows = append(rows, []string{s.Key, s.Label, s.Kind, value, s.Default})
	}
	table(w, "key|meaning|kind|value|default", rows)
}

func pluginTest(e *env) *cobra.Command {
	return completes(e, &cobra.Command{Use: "test PLUGIN", Short: "Try a plugin's settings step by step", Args: cobra.ExactArgs(1),
		Example: "  tresor plugin test tes",
		RunE: func(c *cobra.Command, args []string) error {
			return testSteps(c, e, pluginPath(args[0])+"/test")
		}}, somePlugins)
}

type stepsView struct {
	Steps []struct {
		Name   string `json:"name"`
		OK     bool   `json:"ok"`
		Detail string `json:"detail"`
		Next   string `json:"next"`
	} `json:"steps"`
}

// testSteps prints each step of a connection test. A step that failed makes the
// command fail, after all of them were shown.
func testSteps(c *cobra.Command, e *env, path string) error {
	var failed, next string
	err := show(c.Context(), e, http.MethodPost, path, nil, func(w io.Writer, v stepsView) {
		for _, s := range v.Steps {
			fmt.Fprintf(w, "%s %s: %s\n", yes(s.OK, "✓", "✗"), clean(s.Name), clean(s.Detail))
			if !s.OK && failed == "" {
				failed, next = s.Name, s.Next
			}
		}
	})
	if err != nil || failed == "" {
		return err
	}
	return fault.WithNext(fault.New("cli.test", fault.Unavailable, "The step %q failed.", failed), "%s", firstOf(next, "Look at the detail of the step, then test again."))
}

func pluginEnable(e *env, verb, short string) *cobra.Command {
	return completes(e, &cobra.Command{Use: verb + " PLUGIN", Short: short, Args: cobra.ExactArgs(1),
		Example: "  tresor plugin " + verb + " tes",
		RunE: func(c *cobra.Command, args []string) error {
			return show(c.Context(), e, http.MethodPost, pluginPath(args[0])+"/"+verb, nil, printPlugin)
		}}, somePlugins)
}

func pluginSet(e *env) *cobra.Command {
	return completes(e, &cobra.Command{Use: "set PLUGIN KEY=VALUE…", Short: "Change settings of a plugin; what is not named stays", Args: cobra.MinimumNArgs(2),
		Long: `KEY=@FILE takes the value from a file and KEY=@- from standard input, so that a secret
stands in no list of processes and in no shell history. KEY= empties a value.`,
		Example: "  tresor plugin set beacon url=https://beacon.example.org\n  tresor plugin set beacon token=@/run/secrets/beacon",
		RunE: func(c *cobra.Command, args []string) error {
			var p pluginView
			if err := e.client.do(c.Context(), http.MethodGet, pluginPath(args[0]), nil, &p); err != nil {
				return err
			}
			values, secret := map[string]string{}, map[string]bool{}
			for _, s := range p.Schema {
				if v, ok := p.Settings[s.Key]; ok || s.Kind == "secret" {
					values[s.Key] = v // a secret comes empty, and goes back empty: it stays
				}
				secret[s.Key] = s.Kind == "secret"
			}
			for _, pair := range args[1:] {
				key, value, err := e.setting(pair)
				if err != nil {
					return err
				}
				if values[key] = value; value == "" && secret[key] {
					delete(values, key) // a secret that is not sent at all is taken away
				}
			}
			return show(c.Context(), e, http.MethodPut, pluginPath(args[0])+"/settings", map[string]any{"settings": values}, printPlugin)
		}}, somePlugins)
}

func (e *env) setting(pair string) (key, value string, err error) {
	key, value, ok := strings.Cut(pair, "=")
	if !ok || key == "" {
		return "", "", fault.WithNext(fault.New("cli.plugin", fault.Invalid, "%q is not KEY=VALUE.", pair), "The keys stand in `tresor plugin show`.")
	}
	name, from := strings.CutPrefix(value, "@")
	if !from {
		return key, value, nil
	}
	value, err = e.valueFrom(name)
	return key, value, err
}

func pluginRemove(e *env) *cobra.Command {
	var reason string
	c := &cobra.Command{Use: "remove PLUGIN", Short: "Stop a plugin and forget its file and settings", Args: cobra.ExactArgs(1),
		Example: "  tresor plugin remove beacon --reason \"replaced by another\"",
		RunE: func(c *cobra.Command, args []string) error {
			return done(c, e, http.MethodPost, pluginPath(args[0])+"/forget", because(reason), "removed")
		}}
	whyFlag(c, &reason, "")
	return completes(e, c, somePlugins)
}

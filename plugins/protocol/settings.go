package protocol

import (
	"fmt"
	"maps"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The kinds of settings.
const (
	KindText   = "text"
	KindURL    = "url"    // an absolute http or https address without a user in it
	KindSecret = "secret" // never shown again; may have several lines
	KindNumber = "number"
	KindChoice = "choice"
	KindSwitch = "switch" // "true" or "false"
)

// Bounds of what a plugin describes and is given.
const (
	MaxSettings = 64       // of one plugin
	MaxSetting  = 16 << 10 // bytes of one value
	maxLabel    = 200      // bytes of a name, title or label
	maxHelp     = 2000     // bytes
	maxChoices  = 100
)

var keys = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,39}$`)

// CheckDescription refuses a description from which no form can be drawn or no
// address made: an *Error with CodeInvalid that says what is wrong.
func CheckDescription(d Description) error {
	if !keys.MatchString(d.Name) {
		return invalid("the plugin's name %q is not a short lower-case word", clip(d.Name))
	}
	for what, v := range map[string]string{"title": d.Title, "version": d.Version, "protocol": d.Protocol} {
		if strings.TrimSpace(v) == "" || !plain(v, maxLabel) {
			return invalid("the plugin's %s is missing, too long or not plain text", what)
		}
	}
	if len(d.Settings) > MaxSettings {
		return invalid("the plugin has %d settings, at most %d are allowed", len(d.Settings), MaxSettings)
	}
	if err := checkLookups(d.Lookups); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, s := range d.Settings {
		if !keys.MatchString(s.Key) || seen[s.Key] {
			return invalid("the setting %q has no key of its own", clip(s.Key))
		}
		seen[s.Key] = true
		if err := s.check(); err != nil {
			return err
		}
	}
	return nil
}

// check refuses a setting that cannot be drawn.
func (s Setting) check() error {
	kinds := []string{KindText, KindURL, KindSecret, KindNumber, KindChoice, KindSwitch}
	switch {
	case !slices.Contains(kinds, s.Kind):
		return invalid("the setting %q is of the unknown kind %q", s.Key, clip(s.Kind))
	case s.Label == "" || !plain(s.Label, maxLabel) || !plain(s.Help, maxHelp):
		return invalid("the setting %q has no label, or one that cannot be shown", s.Key)
	case (s.Kind == KindChoice) != (len(s.Choices) > 0) || len(s.Choices) > maxChoices:
		return invalid("the setting %q has choices that do not fit its kind", s.Key)
	case s.Kind == KindSecret && s.Default != "":
		return invalid("the setting %q is a secret with a default", s.Key)
	case s.Default != "" && s.problem(s.Default) != "":
		return invalid("the setting %q has a default that it does not allow", s.Key)
	}
	return nil
}

// Filled returns s with the default of every setting that has no value.
func Filled(d Description, s Settings) Settings {
	out := Settings{}
	maps.Copy(out, s)
	for _, x := range d.Settings {
		if out[x.Key] == "" && x.Default != "" {
			out[x.Key] = x.Default
		}
	}
	return out
}

// CheckSettings refuses values that do not fit d's settings. Defaults count as
// given. The *Error has CodeInvalid and one line per setting, for people.
func CheckSettings(d Description, s Settings) error {
	s = Filled(d, s)
	var lines []string
	known := map[string]bool{}
	for _, x := range d.Settings {
		known[x.Key] = true
		v := s[x.Key]
		if strings.TrimSpace(v) == "" {
			if x.Required {
				lines = append(lines, x.Label+": enter a value; it is needed.")
			}
			continue
		}
		if p := x.problem(v); p != "" {
			lines = append(lines, x.Label+": "+p)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(s)) {
		if !known[k] {
			lines = append(lines, "The plugin has no setting "+strconv.Quote(clip(k))+". Remove it.")
		}
	}
	if len(lines) > 0 {
		return &Error{Code: CodeInvalid, Text: strings.Join(lines, "\n")}
	}
	return nil
}

// problem says what is wrong with a value that is not empty; "" is nothing.
func (s Setting) problem(v string) string {
	if len(v) > MaxSetting {
		return fmt.Sprintf("this is too long; at most %d characters fit.", MaxSetting)
	}
	switch s.Kind {
	case KindSecret:
		if !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
			return "this is not text; paste the secret as text."
		}
		return ""
	case KindURL:
		u, err := url.Parse(v)
		if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil || !plain(v, MaxSetting) {
			return "enter a full web address without a user name in it, for example https://hub.example.org/."
		}
	case KindNumber:
		if n, err := strconv.ParseFloat(v, 64); err != nil || math.IsInf(n, 0) || math.IsNaN(n) {
			return "enter a number, for example 30."
		}
	case KindChoice:
		if !slices.Contains(s.Choices, v) {
			return "choose one of " + strings.Join(s.Choices, ", ") + "."
		}
	case KindSwitch:
		if v != "true" && v != "false" {
			return "this is either true or false."
		}
	default:
		if !plain(v, MaxSetting) {
			return "enter plain text on one line."
		}
	}
	return ""
}

// plain reports whether s is one line of text of at most max bytes.
func plain(s string, max int) bool {
	return len(s) <= max && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// clip shortens a foreign word for a message.
func clip(s string) string {
	if len(s) > 60 {
		s = s[:60] + "..."
	}
	return strings.ToValidUTF8(s, "?")
}

func invalid(format string, args ...any) error {
	return &Error{Code: CodeInvalid, Text: fmt.Sprintf(format, args...)}
}

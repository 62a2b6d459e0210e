package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"tresor/app/fault"
)

var sprintf = fmt.Sprintf

// override is one setting from outside the file.
type override struct{ key, value, from string }

// envPrefix starts the name of every variable that is a setting.
const envPrefix = "TRESOR_"

// notSettings are variables of other tools with our prefix: the file to read,
// which the command line handles, and what tests need.
func notSetting(name string) bool {
	return name == "TRESOR_CONFIG" || name == "TRESOR_PEBBLE" || strings.HasPrefix(name, "TRESOR_TEST_")
}

// readOverrides lists env before set, so that the command line wins.
func readOverrides(env, set []string) ([]override, error) {
	fromEnv, problems := envOverrides(env)
	fromSet, more := setOverrides(set)
	return append(fromEnv, fromSet...), report("config.Load", append(problems, more...))
}

func envOverrides(env []string) (out []override, problems []string) {
	byName := map[string]string{}
	var names []string
	for _, key := range keys() {
		name := envName(key)
		byName[name] = key
		names = append(names, name)
	}
	for _, pair := range env {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, envPrefix) || notSetting(name) {
			continue
		}
		if key, ok := byName[name]; ok {
			out = append(out, override{key, value, name})
			continue
		}
		problems = append(problems, sprintf("There is no setting for the environment variable %s.%s", name, meant(name, names)))
	}
	return out, problems
}

func envName(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

func setOverrides(set []string) (out []override, problems []string) {
	for _, pair := range set {
		key, value, ok := strings.Cut(pair, "=")
		key = strings.TrimSpace(key)
		switch {
		case !ok:
			problems = append(problems, sprintf("--set %s: write it as section.key=value.", pair))
		case !known(key):
			problems = append(problems, sprintf("--set %s: there is no setting %q.%s", pair, key, meant(key, keys())))
		default:
			out = append(out, override{key, strings.TrimSpace(value), "--set " + key})
		}
	}
	return out, problems
}

func applyAll(c *Config, overrides []override) error {
	var problems []string
	for _, o := range overrides {
		if err := assign(field(c, o.key), o.value); err != nil {
			problems = append(problems, sprintf("%s: %s.", o.from, err))
		}
	}
	return report("config.Load", problems)
}

type textUnmarshaler interface{ UnmarshalText([]byte) error }

// assign parses text into v by v's type.
func assign(v reflect.Value, text string) error {
	if t, ok := v.Addr().Interface().(textUnmarshaler); ok {
		return t.UnmarshalText([]byte(text))
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
		return nil
	case reflect.Bool:
		return assignBool(v, text)
	case reflect.Slice:
		v.Set(reflect.ValueOf(list(text)))
		return nil
	}
	return assignNumber(v, text)
}

func assignBool(v reflect.Value, text string) error {
	b, err := strconv.ParseBool(text)
	if err != nil {
		return fmt.Errorf("%q is neither true nor false", text)
	}
	v.SetBool(b)
	return nil
}

func assignNumber(v reflect.Value, text string) error {
	if v.CanFloat() {
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fmt.Errorf("%q is not a number", text)
		}
		v.SetFloat(f)
		return nil
	}
	n, err := strconv.ParseInt(text, 10, v.Type().Bits())
	if err != nil {
		return fmt.Errorf("%q is not a whole number", text)
	}
	v.SetInt(n)
	return nil
}

func list(text string) []string {
	out := []string{}
	for _, item := range strings.Split(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			out = append(out, item)
		}
	}
	return out
}

func report(op string, problems []string) error {
	if len(problems) == 0 {
		return nil
	}
	return fault.New(op, fault.Invalid, "%s", strings.Join(problems, "\n"))
}

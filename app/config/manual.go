package config

import (
	_ "embed"
	"reflect"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

//go:embed default.toml
var manual string

// Manual returns the commented settings file that `tresor init` writes: every
// setting with its explanation and its default, which is commented out. A test
// makes it afresh from the comments and defaults in settings.go.
func Manual() string { return manual }

// Redacted returns the settings as TOML with secrets replaced, for the log at
// the start and for `tresor doctor`.
func (c Config) Redacted() string {
	for _, s := range settings() {
		v := reflect.ValueOf(&c).Elem().FieldByIndex(s.index)
		if s.secret && !v.IsZero() {
			v.SetString("(hidden)")
		}
	}
	var b strings.Builder
	enc := toml.NewEncoder(&b)
	enc.SetIndentTables(false)
	if err := enc.Encode(c); err != nil {
		return "settings cannot be printed: " + err.Error()
	}
	return b.String()
}

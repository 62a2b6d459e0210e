package config

import (
	"reflect"
	"strings"
)

// setting is one leaf of the Config struct.
type setting struct {
	key    string // "section.key"
	secret bool
	index  []int // for reflect's FieldByIndex
}

// settings lists the leaves of Config in the order of the file.
func settings() []setting {
	return leaves(reflect.TypeFor[Config](), "", nil)
}

func leaves(t reflect.Type, prefix string, index []int) []setting {
	var out []setting
	for i := range t.NumField() {
		f := t.Field(i)
		key := prefix + f.Tag.Get("toml")
		at := append(append([]int{}, index...), i)
		if isSection(f.Type) {
			out = append(out, leaves(f.Type, key+".", at)...)
			continue
		}
		out = append(out, setting{key, f.Tag.Get("secret") == "true", at})
	}
	return out
}

func isSection(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t != reflect.TypeFor[Duration]()
}

func keys() []string {
	var out []string
	for _, s := range settings() {
		out = append(out, s.key)
	}
	return out
}

func known(key string) bool {
	for _, k := range keys() {
		if k == key {
			return true
		}
	}
	return false
}

// field returns the settable value of a known key.
func field(c *Config, key string) reflect.Value {
	for _, s := range settings() {
		if s.key == key {
			return reflect.ValueOf(c).Elem().FieldByIndex(s.index)
		}
	}
	panic("config: field of unknown key " + key)
}

// meant returns " Did you mean …?" for the nearest of the names, or where to
// look when none is near.
func meant(word string, names []string) string {
	best, distance := "", 1+len(word)/3
	for _, name := range names {
		for _, candidate := range []string{name, tail(name)} {
			if d := editDistance(strings.ToLower(word), strings.ToLower(candidate)); d < distance {
				best, distance = name, d
			}
		}
	}
	if best == "" {
		return " The settings file that `tresor init` writes explains them all."
	}
	return " Did you mean " + best + "?"
}

// tail is the key without its section: people forget or mistake the section.
func tail(name string) string { return name[strings.LastIndex(name, ".")+1:] }

// longestGuess bounds the work that a hostile file can ask for.
const longestGuess = 64

// editDistance is the Levenshtein distance in bytes.
func editDistance(a, b string) int {
	if len(a) > longestGuess || len(b) > longestGuess {
		return longestGuess
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

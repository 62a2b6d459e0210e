package config

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

var update = flag.Bool("update", false, "rewrite default.toml")

func TestManualIsFresh(t *testing.T) {
	got := writeManual(t)
	if *update {
		if err := os.WriteFile("default.toml", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != Manual() {
		t.Errorf("default.toml is stale: run `go test ./app/config -update`")
	}
}

func TestManualParsesToTheDefaults(t *testing.T) {
	uncommented := strings.ReplaceAll(Manual(), "\n#", "\n")
	uncommented = onlyTOML(uncommented)
	for name, document := range map[string]string{"as shipped": Manual(), "every setting turned on": uncommented} {
		t.Run(name, func(t *testing.T) {
			c, err := Parse([]byte(document))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(c, Default()) {
				t.Errorf("got %+v\nwant %+v", c, Default())
			}
		})
	}
}

// onlyTOML drops the prose, which starts with a space after its comment sign.
func onlyTOML(s string) string {
	var out []string
	for _, line := range strings.Split(s, "\n") {
		if !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "#") {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

const manualHead = `# Settings of Tresor. Every line that starts with # and a name shows the default; remove the # to change it.
# The environment (TRESOR_SECTION_KEY) and the command line (--set section.key=value) override this file.

`

func writeManual(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	b.WriteString(manualHead)
	w := manualWriter{t: t, out: &b, docs: docs(t)}
	w.section("", reflect.ValueOf(Default()))
	return strings.TrimRight(b.String(), "\n") + "\n"
}

type manualWriter struct {
	t    *testing.T
	out  *bytes.Buffer
	docs map[string]string // "Type.Field" -> comment
}

// section writes the keys of one struct first and its sub-sections after them,
// because TOML has no way back out of a section.
func (w manualWriter) section(prefix string, v reflect.Value) {
	for i := range v.NumField() {
		if f := v.Type().Field(i); !isSection(f.Type) {
			w.comment(v.Type().Name() + "." + f.Name)
			fmt.Fprintf(w.out, "#%s\n\n", w.line(f.Tag.Get("toml"), v.Field(i)))
		}
	}
	for i := range v.NumField() {
		if f := v.Type().Field(i); isSection(f.Type) {
			w.comment(v.Type().Name() + "." + f.Name)
			fmt.Fprintf(w.out, "[%s]\n\n", prefix+f.Tag.Get("toml"))
			w.section(prefix+f.Tag.Get("toml")+".", v.Field(i))
		}
	}
}

func (w manualWriter) comment(key string) {
	for _, line := range strings.Split(strings.TrimSpace(w.docs[key]), "\n") {
		if line != "" {
			fmt.Fprintf(w.out, "# %s\n", line)
		}
	}
}

func (w manualWriter) line(key string, v reflect.Value) string {
	b, err := toml.Marshal(map[string]any{key: v.Interface()})
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.ReplaceAll(strings.TrimSpace(string(b)), "'", `"`)
}

// docs reads the comments above the fields in settings.go.
func docs(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "settings.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		for _, f := range spec.Type.(*ast.StructType).Fields.List {
			out[spec.Name.Name+"."+f.Names[0].Name] = f.Doc.Text()
		}
		return false
	})
	return out
}

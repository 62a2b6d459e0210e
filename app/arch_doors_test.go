package app

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"
)

// doors are the functions through which bytes of data, logs and outputs reach a
// door: the only ones of their kind that api may call.
var doors = map[string]bool{"Workspace.Attach": true, "Workspace.Preview": true, "Airlock.View": true, "Releases.Open": true}

// TestBytesReachADoorThroughThreeFunctions looks at every exported method in the
// packages of data, work and the way out that hands out a reader or a page of
// content, and at what the doors call.
func TestBytesReachADoorThroughThreeFunctions(t *testing.T) {
	nouns := map[string]string{
		"dataset": "Datasets", "image": "Images", "output": "Outputs", "job": "Jobs", "workspace": "Workspace", "airlock": "Airlock", "release": "Releases", "vault": "Vault",
	}
	giving := map[string]bool{}
	for dir, field := range nouns {
		for _, name := range givers(t, dir) {
			giving[field+"."+name] = true
		}
	}
	for d := range doors {
		if !giving[d] {
			t.Errorf("%s gives no bytes any more: is the rule still true?", d)
		}
	}
	called := map[string]bool{}
	for _, f := range goFilesUnder(t, "api") {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		for _, sel := range chains(t, f) {
			called[sel] = true
			if giving[sel] && !doors[sel] {
				t.Errorf("%s calls %s: bytes reach a door through %v only", f, sel, keys(doors))
			}
		}
	}
	for d := range doors {
		if !called[d] {
			t.Errorf("the API does not call %s: the scan or the door is wrong", d)
		}
	}
	machineDoor(t, giving)
	for _, p := range loadPackages(t) {
		if short(p.ImportPath) == "app/api" {
			for _, imp := range p.Imports {
				if imp == "tresor/app/vault" || under(imp, "tresor/sandbox") {
					t.Errorf("app/api imports %s: a door has no way around the three functions", short(imp))
				}
			}
		}
	}
}

// machineDoor: hubs and clients get released bytes and no others. Programs inside,
// whose words stay inside, also read what their own tasks wrote and the project's files.
func machineDoor(t *testing.T, giving map[string]bool) {
	allowed := map[string]bool{"Releases.Open": true, "Vault.Put": true}
	inside := map[string]string{"Jobs.TaskOutput": "gateway/view.go", "Tree.Content": "gateway/insidefiles.go"}
	for _, name := range givers(t, "tree") {
		giving["Tree."+name] = true
	}
	giving["Jobs.TaskOutput"] = true
	used := map[string]bool{}
	for _, f := range goFilesUnder(t, "gateway") {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		for _, sel := range chains(t, f) {
			used[sel] = used[sel] || giving[sel]
			if giving[sel] && !allowed[sel] && inside[sel] != filepath.ToSlash(f) {
				t.Errorf("%s calls %s: machines get released bytes only", f, sel)
			}
		}
	}
	for sel := range inside {
		if !used[sel] {
			t.Errorf("the gateway does not call %s any more: drop the rule", sel)
		}
	}
	if !used["Releases.Open"] {
		t.Error("the gateway does not call Releases.Open: the scan or the door is wrong")
	}
}

// givers are the exported methods of Service or Vault in app/dir whose results
// hold content: a reader, a file, or one of the page types.
func givers(t *testing.T, dir string) []string {
	t.Helper()
	content := regexp.MustCompile(`io\.Read|os\.File|\*Stream|\bPage\b|\bView\b|\[\]byte`)
	head := regexp.MustCompile(`(?m)^func \(\w+ \*?(?:Service|Vault)\) ([A-Z]\w*)\([^{]*?\) (\([^{]*\)|[^{(]+) \{`)
	var out []string
	for _, f := range goFilesUnder(t, dir) {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		for _, m := range head.FindAllStringSubmatch(string(readFile(t, f)), -1) {
			if content.MatchString(m[2]) {
				out = append(out, m[1])
			}
		}
	}
	return out
}

// chains lists the calls x.Field.Method( of a file as "Field.Method".
func chains(t *testing.T, path string) []string {
	return selectors(t, path, func(x ast.Expr) string {
		if inner, ok := x.(*ast.SelectorExpr); ok {
			return inner.Sel.Name
		}
		return ""
	})
}

// selectors lists the selectors of a file as "left.Name", where left names what
// stands before the dot, or "" to leave it out.
func selectors(t *testing.T, path string, left func(ast.Expr) string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	ast.Inspect(f, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if name := left(sel.X); name != "" {
				out = append(out, name+"."+sel.Sel.Name)
			}
		}
		return true
	})
	return out
}

func keys(m map[string]bool) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

package app

import (
	"bufio"
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"
)

// The house of DESIGN section 2 as assertions. A failure names the rule and its
// reason; change the decision record before changing a rule here.

type pkg struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Imports    []string
}

// levels orders the packages of app: a package imports only packages that stand
// before it in this list. Position is the order of the data path.
var levels = [][]string{
	{"app/fault"},
	{"app/live", "app/config", "app/keyfile", "app/store", "app/vault", "app/crate"},
	{"app/access"},
	{"app/audit"},
	{"app/identity"},
	{"app/project"},
	{"app/dataset", "app/dataset/sqlrun"},
	{"app/image"},
	{"app/output"},
	{"app/tree"},
	{"app/job"},
	{"app/workspace"},
	{"app/airlock/check"},
	{"app/airlock"},
	{"app/release"},
	{"app/gateway"},
	{"app/gateway/plug"},
	{"app/gateway/link"},
	{"app/hub"},
	{"app/api"},
	{"app/tlscert", "app/doctor"},
	{"app"},
	{"app/cli"},
}

// oneImporter: a heavy module has one place, so replacing or auditing it is one
// package's work.
var oneImporter = map[string][]string{
	"github.com/mattn/go-sqlite3":      {"app/store"},
	"github.com/caddyserver/certmagic": {"app/tlscert"},
	"github.com/containers/podman/v5":  {"sandbox/podman"},
	"github.com/hashicorp/go-plugin":   {"plugins/protocol", "plugins/host"},
	"github.com/hashicorp/go-hclog":    {"plugins/protocol", "plugins/host"},
	"github.com/gorilla/websocket":     {"app/api", "fed"},
	"github.com/hashicorp/yamux":       {"sandbox/agent", "sandbox/podman", "fed"},
	"github.com/spf13/cobra":           {"app/cli"},
}

func loadPackages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,GoFiles,Imports", "tresor/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		var p pkg
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 20 {
		t.Fatalf("go list found only %d packages: the house has more rooms", len(all))
	}
	return all
}

func short(path string) string { return strings.TrimPrefix(path, "tresor/") }

func under(path, root string) bool { return path == root || strings.HasPrefix(path, root+"/") }

func TestSandboxFedPluginsEmbedStandAlone(t *testing.T) {
	roots := []string{"sandbox", "fed", "plugins", "embed"}
	for _, p := range loadPackages(t) {
		for _, root := range roots {
			if !under(short(p.ImportPath), root) {
				continue
			}
			for _, imp := range p.Imports {
				if !strings.HasPrefix(imp, "tresor/") || under(short(imp), root) {
					continue
				}
				t.Errorf("%s imports %s: %s is usable by another product and knows nothing of the rest", short(p.ImportPath), short(imp), root)
			}
		}
	}
}

func TestImportsGoDownTheLevels(t *testing.T) {
	rank := map[string]int{}
	for i, names := range levels {
		for _, n := range names {
			rank[n] = i
		}
	}
	seen := map[string]bool{}
	for _, p := range loadPackages(t) {
		name := short(p.ImportPath)
		if !under(name, "app") || testOnly(name) {
			continue
		}
		seen[name] = true
		mine, ok := rank[name]
		if !ok {
			t.Errorf("%s has no level: add it to levels in this file and to a decision record", name)
			continue
		}
		for _, imp := range p.Imports {
			imp = short(imp)
			if r, ok := rank[imp]; ok && r >= mine && !sibling(name, imp) {
				t.Errorf("%s (level %d) imports %s (level %d): the data path has one direction", name, mine, imp, r)
			}
		}
	}
	for n := range rank {
		if !seen[n] {
			t.Errorf("%s stands in the level list but not in the tree", n)
		}
	}
}

// testOnly reports whether a package is for tests by its name: sandboxtest and
// what lies in it, airlocktest, the fake engine.
func testOnly(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasSuffix(part, "test") {
			return true
		}
	}
	return name == "sandbox/fake"
}

// sibling allows a package and its own subfolder to share a level.
func sibling(a, b string) bool { return under(a, b) || under(b, a) }

func TestOnlyAppPicksTheEngine(t *testing.T) {
	for _, p := range loadPackages(t) {
		name := short(p.ImportPath)
		if name == "app" || testOnly(name) || !under(name, "app") {
			continue
		}
		for _, imp := range p.Imports {
			if imp == "tresor/sandbox/podman" || imp == "tresor/sandbox/fake" || imp == "tresor/sandbox/agent" {
				t.Errorf("%s imports %s: job and workspace hold the sandbox interface, only app picks Podman", name, short(imp))
			}
		}
	}
}

func TestHeavyModulesHaveOneImporter(t *testing.T) {
	used := map[string]bool{}
	for _, p := range loadPackages(t) {
		for _, imp := range p.Imports {
			for mod, owners := range oneImporter {
				if !under(imp, mod) {
					continue
				}
				used[mod] = true
				if !owned(short(p.ImportPath), owners) {
					t.Errorf("%s imports %s: only %s may", short(p.ImportPath), mod, strings.Join(owners, ", "))
				}
			}
		}
	}
	for mod := range oneImporter {
		if !used[mod] {
			t.Errorf("nothing imports %s any more: drop the rule", mod)
		}
	}
}

func owned(name string, owners []string) bool {
	for _, o := range owners {
		if under(name, o) {
			return true
		}
	}
	return false
}

func TestTestHelpersStayInTests(t *testing.T) {
	for _, p := range loadPackages(t) {
		name := short(p.ImportPath)
		for _, imp := range p.Imports {
			if strings.HasPrefix(imp, "tresor/") && testOnly(short(imp)) && !testOnly(name) {
				t.Errorf("%s imports %s: it is for tests", name, short(imp))
			}
		}
	}
}

// doors are the functions through which bytes of data, logs and outputs reach a
// door (DESIGN section 2, rule 4): the only ones of their kind that api may call.
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

// calls maps a forbidden call to the packages that may make it, with the reason.
var calls = []struct {
	call   string
	owners []string
	why    string
}{
	{"os.Getenv", []string{"app/config"}, "settings have one entrance"},
	{"os.LookupEnv", []string{"app/config"}, "settings have one entrance"},
	{"os.Environ", []string{"app/config", "app/cli", "sandbox/podman", "sandbox/agent"}, "settings have one entrance"},
	{"time.Now", []string{"app", "app/store", "app/cli", "sandbox/agent", "sandbox/podman", "plugins", "fed", "tresor"}, "time is injected"},
	{"exec.Command", []string{"sandbox/podman", "sandbox/agent", "plugins/host", "app/doctor"}, "few packages start processes"},
	{"exec.CommandContext", []string{"sandbox/podman", "sandbox/agent", "plugins/host", "app/doctor"}, "few packages start processes"},
	{"http.Get", nil, "no default client anywhere"},
	{"http.Post", nil, "no default client anywhere"},
	{"uuid.New", []string{"app"}, "ids are injected"},
	{"uuid.NewV7", []string{"app"}, "ids are injected"},
}

func TestCallsLiveInNamedPackages(t *testing.T) {
	for _, p := range loadPackages(t) {
		name := short(p.ImportPath)
		if testOnly(name) {
			continue
		}
		for _, f := range p.GoFiles {
			for _, call := range callsIn(t, filepath.Join(p.Dir, f)) {
				for _, rule := range calls {
					if call != rule.call || exactOwner(name, rule.owners) {
						continue
					}
					t.Errorf("%s/%s calls %s: %s (allowed: %v)", name, f, call, rule.why, rule.owners)
				}
			}
		}
	}
}

// exactOwner matches "app" only exactly, every other owner with its subfolders.
func exactOwner(name string, owners []string) bool {
	for _, o := range owners {
		if name == o || (o != "app" && under(name, o)) {
			return true
		}
	}
	return false
}

func callsIn(t *testing.T, path string) []string {
	return selectors(t, path, func(x ast.Expr) string {
		if id, ok := x.(*ast.Ident); ok {
			return id.Name
		}
		return ""
	})
}

// tableOwner finds which package owns a table: the migration file that makes it
// says so in its first line ("-- owner: app/audit"), table by table.
var (
	createTable = regexp.MustCompile(`(?i)^\s*CREATE\s+(?:VIRTUAL\s+)?TABLE\s+(?:IF NOT EXISTS\s+)?"?([a-z_]+)"?`)
	ownerLine   = regexp.MustCompile(`^--\s*owner:\s*(\S+)`)
)

func TestTablesHaveOneOwner(t *testing.T) {
	owners := map[string]string{}
	files, _ := filepath.Glob("store/migrations/*.sql")
	for _, f := range files {
		readOwners(t, f, owners)
	}
	if len(owners) < 10 {
		t.Fatalf("found only %d owned tables: every CREATE TABLE stands under a line `-- owner: app/<package>`", len(owners))
	}
	uses := regexp.MustCompile(`\b(?:FROM|JOIN|INTO|UPDATE|TABLE)\s+"?([a-z_]+)\b`)
	for _, f := range goFilesUnder(t, ".") {
		dir := "app"
		if d := filepath.ToSlash(filepath.Dir(f)); d != "." {
			dir = "app/" + d
		}
		if testOnly(dir) || strings.HasSuffix(f, "_test.go") {
			continue
		}
		for _, m := range uses.FindAllStringSubmatch(string(readFile(t, f)), -1) {
			if owner, ok := owners[m[1]]; ok && !under(dir, owner) {
				t.Errorf("%s uses table %s (%q), which belongs to %s", f, m[1], m[0], owner)
			}
		}
	}
}

func readOwners(t *testing.T, file string, owners map[string]string) {
	t.Helper()
	owner := ""
	sc := bufio.NewScanner(bytes.NewReader(readFile(t, file)))
	for sc.Scan() {
		if m := ownerLine.FindStringSubmatch(sc.Text()); m != nil {
			owner = m[1]
		}
		if m := createTable.FindStringSubmatch(sc.Text()); m != nil {
			if owner == "" {
				t.Errorf("%s: table %s has no `-- owner:` line above it", file, m[1])
			}
			owners[m[1]] = owner
		}
	}
}

func goFilesUnder(t *testing.T, root string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".go") {
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	sort.Strings(out)
	return out
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

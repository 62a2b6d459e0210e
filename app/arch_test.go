package app

import (
	"bufio"
	"bytes"
	"encoding/json"
	"go/ast"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"
)

// The house of decision 0001 as assertions. A failure names the rule and its
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

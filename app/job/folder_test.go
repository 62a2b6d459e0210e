package job

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestTheProjectAsAFolder: who works in the project's files finds them there, as much of
// them as the working folder says, and nobody else pays for it.
func TestTheProjectAsAFolder(t *testing.T) {
	for _, c := range []struct {
		name    string
		volumes []string
		outside bool // not offered the task service
		work    []string
		scratch string
		folders string // of each task
	}{
		{"plain", nil, false, []string{"/work"}, "/work", "[]"},
		{"plain, in the project", nil, false, []string{"/project/run"}, "/work /project/run", "[/project/run]"},
		{"plain, two tasks in one part", nil, false, []string{"/project/run/a", "/work", "/project/run"}, "/work /project/run", "[/project/run  /project/run]"},
		{"plain, two parts", nil, false, []string{"/project/b", "/project/a"}, "/work /project/a /project/b", "[/project/b /project/a]"},
		{"own paths", []string{"/data", "/project/run"}, false, []string{"/project/run"}, "/data /project/run", "[/project/run]"},
		{"own paths, the whole project", []string{"/project", "/project/run"}, false, []string{"/project/run"}, "/project", "[/project]"},
		{"own paths, only a folder of that name", []string{"/project/out"}, false, []string{"/usr"}, "/project/out", "[]"},
		{"no task service", nil, true, []string{"/project/run"}, "/work /project/run", "[]"},
		{"a name that begins alike", nil, false, []string{"/projects"}, "/work", "[]"},
	} {
		j := Job{ID: "j", Inside: !c.outside, Volumes: c.volumes}
		var scratch, folders []string
		for _, w := range c.work {
			j.Tasks = append(j.Tasks, TaskRun{Workdir: w})
		}
		names := map[string]bool{}
		for _, v := range j.scratch() {
			scratch, names[v.Name] = append(scratch, v.Target), true
		}
		for n := range j.Tasks {
			folders = append(folders, j.projectFolder(n))
		}
		inside := strings.Trim(c.folders, "[ ]") != ""
		if got := completedText(j); strings.Contains(got, "in the project's files") != inside {
			t.Errorf("%s: when it has ended: %s", c.name, got)
		}
		if got := strings.Join(scratch, " "); got != c.scratch || fmt.Sprint(folders) != c.folders || len(names) != len(scratch) {
			t.Errorf("%s: %s, %v, want %s, %s", c.name, got, folders, c.scratch, c.folders)
		}
	}
}

// TestPlainWorkingFolders: /work and the project's files, and nothing that only looks like them.
func TestPlainWorkingFolders(t *testing.T) {
	for dir, ok := range map[string]bool{"": true, "/work": true, "/work/a": true, "/project": true, "/project/run 1": true,
		"/projects": false, "/project/": false, "/project/../etc": false, "/data": false, "/project/\x01": false} {
		err := (&Task{Image: "i", Argv: []string{"x"}, Workdir: dir}).check(1, false)
		if (err == nil) != ok {
			t.Errorf("%q: %v", dir, err)
		}
	}
}

// TestExecutableFilesStayExecutable: as an input, by itself and in a folder.
func TestExecutableFilesStayExecutable(t *testing.T) {
	p := PlaceInfo{From: FromTree, Directory: true, Files: []PlaceFile{{Path: "tool", Executable: true}, {Path: "data"}}}
	h := newHouse(t)
	f := h.put("any", "content")
	for i := range p.Files {
		p.Files[i].SHA256 = f.SHA256
	}
	dir := t.TempDir()
	if err := h.job.lay(dir+"/all", p, nil); err != nil {
		t.Fatal(err)
	}
	if err := h.job.lay(dir+"/one", PlaceInfo{From: FromTree, SHA256: f.SHA256, Executable: true}, nil); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"all/tool": "-r-xr-xr-x", "all/data": "-r--r--r--", "one": "-r-xr-xr-x"} {
		if got := mode(t, dir+"/"+name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func mode(t *testing.T, path string) string {
	t.Helper()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return st.Mode().String()
}

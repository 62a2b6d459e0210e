package job

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"tresor/app/fault"
	"tresor/sandbox"
)

// placed is a submission of one command whose files have paths of their own.
func (h *house) placed(argv ...string) Submission {
	return Submission{Project: h.alpha.ID, Name: "Test", Via: "client:test", Tasks: []Task{{Image: "tools", Argv: argv}}}
}

func TestPathsThatAreRefused(t *testing.T) {
	hash := strings.Repeat("0", 64)
	cases := []struct {
		name   string
		change func(*Submission)
		text   string
	}{
		{"unknown door", func(s *Submission) { s.Via = "ftp:x" }, "not one of this server"},
		{"door without a name", func(s *Submission) { s.Via = "hub:" }, "not one of this server"},
		{"long name of who asks", func(s *Submission) { s.OnBehalf = strings.Repeat("n", 101) }, "longer than 100"},
		{"bidi name of who asks", func(s *Submission) { s.OnBehalf = "a\u202eb" }, "invisible"},
		{"with SQL", func(s *Submission) { s.Tasks, s.SQL = nil, []Query{{"a", "SELECT 1"}} }, "Submit two jobs"},
		{"with plain inputs", func(s *Submission) { s.Inputs = []Input{{"a", "x"}} }, "Submit two jobs"},
		{"with plain outputs", func(s *Submission) { s.Outputs = []string{"a.csv"} }, "Submit two jobs"},
		{"too many tasks", func(s *Submission) { s.Tasks = make([]Task, 101) }, "at most 100"},
		{"relative working folder", func(s *Submission) { s.Tasks[0].Workdir = "work" }, "cannot be used"},
		{"working folder climbs", func(s *Submission) { s.Tasks[0].Workdir = "/work/../etc" }, "cannot be used"},
		{"standard input in /etc", func(s *Submission) { s.Tasks[0].Stdin = "/etc/passwd" }, "lies in /etc"},
		{"standard output in no folder", func(s *Submission) { s.Tasks[0].Stdout = "/out.txt" }, "in no folder"},
		{"standard error relative", func(s *Submission) { s.Tasks[0].Stderr = "err.txt" }, "cannot be used"},
		{"reads what it writes", func(s *Submission) { s.Tasks[0].Stdin, s.Tasks[0].Stdout = "/w/a", "/w/a" }, "read and write"},
		{"reads what it reports to", func(s *Submission) { s.Tasks[0].Stdin, s.Tasks[0].Stderr = "/w/a", "/w/a" }, "read and write"},

		{"too many places", func(s *Submission) { s.Places = make([]Place, 2001) }, "at most 2000"},
		{"relative place", func(s *Submission) { s.Places = []Place{{Path: "a"}} }, "cannot be used"},
		{"place climbs", func(s *Submission) { s.Places = []Place{{Path: "/w/../etc/passwd"}} }, "cannot be used"},
		{"place with a backslash", func(s *Submission) { s.Places = []Place{{Path: `/w/a\b`}} }, "cannot be used"},
		{"bidi place", func(s *Submission) { s.Places = []Place{{Path: "/w/a\u202e"}} }, "cannot be used"},
		{"place in /usr", func(s *Submission) { s.Places = []Place{{Path: "/usr/bin/python"}} }, "lies in /usr"},
		{"place in /proc", func(s *Submission) { s.Places = []Place{{Path: "/proc/self/mem"}} }, "lies in /proc"},
		{"place in the sandbox's own folder", func(s *Submission) { s.Places = []Place{{Path: "/.tresor-in/0"}} }, "belongs to the image and the sandbox"},
		{"place in the volume's own folder", func(s *Submission) { s.Places = []Place{{Path: "/w/.tresor/log"}} }, "belongs to the sandbox"},
		{"place in no folder", func(s *Submission) { s.Places = []Place{{Path: "/a.txt"}} }, "in no folder"},
		{"place is the root", func(s *Submission) { s.Places = []Place{{Path: "/", Directory: true, Tree: "a"}} }, "cannot be used"},
		{"two places of a path", func(s *Submission) { s.Places = []Place{{Path: "/w/a"}, {Path: "/w/a"}} }, "Two inputs"},
		{"place in a file", func(s *Submission) { s.Places = []Place{{Path: "/w/a"}, {Path: "/w/a/b/c"}} }, "which is a file"},
		{"place around a file, the other order", func(s *Submission) { s.Places = []Place{{Path: "/w/a/b/c"}, {Path: "/w/a"}} }, "which is a file"},
		{"two sources", func(s *Submission) { s.Places = []Place{{Path: "/w/a", Content: []byte("x"), Tree: "a"}} }, "more than one source"},
		{"folder without a source", func(s *Submission) { s.Places = []Place{{Path: "/w/a", Directory: true}} }, "has no source"},
		{"folder of content", func(s *Submission) { s.Places = []Place{{Path: "/w/a", Directory: true, Content: []byte("x")}} }, "has no source"},
		{"large content", func(s *Submission) { s.Places = []Place{{Path: "/w/a", Content: make([]byte, MaxContent+1)}} }, "may have 256 KiB"},
		{"large contents", func(s *Submission) {
			for i := range 9 {
				s.Places = append(s.Places, Place{Path: fmt.Sprint("/w/a", i), Content: make([]byte, MaxContent)})
			}
		}, "more than 2 MiB together"},
		{"hash of another kind", func(s *Submission) { s.Places = []Place{{Path: "/w/a", SHA256: "abc"}} }, "not 64 hexadecimal digits"},
		{"hash in capitals", func(s *Submission) { s.Places = []Place{{Path: "/w/a", SHA256: strings.Repeat("A", 64)}} }, "not 64 hexadecimal digits"},
		{"dataset without a file", func(s *Submission) { s.Places = []Place{{Path: "/w/a", Dataset: "randhie"}} }, "none of its files"},
		{"folder of a dataset", func(s *Submission) {
			s.Places = []Place{{Path: "/w/a", Dataset: "randhie", File: "x", Directory: true}}
		}, "datasets have no folders"},
		{"negative version", func(s *Submission) {
			s.Places = []Place{{Path: "/w/a", Dataset: "randhie", File: "a.csv", Version: -1}}
		}, "count from 1"},
		{"dataset that is not granted", func(s *Submission) { s.Places = []Place{{Path: "/w/a", Dataset: "other", File: "a.csv"}} }, "is not granted"},
		{"file that the dataset has not", func(s *Submission) { s.Places = []Place{{Path: "/w/a", Dataset: "randhie", File: "c.csv"}} }, "Choose one of its files: a.csv, b.csv"},
		{"file of a dataset that climbs", func(s *Submission) { s.Places = []Place{{Path: "/w/a", Dataset: "randhie", File: "../../x"}} }, "has no file"},
		{"tree path that climbs", func(s *Submission) { s.Places = []Place{{Path: "/w/a", Tree: "../x"}} }, "cannot be used for the project's files"},
		{"tree itself as a file", func(s *Submission) { s.Places = []Place{{Path: "/w/a", Tree: "/"}} }, "names all of the project's files"},
		{"fetched without a hash", func(s *Submission) { s.Places = []Place{{Path: "/w/a", Origin: "https://x/y"}} }, "Fetch it again"},
		{"fetched folder", func(s *Submission) {
			s.Places = []Place{{Path: "/w/a", Origin: "https://x/y", SHA256: hash, Directory: true}}
		}, "Only single files"},

		{"too many wants", func(s *Submission) { s.Wants = make([]Want, 2001) }, "at most 2000"},
		{"relative want", func(s *Submission) { s.Wants = []Want{{Path: "a"}} }, "cannot be used"},
		{"want in /etc", func(s *Submission) { s.Wants = []Want{{Path: "/etc/shadow"}} }, "lies in /etc"},
		{"want in no folder", func(s *Submission) { s.Wants = []Want{{Path: "/a"}} }, "in no folder"},
		{"want twice", func(s *Submission) { s.Wants = []Want{{Path: "/w/a", Target: "x"}, {Path: "/w/a", Target: "x"}} }, "named twice"},
		{"long target", func(s *Submission) { s.Wants = []Want{{Path: "/w/a", Target: strings.Repeat("t", 4097)}} }, "longer than 4096"},
		{"target with a control character", func(s *Submission) { s.Wants = []Want{{Path: "/w/a", Target: "a\nb"}} }, "control characters"},
		{"broken pattern", func(s *Submission) { s.Wants = []Want{{Path: "/w/a[", Prefix: "/w"}} }, "malformed"},
		{"another prefix", func(s *Submission) { s.Wants = []Want{{Path: "/w/*.csv", Prefix: "/x"}} }, "is not how that path begins"},
		{"pattern in the prefix", func(s *Submission) { s.Wants = []Want{{Path: "/w/*/a", Prefix: "/w/*"}} }, "holds a pattern itself"},
		{"pattern in no folder", func(s *Submission) { s.Wants = []Want{{Path: "/*/a.csv", Prefix: "/"}} }, "begins in no folder"},
		{"pattern in /usr", func(s *Submission) { s.Wants = []Want{{Path: "/usr/*", Prefix: "/usr"}} }, "lies in /usr"},
		{"tree target that climbs", func(s *Submission) { s.Wants = []Want{{Path: "/w/a", Tree: "a/../../b"}} }, "cannot be used for the project's files"},
		{"the tree as a file", func(s *Submission) { s.Wants = []Want{{Path: "/w/a", Tree: "/"}} }, "names all of the project's files"},

		{"standard output over a dataset", func(s *Submission) {
			s.Places, s.Tasks[0].Stdout = []Place{{Path: "/w/a", Dataset: "randhie", File: "a.csv"}}, "/w/a"
		}, "over an input of a dataset"},
		{"a dataset as an output", func(s *Submission) {
			s.Places, s.Wants = []Place{{Path: "/w/a", Dataset: "randhie", File: "a.csv"}}, []Want{{Path: "/w/a"}}
		}, "is an input of a dataset"},

		{"relative volume", func(s *Submission) { s.Volumes = []string{"vol"} }, "cannot be used"},
		{"volume over /", func(s *Submission) { s.Volumes = []string{"/"} }, "cannot be used"},
		{"volume over /lib", func(s *Submission) { s.Volumes = []string{"/lib"} }, "lies in /lib"},
		{"volume over /home", func(s *Submission) { s.Volumes = []string{"/home"} }, "would hide that"},
		{"volume with a colon", func(s *Submission) { s.Volumes = []string{"/w:ro"} }, "colon"},
		{"many folders", func(s *Submission) {
			for i := range 33 {
				s.Volumes = append(s.Volumes, fmt.Sprintf("/v%d", i))
			}
		}, "share at most 32"},
		{"folder of a whole dataset", func(s *Submission) { s.Datasets, s.Volumes = []string{"randhie"}, []string{"/data/randhie/x"} }, "belongs to the dataset"},
		{"input in a whole dataset", func(s *Submission) {
			s.Datasets, s.Places = []string{"randhie"}, []Place{{Path: "/data/randhie/x", Dataset: "randhie", File: "a.csv"}}
		}, "in or around the folder of the dataset"},
	}
	h := newHouse(t)
	h.grant("randhie")
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			sub := h.placed("true")
			c.change(&sub)
			_, err := h.job.Submit(context.Background(), h.in(rosa), sub)
			wantFault(t, err, fault.Invalid, c.text)
		})
	}
	if n := h.count(Queued); n != 0 {
		t.Errorf("refused submissions left %d jobs", n)
	}
}

// TestWhatIsNotThere covers refusals that depend on what the appliance keeps.
func TestWhatIsNotThere(t *testing.T) {
	hash := strings.Repeat("0", 64)
	cases := []struct {
		name string
		make func(*house, *Submission)
		kind fault.Kind
		text string
	}{
		{"no such file in the tree", func(_ *house, s *Submission) { s.Places = []Place{{Path: "/w/a", Tree: "no/such"}} }, fault.NotFound, "There is no file"},
		{"no such folder in the tree", func(_ *house, s *Submission) { s.Places = []Place{{Path: "/w/a", Tree: "no", Directory: true}} }, fault.NotFound, "or it is empty"},
		{"fetched bytes are gone", func(_ *house, s *Submission) { s.Places = []Place{{Path: "/w/a", Origin: "https://x/y", SHA256: hash}} }, fault.Unavailable, "Fetch it again"},
		{"another hash", func(_ *house, s *Submission) { s.Places = []Place{{Path: "/w/a", Content: []byte("x"), SHA256: hash}} }, fault.Conflict, "has another hash"},
		{"another hash of a dataset's file", func(_ *house, s *Submission) {
			s.Places = []Place{{Path: "/w/a", Dataset: "randhie", File: "a.csv", SHA256: hash}}
		}, fault.Conflict, "has another hash"},
		{"no such version", func(_ *house, s *Submission) {
			s.Places = []Place{{Path: "/w/a", Dataset: "randhie", File: "a.csv", Version: 9}}
		}, fault.NotFound, "no version 9"},
		{"dataset that is not ready", func(h *house, s *Submission) {
			h.data.set("d1", fault.New("t", fault.Unavailable, "Still being prepared."))
			s.Places = []Place{{Path: "/w/a", Dataset: "randhie", File: "a.csv"}}
		}, fault.Unavailable, "being prepared"},
		{"input from a tree without trees", func(h *house, s *Submission) {
			h.job.Tree = nil
			s.Places = []Place{{Path: "/w/a", Tree: "x"}}
		}, fault.Unavailable, "keeps no files for projects"},
		{"output to a tree without trees", func(h *house, s *Submission) {
			h.job.Tree = nil
			s.Wants = []Want{{Path: "/w/a", Tree: "x"}}
		}, fault.Unavailable, "cannot stay inside"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t)
			h.grant("randhie")
			sub := h.placed("true")
			c.make(h, &sub)
			_, err := h.job.Submit(context.Background(), h.in(rosa), sub)
			wantFault(t, err, c.kind, c.text)
		})
	}
}

// TestSharedFolders shows which folders tasks share for the paths that real
// workflow engines name.
func TestSharedFolders(t *testing.T) {
	cases := []struct {
		name string
		sub  Submission
		want string // shared, then those that are copied
	}{
		{"nothing named", Submission{}, "/work"},
		{"a file's folder", Submission{Places: []Place{{Path: "/w/in/a"}}}, "/w/in"},
		{"Snakemake", Submission{Tasks: []Task{{Workdir: "/tmp"}}, Places: []Place{{Path: "/tmp/Snakefile"}, {Path: "/tmp/conda/env.yaml"}},
			Wants: []Want{{Path: "/tmp/out/a.csv"}}}, "/tmp"},
		{"cwl-tes", Submission{Tasks: []Task{{Workdir: "/qXyZab", Stdout: "/qXyZab/out.txt"}}, Places: []Place{{Path: "/var/lib/cwl/stg/a.txt"}},
			Wants: []Want{{Path: "/qXyZab", Directory: true}, {Path: "/qXyZab/out.txt"}}, Volumes: []string{"/tmp"}}, "/qXyZab /tmp /var/lib/cwl/stg"},
		{"Nextflow", Submission{Tasks: []Task{{Workdir: "/work"}}, Places: []Place{{Path: "/work/.command.sh"}}, Wants: []Want{{Path: "/work/*.txt", Prefix: "/work"}}}, "/work"},
		{"sister folders with a common beginning", Submission{Volumes: []string{"/a", "/a-b", "/a/c"}}, "/a /a-b"},
		{"a pattern's folder", Submission{Wants: []Want{{Path: "/w/x/part-*/out.csv", Prefix: "/w"}}}, "/w/x"},
		{"a working folder of the image", Submission{Tasks: []Task{{Workdir: "/usr/src/app"}}}, "/work"},
		{"a working folder of one's own", Submission{Tasks: []Task{{Workdir: "/scratch"}}}, "/scratch"},
		{"standard input from a dataset", Submission{Tasks: []Task{{Stdin: "/d/a.csv"}}, Places: []Place{{Path: "/d/a.csv", Dataset: "x", File: "a.csv"}}}, "/work"},
		{"a dataset beside an input", Submission{Places: []Place{{Path: "/d/a.csv", Dataset: "x", File: "a.csv"}, {Path: "/d/b"}}}, "/d"},
		{"a dataset around an output", Submission{Places: []Place{{Path: "/d", Dataset: "x", Directory: true}}, Wants: []Want{{Path: "/d/out/a"}}}, "/d copied: /d"},
		{"a dataset around another", Submission{Places: []Place{{Path: "/d", Dataset: "x", Directory: true}, {Path: "/d/y/a.csv", Dataset: "y", File: "a.csv"}}}, "/d copied: /d"},
		{"a dataset over /tmp", Submission{Places: []Place{{Path: "/tmp", Dataset: "x", Directory: true}}}, "/tmp copied: /tmp"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			sub := c.sub
			sub.Name, sub.Via = "x", "client:x"
			if sub.Tasks == nil {
				sub.Tasks = []Task{{}}
			}
			for i := range sub.Tasks {
				sub.Tasks[i].Image, sub.Tasks[i].Argv = "tools", []string{"true"}
			}
			got, err := sub.normalise()
			if err != nil {
				t.Fatal(err)
			}
			text := strings.Join(smallest(got.Volumes), " ")
			for _, p := range got.Places {
				if p.copy {
					text += " copied: " + p.Path
				}
			}
			if text != c.want {
				t.Errorf("%s, want %s", text, c.want)
			}
		})
	}
}

func TestWhatAWantCovers(t *testing.T) {
	cases := []struct {
		name string
		want Want
		file string
		rest string
		ok   bool
	}{
		{"the file", Want{Path: "/w/a"}, "/w/a", "", true},
		{"another file", Want{Path: "/w/a"}, "/w/ab", "", false},
		{"a file in what should be one", Want{Path: "/w/a"}, "/w/a/b", "", false},
		{"a literal star", Want{Path: "/w/a*"}, "/w/ab", "", false},
		{"in the folder", Want{Path: "/w", Directory: true}, "/w/x/y", "x/y", true},
		{"beside the folder", Want{Path: "/w", Directory: true}, "/wx", "", false},
		{"a pattern", Want{Path: "/w/x/*.csv", Prefix: "/w"}, "/w/x/a.csv", "x/a.csv", true},
		{"a pattern with a slash after the prefix", Want{Path: "/w/x/*.csv", Prefix: "/w/"}, "/w/x/a.csv", "x/a.csv", true},
		{"a pattern is one level", Want{Path: "/w/*", Prefix: "/w"}, "/w/x/a.csv", "", false},
		{"a pattern of folders", Want{Path: "/w/part*", Prefix: "/w", Directory: true}, "/w/part1/a", "part1/a", true},
		{"a pattern of folders is no file", Want{Path: "/w/part*", Prefix: "/w", Directory: true}, "/w/part1", "", false},
		{"POSIX negation", Want{Path: "/w/[!a]", Prefix: "/w"}, "/w/b", "b", true},
		{"POSIX negation refuses", Want{Path: "/w/[!a]", Prefix: "/w"}, "/w/a", "", false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := c.want
			if err := w.check(); err != nil {
				t.Fatal(err)
			}
			rest, ok := w.info().covers(c.file)
			if rest != c.rest && ok || ok != c.ok {
				t.Errorf("%q %v, want %q %v", rest, ok, c.rest, c.ok)
			}
			if ok && !sandbox.MatchOutput(w.info().pattern(), c.file) {
				t.Errorf("the runner is not asked for it: %s", w.info().pattern())
			}
		})
	}
}

func FuzzPaths(f *testing.F) {
	f.Add("/w/a", "/w/b", "/w", "/w/*", "/w", "/w/o")
	f.Add("/tmp", "/tmp/conda/x", "/AbCdEf", "/AbCdEf/out[12]", "/AbCdEf", "/AbCdEf/x")
	f.Add("/d", "/d", "/d/e", "/d/e/f", "", "/d/..")
	f.Fuzz(func(t *testing.T, data, place, volume, want, prefix, stream string) {
		sub := Submission{Name: "x", Via: "hub:x", Tasks: []Task{{Image: "tools", Argv: []string{"x"}, Workdir: volume, Stdout: stream}},
			Places:  []Place{{Path: data, Dataset: "d", Directory: true}, {Path: place, Content: []byte("x")}},
			Wants:   []Want{{Path: want, Prefix: prefix}},
			Volumes: []string{volume}}
		got, err := sub.normalise()
		if err != nil {
			if fault.KindOf(err) != fault.Invalid || fault.Message(err) == "" {
				t.Fatalf("refused without a reason for people: %v", err)
			}
			return
		}
		j := Job{ID: "019f0000-0000-7000-8000-000000000001", Volumes: got.Volumes, content: map[string][]byte{"/1": []byte("x")}}
		j.Tasks = []TaskRun{{Argv: []string{"x"}, Workdir: got.Tasks[0].Workdir, Stdout: got.Tasks[0].Stdout, imageID: imageID, Attempt: 1}}
		j.Places = []PlaceInfo{{Path: data, Directory: true, From: FromDataset, Copied: got.Places[0].copy}, {Path: place, From: FromContent, Copied: true}}
		j.Wants = []WantInfo{got.Wants[0].info()}
		j.Limits = Limits{}.complete()
		s := &Service{Deps: Deps{Dir: t.TempDir()}}
		sp, err := s.spec(&j, 0, nil, map[int]string{0: "/host/data"})
		if err != nil {
			t.Fatal(err)
		}
		if err := sp.Validate(); err != nil {
			t.Fatalf("accepted and refused by the sandbox: %v", err)
		}
	})
}

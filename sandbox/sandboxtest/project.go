package sandboxtest

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Files is a small task service with a project's files, as a container finds them at
// http://tes.local: enough of it to try what keeps a folder in step with them. The zero value is empty.
type Files struct {
	mu      sync.Mutex
	files   map[string]file
	change  int
	fails   map[string]int // by "GET", "POST" …: how many requests are answered 503
	posts   int
	lists   int
	made    int    // tasks
	refused string // a file that is never kept
	state   string // of every task
	onTask  func() // called when a task is shown
}

type file struct {
	content  string
	change   int
	runs     bool
	modified time.Time
}

// SumOf is the SHA-256 of a text, in hexadecimal digits.
func SumOf(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}

// Put puts a file there, as a task does.
func (s *Files) Put(name, content string, runs bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(name, content, runs)
}

func (s *Files) put(name, content string, runs bool) {
	if s.files == nil {
		s.files = map[string]file{}
	}
	s.change++
	s.files[name] = file{content, s.change, runs, time.Date(2026, 3, 4, 5, 6, 7+s.change, 0, time.UTC)}
}

// Refuse says which file is never kept.
func (s *Files) Refuse(name string) { s.set(func() { s.refused = name }) }

// Fail has the next n requests of a method answered 503.
func (s *Files) Fail(method string, n int) { s.set(func() { s.fails = map[string]int{method: n} }) }

// Tasks says in which state all tasks are, and what happens before one is shown.
func (s *Files) Tasks(state string, shown func()) { s.set(func() { s.state, s.onTask = state, shown }) }

func (s *Files) set(fn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn()
}

// Counts are how many archives, lists and tasks were asked for.
func (s *Files) Counts() (posts, lists, made int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.posts, s.lists, s.made
}

// All is every file as "path=content", with a * behind what may be executed.
func (s *Files) All() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for name, f := range s.files {
		text := name + "=" + f.content
		if f.runs {
			text += "*"
		}
		list = append(list, text)
	}
	sort.Strings(list)
	return strings.Join(list, " ")
}

// ServeHTTP implements http.Handler.
func (s *Files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, files := strings.CutPrefix(r.URL.Path, "/project/")
	switch {
	case !files:
		s.task(w, r)
	case s.failing(r.Method):
		http.Error(w, "not now", http.StatusServiceUnavailable)
	case r.Method == http.MethodPost:
		s.post(w, r, name)
	case name == "" || strings.HasSuffix(name, "/"):
		s.list(w, r, name)
	default:
		s.get(w, r, name)
	}
}

func (s *Files) failing(method string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails[method] <= 0 {
		return false
	}
	s.fails[method]--
	return true
}

func (s *Files) task(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	state, shown := s.state, s.onTask
	if r.Method == http.MethodPost {
		s.made++
	}
	s.mu.Unlock()
	if r.Method != http.MethodPost && shown != nil {
		shown()
	}
	fmt.Fprintf(w, `{"id":"1","state":%q}`, state)
}

func (s *Files) list(w http.ResponseWriter, r *http.Request, folder string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists++
	tag := fmt.Sprintf("%q", strconv.Itoa(s.change))
	if w.Header().Set("ETag", tag); r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	since, _ := strconv.Atoi(strings.Trim(r.URL.Query().Get("since"), `"`))
	var names []string
	for name, f := range s.files {
		if strings.HasPrefix(name, folder) && f.change > since && name > r.URL.Query().Get("after") {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	next := ""
	if len(names) > 3 { // small pages, so that there are several
		names = names[:3]
		next = names[2]
	}
	list := []map[string]any{}
	for _, name := range names {
		f := s.files[name]
		list = append(list, map[string]any{"path": name, "sha256": SumOf(f.content), "size": len(f.content), "created_at": f.modified, "executable": f.runs})
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"files": list, "next": next})
}

func (s *Files) get(w http.ResponseWriter, r *http.Request, name string) {
	s.mu.Lock()
	f, there := s.files[name]
	s.mu.Unlock()
	if !there {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("ETag", fmt.Sprintf("%q", SumOf(f.content)))
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(f.content))
}

func (s *Files) post(w http.ResponseWriter, r *http.Request, folder string) {
	type incoming struct {
		name, content string
		runs          bool
	}
	var list []incoming
	deny := func(status int, name, why string) {
		w.Header().Set("Tresor-File", url.PathEscape(name))
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]string{"detail": why})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.posts++
	for t := tar.NewReader(r.Body); ; {
		h, err := t.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			deny(http.StatusBadRequest, "", err.Error())
			return
		}
		b, err := io.ReadAll(t)
		if err != nil {
			deny(http.StatusBadRequest, "", err.Error())
			return
		}
		name, seen := path.Join(folder, h.Name), h.PAXRecords["TRESOR.seen"]
		old, there := s.files[name]
		switch {
		case name == s.refused:
			deny(http.StatusTooManyRequests, name, "The quota does not hold "+name+".")
			return
		case there && seen != SumOf(old.content), !there && seen != "none":
			deny(http.StatusConflict, name, "Something else wrote "+name+".")
			return
		}
		list = append(list, incoming{name, string(b), h.Mode&0o111 != 0})
	}
	for _, f := range list {
		s.put(f.name, f.content, f.runs)
	}
	w.WriteHeader(http.StatusNoContent)
}

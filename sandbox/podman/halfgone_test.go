package podman

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tresor/sandbox"
)

// engine answers on a socket as Podman does: four containers, of which two are well.
func engine(t *testing.T) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Libpod-API-Version", "4.3.1")
		w.Header().Set("Content-Type", "application/json")
		switch _, name, _ := strings.Cut(r.URL.Path, "/libpod/containers/"); name {
		case "json":
			fmt.Fprint(w, `[{"Names":["tresor-one"]},{"Names":["tresor-half"]},{"Names":["tresor-sick"]},{"Names":["tresor-two"]}]`)
		case "tresor-one/json", "tresor-two/json":
			fmt.Fprint(w, `{"State":{"Status":"exited"}}`)
		case "tresor-half/json":
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, `{"cause":"container not known","message":"getting container from store \"3848\": container not known","response":500}`)
		case "tresor-sick/json":
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, `{"cause":"x","message":"its row cannot be read","response":500}`)
		default:
			fmt.Fprint(w, `{}`)
		}
	})}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { srv.Close() })
	return socket
}

// TestListOfBrokenContainers: a crash of Podman in the middle of a removal leaves a
// container that it lists and cannot answer about. The others must still be found.
func TestListOfBrokenContainers(t *testing.T) {
	r := &Runner{o: Options{RunDir: t.TempDir(), Now: time.Now, Log: slog.New(slog.DiscardHandler)}, api: &client{socket: engine(t)}}
	list, err := r.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var refs []string
	for _, st := range list {
		refs = append(refs, string(st.Ref))
	}
	if strings.Join(refs, " ") != "tresor-one tresor-two" {
		t.Errorf("listed %v", refs)
	}
	if st, err := r.Status(t.Context(), "tresor-half"); err != nil || st.Phase != sandbox.Absent {
		t.Errorf("the half removed container is %v, %v", st.Phase, err)
	}
	if _, err := r.Status(t.Context(), "tresor-sick"); err == nil {
		t.Error("the container that nobody can say anything about has a status")
	}
}

// TestImageErasedWhileListed: Podman's list fails for everybody when somebody erases an
// image beside it. It is asked again, and not for ever.
func TestImageErasedWhileListed(t *testing.T) {
	for failing, ok := range map[int]bool{0: true, 2: true, 100: false} {
		asked := 0
		socket := filepath.Join(t.TempDir(), "s")
		l, err := net.Listen("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Libpod-API-Version", "4.3.1")
			if !strings.HasSuffix(r.URL.Path, "/images/json") {
				return
			}
			if asked++; asked <= failing {
				w.WriteHeader(http.StatusInternalServerError)
				fmt.Fprint(w, `{"message":"retrieving label for image \"ab\": you may need to remove the image to resolve the error: image not known","response":500}`)
				return
			}
			fmt.Fprint(w, `[{"Id":"ab"}]`)
		})}
		go func() { _ = srv.Serve(l) }()
		list, err := (&Runner{api: &client{socket: socket}}).ListImages(t.Context())
		srv.Close()
		if (err == nil) != ok || ok && (len(list) != 1 || list[0].ID != "sha256:ab") || asked > 10 {
			t.Errorf("%d failures: %v, %v after %d questions", failing, list, err, asked)
		}
	}
}

// TestSocketNames: each start has a name of its own and leaves none of an earlier one.
func TestSocketNames(t *testing.T) {
	dir := t.TempDir()
	old := filepath.Join(dir, "tresor-aa.sock")
	other := filepath.Join(dir, "tresor-bb.sock")
	for _, f := range []string{old, other} {
		if err := os.WriteFile(f, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	for range 2 {
		s := &Service{shim: shim{XDG: dir}}
		if err := s.nameSocket("tresor-aa"); err != nil {
			t.Fatal(err)
		}
		names = append(names, s.Socket())
	}
	if names[0] == names[1] || filepath.Dir(names[0]) != dir {
		t.Errorf("sockets %v", names)
	}
	if _, err := os.Stat(old); err == nil {
		t.Error("the socket of an earlier start is still there")
	}
	if _, err := os.Stat(other); err != nil {
		t.Error("another appliance's socket is gone")
	}
}

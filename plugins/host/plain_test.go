package host_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tresor/plugins/host"
	"tresor/plugins/protocol"
	"tresor/plugins/protocoltest"
)

// TestTheWireAsTheGuideSays: a plugin that shares no code with this program works.
func TestTheWireAsTheGuideSays(t *testing.T) {
	file := filepath.Join(t.TempDir(), "plain")
	cmd := exec.Command("go", "build", "-o", file, "tresor/plugins/host/testdata/plain")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c, err := host.Trusted(file, hash(t, file), t.TempDir())
	must(t, err)
	p := start(t, c)
	for _, body := range []string{"", "12345"} {
		r, err := adapter(t, p).ServeRequest(context.Background(), protocol.Request{Body: []byte(body)}, &protocoltest.Host{})
		if want := map[string]string{"": "0 {", "12345": "5 {"}[body]; err != nil || !strings.HasPrefix(string(r.Body), want) || !strings.Contains(string(r.Body), "aurora") {
			t.Errorf("answer %+v, error %v", r, err)
		}
	}
	if _, err := adapter(t, p).Publish(context.Background(), nil, &protocoltest.Host{}); code(err) != protocol.CodeUnsupported {
		t.Errorf("a part that it lacks: %v", err)
	}
	if s := p.State(); s.Starts != 1 || !s.Running {
		t.Errorf("state %+v", s)
	}
}

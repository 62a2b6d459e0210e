package host_test

import (
	"context"
	"os"
	"testing"
	"time"

	"tresor/plugins/builtin"
	"tresor/plugins/host"
	"tresor/plugins/protocol"
	"tresor/plugins/protocoltest"
)

// TestThePluginsOfTheProgramItself starts each built-in plugin from the static
// program, which differs from a test's in how it starts and what it may load.
func TestThePluginsOfTheProgramItself(t *testing.T) {
	exe := os.Getenv("TRESOR_TEST_BIN")
	if exe == "" {
		t.Skip("TRESOR_TEST_BIN does not name the program; scripts/test sets it")
	}
	for _, name := range builtin.Names() {
		t.Run(name, func(t *testing.T) {
			p := host.Start(context.Background(), host.Options{Name: name, Command: host.Builtin(exe, name), Dir: t.TempDir(), Exe: exe, Log: quiet(), Now: time.Now})
			t.Cleanup(p.Stop)
			protocoltest.Suite(t, func(t *testing.T) protocol.Adapter { return adapter(t, p) })
			if s := p.State(); s.Starts != 1 || !s.Confined.Checked {
				t.Errorf("state %+v", s)
			}
		})
	}
}

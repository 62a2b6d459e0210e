package app

import (
	"flag"
	"os"
	"testing"

	"tresor/app/airlock"
	"tresor/app/job"
)

var update = flag.Bool("update", false, "write the generated files anew")

// TestStatesPageIsFresh keeps the page about states equal to the transition
// tables that it is made from.
func TestStatesPageIsFresh(t *testing.T) {
	const path = "../embed/docs/pages/states.md"
	want := "# States\n\nMade from the transition tables (`go test ./app -run States -update`); every other change of state is refused.\n\n" +
		"## A job\n\n`held` means that the outputs wait in the airlock. `completed` means that nothing waits: all outputs stay inside, or there were none.\n\n```mermaid\n" + job.Diagram() + "```\n\n" +
		"## An airlock request\n\n```mermaid\n" + airlock.Diagram() + "```\n"
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := string(readFile(t, path)); got != want {
		t.Errorf("%s is stale: run go test ./app -run States -update", path)
	}
}

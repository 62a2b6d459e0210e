package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestALargeTaskOfAHub goes the whole way: its bytes after the signed order, through the
// real gateway and the real plugin, and back in the answer; one byte too many is refused.
func TestALargeTaskOfAHub(t *testing.T) {
	r := newFederation(t)
	r.olga.Must("POST", "/federation/hubs/"+r.principal+"/confirm", nil, nil)
	r.lend(t)
	large := func(inputs int) string {
		var all []string
		for i := range inputs {
			all = append(all, fmt.Sprintf(`{"path":"/work/in%d","content":%q}`, i, strings.Repeat(fmt.Sprint(i), 250<<10)))
		}
		return `{"executors":[{"image":"example.org/not/approved:1","command":["true"]}],"inputs":[` + strings.Join(all, ",") + `]}`
	}
	e := r.envelope("large-1", "POST", "/v1/tasks", large(4))
	if !e.Large() {
		t.Fatal("the order is small")
	}
	var made, again struct{ ID string }
	for _, into := range []*struct{ ID string }{&made, &again} {
		if a := r.send(e); a.Status != http.StatusOK || json.Unmarshal(a.Body, into) != nil {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
	}
	if made.ID == "" || made != again {
		t.Errorf("the same order made %q and %q", made.ID, again.ID)
	}
	code, body := r.get("/ga4gh/tes/v1/tasks/" + made.ID + "?view=FULL")
	if code != http.StatusOK || !strings.Contains(body, strings.Repeat("3", 250<<10)) {
		t.Errorf("%d, %d bytes", code, len(body))
	}
	if a := r.order("large-2", "POST", "/v1/tasks", large(5)); a.Status != http.StatusRequestEntityTooLarge {
		t.Errorf("over 1 MiB: %d %s", a.Status, a.Body)
	}
}

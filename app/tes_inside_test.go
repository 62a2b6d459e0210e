package app_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"tresor/app/apptest/tesclient"
)

// TestTESInside: what workflow engines do, from a real container that has no network
// and no token: create, poll, read what the task wrote; and what they may not do.
func TestTESInside(t *testing.T) {
	r := newTES(t)
	t.Run("create, poll and read like an engine", r.engineInside)
	t.Run("its own project and nothing else", r.boundInside)
	t.Run("floods stay with themselves", r.floodsInside)
}

// shellHead is what the scripts below begin with. status prints the status of a request
// that is sent by hand, with the stream left open until the answer has come: a server gives
// up on a caller that hangs up. A script's exit code names the line that failed.
const shellHead = `cd /work; T=http://tes.local/ga4gh/tes/v1
mkfifo /work/sent; exec 3<>/work/sent
status() { printf '%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$1" "${2:-tes.local}" >&3; timeout 60 nc 127.0.0.1 80 </work/sent | head -n 1 | awk '{print $2}'; }
post() { wget -q -O - --header 'Content-Type: application/json' --post-data "$1" "$T/$2"; }
`

// inContainer runs a script in a container and expects it to end well.
func (r *tesRig) inContainer(t *testing.T, name, script string) {
	t.Helper()
	got := r.run(t, tesclient.Task{Name: name, Volumes: []string{"/work"}, Executors: []tesclient.Executor{shell(shellHead + script)}})
	if got.State == tesclient.Complete {
		return
	}
	var list struct{ Items []jobView }
	r.rosa.Must("GET", "/jobs", nil, &list)
	for _, j := range list.Items {
		if j.Name == name {
			_, log := r.rosa.Do("GET", "/jobs/"+j.ID+"/log", nil)
			t.Fatalf("%s: %+v\n%s", j.Reason, got.Logs, log)
		}
	}
	t.Fatalf("%+v", got)
}

func (r *tesRig) engineInside(t *testing.T) {
	r.inContainer(t, "engine", `
wget -q -O info $T/service-info || exit 10
grep -q '"artifact":"tes"' info || exit 11
printf '%s' '{"name":"child","tags":{"run":"one"},"volumes":["/out"],"executors":[{"image":"`+busybox+`","command":["sh","-c","echo said-by-the-child; echo wrong-by-the-child >&2; cp /in/x /out/y"]}],"inputs":[{"path":"/in/x","content":"given"}],"outputs":[{"path":"/out/y","url":"file:///project/engine/y"}]}' > body
wget -q -O made --header 'Content-Type: application/json' --post-file body $T/tasks || exit 12
ID=$(sed 's/.*"id":"\([^"]*\)".*/\1/' made)
n=0; until wget -q -O state "$T/tasks/$ID?view=MINIMAL" && grep -q COMPLETE state; do n=$((n+1)); [ $n -lt 1200 ] || exit 13; sleep 0.1; done
wget -q -O full "$T/tasks/$ID?view=FULL" || exit 14
grep -q said-by-the-child full || exit 15
grep -q wrong-by-the-child full || exit 16
grep -q '"size_bytes":"5"' full || exit 17
wget -q -O list "$T/tasks?tag_key=run&tag_value=one&view=MINIMAL" && grep -q "$ID" list || exit 18
post '{"executors":[{"image":"`+busybox+`","command":["sleep","600"]}]}' tasks > made || exit 19
ID=$(sed 's/.*"id":"\([^"]*\)".*/\1/' made)
post '' "tasks/$ID:cancel" || exit 20
n=0; until wget -q -O state "$T/tasks/$ID" && grep -q CANCELED state; do n=$((n+1)); [ $n -lt 1200 ] || exit 21; sleep 0.1; done
wget -q -O list http://tes.local/v1/tasks || exit 22
`)
	again := r.run(t, tesclient.Task{Name: "reads what the engine's task left", Inputs: []tesclient.Input{{Path: "/in/y", URL: "file:///project/engine/y"}}, Executors: []tesclient.Executor{shell(`test "$(cat /in/y)" = given`)}})
	if again.State != tesclient.Complete {
		t.Errorf("%+v", again)
	}
}

func (r *tesRig) boundInside(t *testing.T) {
	r.olga.Must("POST", "/projects", map[string]string{"slug": "beyond", "name": "Beyond", "purpose": "Somebody else's."}, nil)
	var me struct {
		Person struct{ ID string }
	}
	r.rosa.Must("GET", "/session", nil, &me)
	r.olga.Must("PUT", "/projects/beyond/members/"+me.Person.ID, map[string]string{"role": "researcher"}, nil)
	other := r.as(t, r.rosa, "beyond")
	foreign, err := other.Create(t.Context(), tesclient.Task{Name: "foreign", Executors: []tesclient.Executor{shell("true")}})
	if err != nil {
		t.Fatal(err)
	}
	r.inContainer(t, "bound", `
[ "$(status "GET /ga4gh/tes/v1/service-info")" = 200 ] || exit 10
[ "$(status "GET /ga4gh/tes/v1/tasks/`+foreign+`")" = 404 ] || exit 11
[ "$(status "POST /ga4gh/tes/v1/tasks/`+foreign+`:cancel")" = 404 ] || exit 12
wget -q -O all "$T/tasks?view=FULL" && grep -q '"id":"`+foreign+`"' all && exit 13
post '{"tags":{"project":"beyond"},"executors":[{"image":"`+busybox+`","command":["true"]}]}' tasks && exit 14
post '{"inputs":[{"path":"/x","url":"https://example.org/x"}],"executors":[{"image":"`+busybox+`","command":["true"]}]}' tasks && exit 15
post '{"inputs":[{"path":"/x","type":"DIRECTORY","url":"tresor://dataset/`+"randhie"+`"}],"executors":[{"image":"`+busybox+`","command":["true"]}]}' tasks && exit 16
n=20
for path in /api/v1/session /api/v1/jobs /metrics /fed/v1/link / /index.html /ga4gh/loopback/v1/x /ga4gh/tes/../../api/v1/session /ga4gh/tes/releases/`+foreign+` /ga4gh/tes/v1/../../../api/v1/people /ga4gh/TES/v1/tasks //api/v1/session http://localhost/api/v1/session; do
  n=$((n+1)); [ "$(status "GET $path")" = 404 ] || { echo "$path gives $(status "GET $path")"; exit $n; }
done
for path in /project/../../etc/passwd /project/%2e%2e/%2e%2e/etc/passwd /project/../beyond/x /project//etc/passwd /project/none; do
  n=$((n+1)); case "$(status "GET $path")" in 4*) ;; *) echo "$path gives $(status "GET $path")"; exit $n ;; esac
done
[ "$(status "GET /project/")" = 200 ] || exit 39
[ "$(status "CONNECT example.org:443")" = 200 ] && exit 40
[ "$(status "GET /api/v1/session" "admin.local")" = 404 ] || exit 41
env | grep -i -E 'trs_|token|password' && exit 42
nc -w 2 1.1.1.1 80 </dev/null && exit 43
true
`)
	if st, err := other.Wait(t.Context(), foreign, 50*time.Millisecond); err != nil || st != tesclient.Complete {
		t.Errorf("the other project's task is %s, %v", st, err)
	}
}

// floodsInside lets a container do its worst at its door while a caller outside works.
func (r *tesRig) floodsInside(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	id, err := r.client.Create(ctx, tesclient.Task{Name: "flood", Volumes: []string{"/work"}, Executors: []tesclient.Executor{shell(shellHead + `
for i in $(seq 40); do (while true; do wget -q -O /dev/null "$T/tasks?view=FULL"; done) & done 2>/dev/null
for i in $(seq 40); do (sleep 600 | nc 127.0.0.1 80) & done 2>/dev/null
for i in $(seq 4); do (while true; do dd if=/dev/zero bs=1000000 count=4 2>/dev/null | nc 127.0.0.1 80 >/dev/null; done) & done 2>/dev/null
sleep 600`)}})
	if err != nil {
		t.Fatal(err)
	}
	for st := tesclient.Queued; st != tesclient.Running; time.Sleep(20 * time.Millisecond) {
		if x, err := r.client.Get(ctx, id, "MINIMAL"); err != nil || x.State.Over() {
			t.Fatalf("%+v, %v", x, err)
		} else {
			st = x.State
		}
	}
	time.Sleep(500 * time.Millisecond) // it is at full speed
	client := &tesclient.Client{Base: r.client.Base, Token: r.client.Token, HTTP: &http.Client{Timeout: time.Minute}}
	var slowest time.Duration
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		began := time.Now()
		if _, err := client.Get(ctx, id, "MINIMAL"); err != nil {
			t.Fatal(err)
		}
		slowest = max(slowest, time.Since(began))
	}
	began := time.Now()
	if st := r.run(t, tesclient.Task{Name: "beside the flood", Executors: []tesclient.Executor{shell("true")}}); st.State != tesclient.Complete {
		t.Errorf("%+v", st)
	}
	beside := time.Since(began)
	if err := r.client.Cancel(ctx, id); err != nil {
		t.Fatal(err)
	}
	if st, err := r.client.Wait(ctx, id, 50*time.Millisecond); err != nil || st != tesclient.Canceled {
		t.Errorf("%s, %v", st, err)
	}
	said := fmt.Sprintf("slowest answer outside %s, a task beside it %s", slowest.Round(time.Millisecond), beside.Round(time.Millisecond))
	if t.Log(said); slowest > 20*time.Second || beside > 2*time.Minute {
		t.Error(strings.ToUpper(said))
	}
}

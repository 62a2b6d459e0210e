package app_test

import "testing"

// TestAnEngineOnOneCore: on a host that gives away one core, a program that sends three
// tasks and waits for them, the first of which does the same, comes to its end.
func TestAnEngineOnOneCore(t *testing.T) {
	r := newTES(t, "sandbox.cores=1", "limits.default.cores=1")
	r.inContainer(t, "engine on one core", `
cat > nested <<'END'
{"executors":[{"image":"`+busybox+`","command":["sh","-c","cd /tmp; T=http://tes.local/ga4gh/tes/v1; printf '{\\042executors\\042:[{\\042image\\042:\\042`+busybox+`\\042,\\042command\\042:[\\042true\\042]}]}' > b; wget -q -O m --header 'Content-Type: application/json' --post-file b $T/tasks || exit 31; ID=$(awk -F '\\042' '{print $4}' m); n=0; until wget -q -O s $T/tasks/$ID && grep -q COMPLETE s; do n=$((n+1)); [ $n -lt 600 ] || exit 32; sleep 0.1; done"]}]}
END
wget -q -O made --header 'Content-Type: application/json' --post-file nested $T/tasks || exit 10
IDS=$(awk -F '"' '{print $4}' made)
for i in 1 2; do
  post '{"executors":[{"image":"`+busybox+`","command":["true"]}]}' tasks > made || exit 11
  IDS="$IDS $(awk -F '"' '{print $4}' made)"
done
for ID in $IDS; do
  n=0; until wget -q -O state "$T/tasks/$ID?view=FULL" && grep -q COMPLETE state; do
    n=$((n+1)); [ $n -lt 900 ] || { cat state; exit 12; }
    grep -q EXECUTOR_ERROR state && { cat state; exit 13; }
    sleep 0.1
  done
done
`)
}

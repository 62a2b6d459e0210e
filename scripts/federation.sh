# Part of scripts/run: a hub and three nodes on this machine, each node with its own
# third of the demonstration's data. Sourced, not run.
# shellcheck shell=bash disable=SC2154

# start NAME COMMAND... runs a server in the background with its log in a file.
start() {
  local name=$1
  shift
  mkdir -p "$data/federation"
  local log=$data/federation/$name.log
  logs+=("$log")
  "$@" >"$log" 2>&1 &
  pids+=($!)
  note "$name: ${*: -1}, log $log"
}

run_federation() {
  local dir=$data/federation k nodes=()
  trap stop EXIT
  say "Starting a hub and three nodes"
  start hub bin/tresor hub serve --data "$dir/hub" --set tls.mode=off --listen 127.0.0.1:8090
  for k in 1 2 3; do
    start "node-$k" bin/tresor serve --demo --data "$dir/node-$k" --set tls.mode=off --set federation.plain=true --set "demo_part=$k/3" \
      --set "name=Hospital $k" ${unlimited[@]+"${unlimited[@]}"} --listen "127.0.0.1:809$k"
    nodes+=(--node "$dir/node-$k")
  done
  say "One task through the hub to all nodes"
  bin/tresor demo federation --data "$dir/hub" "${nodes[@]}" --wait 120s || failed
  [ -n "$once" ] && return
  say "Still running; Ctrl-C ends all four"
  note "hub     http://127.0.0.1:8090"
  for k in 1 2 3; do
    note "node-$k  http://127.0.0.1:809$k"
    bin/tresor demo links --data "$dir/node-$k" | sed 's/^/           /'
  done
  wait
}

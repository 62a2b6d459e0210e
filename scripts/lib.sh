# What the commands in this folder share. Sourced, not run.
# shellcheck shell=bash

set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

# One set of build flags for programs and tests: a second set would compile SQLite twice.
tags=netgo,osusergo,sqlite_omit_load_extension
export GOFLAGS="-buildvcs=false -tags=$tags"
export CGO_ENABLED=1

say() { printf '\n== %s\n' "$*"; }
note() { printf '   %s\n' "$*"; }
die() {
  printf 'error: %s\n' "$1" >&2
  [ -z "${2:-}" ] || printf 'next: %s\n' "$2" >&2
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# as_root COMMAND...: runs it as root, through sudo where needed.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; elif have sudo; then sudo "$@"; else
    die "this step needs root: $*" "Run the script as root, or install sudo."
  fi
}

# install_packages NAME...: Debian packages that are missing, with a word about each.
install_packages() {
  local missing=()
  for p in "$@"; do
    dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  have apt-get || die "these packages are missing and there is no apt-get: ${missing[*]}" "Install them with your system's package manager."
  note "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  if ! as_root apt-get install -y --no-install-recommends "${missing[@]}" >/dev/null 2>&1; then
    as_root apt-get update >/dev/null
    as_root apt-get install -y --no-install-recommends "${missing[@]}" >/dev/null
  fi
}

need_go() {
  have go || die "Go is not installed" "Install Go 1.26 or newer from your distribution or go.dev, then run this again."
  have cc || have gcc || install_packages gcc libc6-dev
}

# build_tresor: the one static binary, in bin/tresor. Go decides what is stale.
build_tresor() {
  mkdir -p bin
  go build -trimpath=false -ldflags '-s -w -linkmode external -extldflags "-static"' -o bin/tresor .
}

# ensure_sandbox: Podman and the account that runs containers. Root gets the two-account
# split of an installation; anybody else runs containers under their own account.
ensure_sandbox() {
  if [ "$(id -u)" = 0 ]; then
    scripts/sandbox-account
    return
  fi
  install_packages podman uidmap crun
  grep -q "^$(id -un):" /etc/subuid 2>/dev/null ||
    as_root usermod --add-subuids 300000-365535 --add-subgids 300000-365535 "$(id -un)"
}

# containers_reach DIR: can the account that runs containers pass through DIR?
containers_reach() {
  [ "$(id -u)" = 0 ] || return 0
  setpriv --reuid=tresor-sandbox --regid="$(id -g tresor-sandbox)" --clear-groups test -x "$1"
}

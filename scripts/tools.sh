#!/usr/bin/env bash
# Builds the command line tools that tests use, by `go install` and pip, into .cache/bin.
#
#   scripts/tools.sh [helm|grpcurl|python]...     default: all; prints the folder on stdout
#
# `python` is a Python with what examples/python needs. A tool that is there in the pinned version is left alone. Where Go
# or Python is missing it comes from the package manager, on Debian and its relatives; elsewhere the script says what to install.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
BIN=$PWD/.cache/bin
HELM_MODULE=helm.sh/helm/v3/cmd/helm@v3.22.0
GRPCURL_MODULE=github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4

say() { printf '%s\n' "tools: $*" >&2; }
die() { say "$*"; exit 1; }

apt_install() { # WHAT PACKAGE...
  command -v apt-get >/dev/null || die "$1 is needed: install it, then run this again"
  shift
  local sudo=''
  [ "$(id -u)" = 0 ] || sudo=sudo
  say "apt: $*"
  { $sudo apt-get update -q && $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"; } >&2
}

find_go() {
  if command -v go >/dev/null; then return 0; fi
  if [ -x /usr/local/go/bin/go ]; then export PATH=$PATH:/usr/local/go/bin; return 0; fi
  apt_install Go golang-go
}

python() { # in a virtual environment: the system's Python stays as it is
  local stamp=$BIN/.python wanted
  wanted=$(cat examples/python/requirements.txt)
  if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && "$BIN/python" -c 'import websockets' 2>/dev/null; then return 0; fi
  python3 -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || apt_install 'Python 3.11 with venv' python3 python3-venv
  say "pip install $wanted"
  python3 -m venv --clear "$BIN/../python" >&2
  "$BIN/../python/bin/pip" install -q --disable-pip-version-check -r examples/python/requirements.txt >&2
  printf '#!/bin/sh\nexec "%s" "$@"\n' "$(cd "$BIN/../python/bin" && pwd)/python3" >"$BIN/python"
  chmod +x "$BIN/python"
  printf '%s\n' "$wanted" >"$stamp"
}

build() { # NAME MODULE@VERSION
  local stamp=$BIN/.$1
  if [ -x "$BIN/$1" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$2" ]; then return 0; fi
  find_go
  say "go install $2"
  # -p=1: the linkers of these tools take more memory and cores than a small build machine has to spare.
  GOBIN=$BIN GOFLAGS="${GOFLAGS:-} -p=1" go install "$2" >&2
  printf '%s\n' "$2" >"$stamp"
}

mkdir -p "$BIN"
exec 9>"$BIN/.lock"
if command -v flock >/dev/null; then flock -w 900 9 || die 'another run is building'; fi
[ $# -gt 0 ] || set -- helm grpcurl python
for tool in "$@"; do
  case $tool in
    helm) build helm "$HELM_MODULE" ;;
    grpcurl) build grpcurl "$GRPCURL_MODULE" ;;
    python) python ;;
    *) die "unknown tool: $tool" ;;
  esac
done
printf '%s\n' "$BIN"

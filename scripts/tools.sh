#!/usr/bin/env bash
# Puts the command line tools that tests use into .cache/bin: built by `go install`, or out of a Debian package.
#
#   scripts/tools.sh [helm|grpcurl|prometheus]...     default: all; prints the folder on stdout
#
# A tool that is there in the pinned version is left alone. Go compares what it fetches with its checksum database, apt with
# the signed index. Where Go is missing it comes from the package manager, on Debian and its relatives; elsewhere the script
# says what to install.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
BIN=$PWD/.cache/bin
HELM_MODULE=helm.sh/helm/v3/cmd/helm@v3.22.0
GRPCURL_MODULE=github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4
# With promtool. As a Go module it cannot be built without its own replacements.
PROMETHEUS_PACKAGE=prometheus=2.42.0*

say() { printf '%s\n' "tools: $*" >&2; }
die() { say "$*"; exit 1; }

find_go() {
  if command -v go >/dev/null; then return 0; fi
  if [ -x /usr/local/go/bin/go ]; then export PATH=$PATH:/usr/local/go/bin; return 0; fi
  command -v apt-get >/dev/null || die 'Go is needed: install it, then run this again'
  local sudo=''
  [ "$(id -u)" = 0 ] || sudo=sudo
  say 'apt: golang-go'
  { $sudo apt-get update -q && $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends golang-go; } >&2
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

unpack() { # PACKAGE=VERSION PROGRAM...: unpacked, not installed: no daemon is started
  local package=$1 name=${1%%=*} program sudo='' folder=$BIN/.unpack
  local stamp=$BIN/.$name download=(apt-get download -q -o APT::Sandbox::User=root "$1")
  shift
  if [ -x "$BIN/$1" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$package" ]; then return 0; fi
  command -v apt-get >/dev/null || die "$package is a Debian package: put its programs $* into $BIN and the text $package into $stamp"
  [ "$(id -u)" = 0 ] || sudo=sudo
  say "apt-get download $package"
  rm -rf "$folder"
  mkdir "$folder"
  (cd "$folder" && { "${download[@]}" || { $sudo apt-get update -q && "${download[@]}"; }; }) >&2 || die "apt has no $package"
  dpkg-deb -x "$folder/$name"_*.deb "$folder"
  for program in "$@"; do mv "$folder/usr/bin/$program" "$BIN/"; done
  rm -rf "$folder"
  printf '%s\n' "$package" >"$stamp"
}

mkdir -p "$BIN"
exec 9>"$BIN/.lock"
if command -v flock >/dev/null; then flock -w 900 9 || die 'another run is building'; fi
[ $# -gt 0 ] || set -- helm grpcurl prometheus
for tool in "$@"; do
  case $tool in
    helm) build helm "$HELM_MODULE" ;;
    grpcurl) build grpcurl "$GRPCURL_MODULE" ;;
    prometheus) unpack "$PROMETHEUS_PACKAGE" prometheus promtool ;;
    *) die "unknown tool: $tool" ;;
  esac
done
printf '%s\n' "$BIN"

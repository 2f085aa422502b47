#!/usr/bin/env bash
# A real Kubernetes API server on loopback, with an etcd of its own, for tests of the chart. There is no kubelet and no
# controller: nothing runs, but every object is admitted, defaulted, validated and stored as in a cluster. It knows the kinds
# of the Prometheus Operator and of the Gateway API.
#
#   scripts/kube.sh     prints KUBECONFIG=FILE on stdout once it is ready; ends with Ctrl-C, SIGTERM or its input
#
# kubectl and helm for it are in .cache/bin (scripts/tools.sh).
#
# Environment: KUBE_PORT (16443); etcd takes the two ports above.
set -euo pipefail
umask 077

cd "$(dirname "${BASH_SOURCE[0]}")/.."
BIN=$(scripts/tools.sh kubernetes)
PORT=${KUBE_PORT:-16443}
STATE=$(mktemp -d)
export SERVICES_DIR=$STATE/services ETCD_PORT=$((PORT + 1)) KUBECONFIG=$STATE/kubeconfig
START_TIMEOUT=60
server='' input=''

die() { printf '%s\n' "kube: $*" >&2; exit 1; }
# shellcheck disable=SC2317 # called by the trap
finish() {
  # In this order: without etcd the server does not end by itself.
  if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; wait "$server" || true; fi
  if [ -n "$input" ]; then kill "$input" 2>/dev/null || true; fi
  scripts/services.sh stop etcd
  rm -rf "$STATE"
}
trap finish EXIT
trap 'exit 0' INT TERM

scripts/services.sh install etcd
endpoints=$(scripts/services.sh start etcd)
openssl genrsa -out "$STATE/accounts.key" 2048 2>/dev/null
openssl rsa -in "$STATE/accounts.key" -pubout -out "$STATE/accounts.pub" 2>/dev/null
token=$(openssl rand -hex 16)
printf '%s,admin,1,system:masters\n' "$token" >"$STATE/tokens.csv"
cat >"$KUBECONFIG" <<YAML
apiVersion: v1
kind: Config
clusters: [{name: local, cluster: {server: 'https://127.0.0.1:$PORT', insecure-skip-tls-verify: true}}]
users: [{name: admin, user: {token: $token}}]
contexts: [{name: local, context: {cluster: local, user: admin}}]
current-context: local
YAML
# Without controllers no namespace gets its account, which pods would have to wait for.
"$BIN/kube-apiserver" --etcd-servers="${endpoints#*=}" --cert-dir="$STATE/certificates" --bind-address=127.0.0.1 --secure-port="$PORT" \
  --service-cluster-ip-range=10.96.0.0/24 --service-account-issuer=https://kubernetes.default.svc \
  --service-account-key-file="$STATE/accounts.pub" --service-account-signing-key-file="$STATE/accounts.key" \
  --token-auth-file="$STATE/tokens.csv" --authorization-mode=RBAC --disable-admission-plugins=ServiceAccount \
  </dev/null >"$STATE/server.log" 2>&1 &
server=$!

deadline=$((SECONDS + START_TIMEOUT))
until [ "$("$BIN/kubectl" get --raw /readyz 2>/dev/null)" = ok ]; do
  kill -0 "$server" 2>/dev/null || { tail -n 20 "$STATE/server.log" >&2; die 'the server ended while it started'; }
  [ "$SECONDS" -lt "$deadline" ] || { tail -n 20 "$STATE/server.log" >&2; die "the server is not ready after $START_TIMEOUT s"; }
  sleep 0.2
done
"$BIN/kubectl" apply --server-side -f .cache/crds >&2
"$BIN/kubectl" wait --for=condition=Established --all crd --timeout="${START_TIMEOUT}s" >&2
printf 'KUBECONFIG=%s\n' "$KUBECONFIG"

# Whoever started this may die without a signal: its end of the pipe does not outlive it.
exec 3<&0
cat <&3 >/dev/null &
input=$!
wait -n "$server" "$input" || true

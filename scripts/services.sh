#!/usr/bin/env bash
# The real services of the integration tests and of `npm run demo -- --real`, on loopback, without containers:
# etcd, Redis and MariaDB from Debian packages, Kafka from its own jars (Maven).
#
#   scripts/services.sh install [SERVICE]...   packages and jars that are missing
#   scripts/services.sh start   [SERVICE]...   prints NAME=address lines on stdout; what runs already is left alone
#   scripts/services.sh stop    [SERVICE]...
#   scripts/services.sh status                 exit 0: all that was started runs, 3: some does not
#   scripts/services.sh kill|freeze|thaw NODE|SERVICE...   SIGKILL, SIGSTOP, SIGCONT; a killed node returns with `start`
#
# SERVICE is etcd, redis, kafka or mysql (default: all four); NODE is a service's name with its number: etcd1, kafka3.
#
# Environment (defaults):
#   SERVICES_DIR (${TMPDIR:-/tmp}/im-gateway-services)  data, logs and pids; remove it after `stop` for a fresh state
#   SERVICES_LIB (.cache of the project)                Kafka's jars, shared by all instances
#   ETCD_PORT (12379) KAFKA_PORT (19092) REDIS_PORT (16379) MYSQL_PORT (13306)
#     node i of a cluster listens 10*(i-1) above; each Kafka and etcd node takes the next port as well
#   ETCD_NODES (1) KAFKA_NODES (1)                      1 or 3
#   KAFKA_PROPERTIES (none)                             a file of broker settings that go before those written here
#   START_TIMEOUT (60) STOP_TIMEOUT (10)                seconds
#
# Elsewhere than on Debian and its relatives: `docker compose -f deploy/compose.yaml up -d`, or give the tests the
# addresses of your own in ETCD_ENDPOINTS, REDIS_ADDR, KAFKA_BROKERS and MYSQL_URL.
set -euo pipefail

PROJECT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
SERVICES_DIR=${SERVICES_DIR:-${TMPDIR:-/tmp}/im-gateway-services}
SERVICES_LIB=${SERVICES_LIB:-$PROJECT/.cache}
KAFKA_VERSION=4.3.1
SLF4J_VERSION=1.7.36
ETCD_PORT=${ETCD_PORT:-12379} ETCD_NODES=${ETCD_NODES:-1}
KAFKA_PORT=${KAFKA_PORT:-19092} KAFKA_NODES=${KAFKA_NODES:-1}
REDIS_PORT=${REDIS_PORT:-16379}
MYSQL_PORT=${MYSQL_PORT:-13306}
START_TIMEOUT=${START_TIMEOUT:-60}
STOP_TIMEOUT=${STOP_TIMEOUT:-10}
JARS=$SERVICES_LIB/kafka-$KAFKA_VERSION
KAFKA_CLUSTER=bG9vcGJhY2stY2x1c3Rlcg
ALL=(etcd redis mysql kafka)

say() { printf '%s\n' "services: $*" >&2; }
die() { say "$*"; exit 1; }
usage() { sed -n '2,/^set -euo/p' "${BASH_SOURCE[0]}" | sed -e '/^set -euo/d' -e 's/^# \{0,1\}//' >&2; exit 64; }

# ---- processes
#
# A node is known by its pid and the time the kernel started it, in one file: a pid that was given to another
# process since is never signalled.

born() { # PID: the kernel's start time; nothing where the process is gone or a zombie
  local line
  line=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
  read -r -a line <<<"${line##*) }"
  [ "${line[0]}" = Z ] || printf '%s\n' "${line[19]}"
}
pid_of() { # NODE: prints its pid; fails where it does not run
  local pid time
  read -r pid time 2>/dev/null <"$SERVICES_DIR/run/$1.pid" || return 1
  [ -n "$time" ] && [ "$(born "$pid")" = "$time" ] && printf '%s\n' "$pid"
}
runs() { pid_of "$1" >/dev/null; }
listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

launch() { # NODE PORT COMMAND...
  local node=$1 port=$2 looks=0
  shift 2
  # The threads of a process that was killed may hold its port for a moment longer.
  while listens "$port"; do
    if [ $((looks += 1)) -gt 20 ]; then die "$node: port $port is taken by another process"; fi
    sleep 0.1
  done
  setsid "$@" </dev/null >"$SERVICES_DIR/log/$node.log" 2>&1 9>&- &
  printf '%s %s\n' "$!" "$(born "$!")" >"$SERVICES_DIR/run/$node.pid"
}
await() { # NODE CHECK...: until the check succeeds
  local node=$1 deadline=$((SECONDS + START_TIMEOUT)) problem
  shift
  until "$@" >/dev/null 2>&1; do
    problem=''
    if ! runs "$node"; then problem='ended while it started'; fi
    if [ "$SECONDS" -ge "$deadline" ]; then problem="is not ready after $START_TIMEOUT s"; fi
    if [ -n "$problem" ]; then tail -n 20 "$SERVICES_DIR/log/$node.log" >&2; die "$node $problem"; fi
    sleep 0.1
  done
  say "$node is ready, pid $(pid_of "$node")"
}
nodes() { # SERVICE: the nodes it has data of
  local folder
  for folder in "$SERVICES_DIR/data/$1"[0-9]; do
    if [ -d "$folder" ]; then basename "$folder"; fi
  done
}
cluster_size() { # SERVICE NODES: data made for one size of cluster cannot serve another
  local file=$SERVICES_DIR/data/$1.size
  case $2 in 1 | 3) ;; *) die "$1: 1 or 3 nodes, not $2" ;; esac
  if [ -f "$file" ] && [ "$(cat "$file")" != "$2" ]; then
    die "$1: the data in $SERVICES_DIR is of a cluster of $(cat "$file"): stop it and remove that folder"
  fi
  printf '%s\n' "$2" >"$file"
}

# ---- install

packages() { # COMMAND=PACKAGE...: installs the packages whose command is missing; none of them starts a daemon
  local pair wanted=() sudo=() policy=/usr/sbin/policy-rc.d ours='' code=0
  for pair in "$@"; do
    command -v "${pair%%=*}" >/dev/null || wanted+=("${pair#*=}")
  done
  [ ${#wanted[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null ||
    die "${wanted[*]} missing and no apt-get here: docker compose -f deploy/compose.yaml up -d, or give the addresses in the environment"
  [ "$(id -u)" = 0 ] || sudo=(sudo)
  say "apt-get install ${wanted[*]}"
  # Debian's service packages start their daemon on installation unless this file says no.
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee "$policy" >/dev/null
    "${sudo[@]}" chmod 755 "$policy"
    ours=1
  fi
  {
    "${sudo[@]}" apt-get update -q &&
      "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${wanted[@]}"
  } >"$SERVICES_DIR/log/apt.log" 2>&1 || code=$?
  if [ -n "$ours" ]; then "${sudo[@]}" rm -f "$policy"; fi
  if [ "$code" != 0 ]; then tail -n 20 "$SERVICES_DIR/log/apt.log" >&2; die "apt-get ended with $code"; fi
}
install_etcd() { packages etcd=etcd-server etcdctl=etcd-client; }
install_redis() { packages redis-server=redis-server redis-cli=redis-tools; }
install_mysql() { packages mariadbd=mariadb-server mariadb=mariadb-client; }
install_kafka() {
  local pom
  packages java=openjdk-17-jre-headless mvn=maven
  [ -f "$JARS/.complete" ] && return 0
  rm -rf "$JARS"
  mkdir -p "$JARS"
  pom=$SERVICES_DIR/pom.xml
  # Without a binding of slf4j the broker logs nothing, and its start could not be seen.
  cat >"$pom" <<XML
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>im-gateway.test</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$KAFKA_VERSION</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>$SLF4J_VERSION</version></dependency>
  </dependencies>
</project>
XML
  say "maven: kafka $KAFKA_VERSION"
  if ! mvn -B -q -f "$pom" dependency:copy-dependencies -DoutputDirectory="$JARS" >"$SERVICES_DIR/log/maven.log" 2>&1 9>&- 8>&-; then
    tail -n 20 "$SERVICES_DIR/log/maven.log" >&2
    die 'maven failed'
  fi
  touch "$JARS/.complete"
}

# ---- start

start_etcd() {
  local i port peers='' endpoints=()
  command -v etcd >/dev/null || die 'etcd is not installed: scripts/services.sh install etcd'
  cluster_size etcd "$ETCD_NODES"
  for ((i = 1; i <= ETCD_NODES; i++)); do
    port=$((ETCD_PORT + 10 * (i - 1)))
    endpoints+=("http://127.0.0.1:$port")
    peers+=${peers:+,}etcd$i=http://127.0.0.1:$((port + 1))
  done
  for ((i = 1; i <= ETCD_NODES; i++)); do
    port=$((ETCD_PORT + 10 * (i - 1)))
    runs "etcd$i" && continue
    mkdir -p "$SERVICES_DIR/data/etcd$i"
    chmod 700 "$SERVICES_DIR/data/etcd$i"
    launch "etcd$i" "$port" etcd --name "etcd$i" --data-dir "$SERVICES_DIR/data/etcd$i" \
      --listen-client-urls "http://127.0.0.1:$port" --advertise-client-urls "http://127.0.0.1:$port" \
      --listen-peer-urls "http://127.0.0.1:$((port + 1))" --initial-advertise-peer-urls "http://127.0.0.1:$((port + 1))" \
      --initial-cluster "$peers" --initial-cluster-token im-gateway-services
  done
  for ((i = 1; i <= ETCD_NODES; i++)); do
    await "etcd$i" env ETCDCTL_API=3 etcdctl --endpoints "${endpoints[i - 1]}" endpoint health
  done
  address etcd ETCD_ENDPOINTS "$(IFS=, && printf '%s' "${endpoints[*]}")"
}
start_redis() {
  command -v redis-server >/dev/null || die 'redis is not installed: scripts/services.sh install redis'
  mkdir -p "$SERVICES_DIR/data/redis1"
  if ! runs redis1; then
    launch redis1 "$REDIS_PORT" redis-server --bind 127.0.0.1 --port "$REDIS_PORT" --dir "$SERVICES_DIR/data/redis1" \
      --appendonly yes --save '' --daemonize no
  fi
  await redis1 sh -c "redis-cli -h 127.0.0.1 -p $REDIS_PORT ping | grep -q PONG"
  address redis REDIS_ADDR "127.0.0.1:$REDIS_PORT"
}
start_mysql() { # root without a password: loopback only, test data only
  local data=$SERVICES_DIR/data/mysql1 user=()
  command -v mariadbd >/dev/null || die 'mariadb is not installed: scripts/services.sh install mysql'
  [ "$(id -u)" != 0 ] || user=(--user=root)
  if ! runs mysql1; then
    if [ ! -d "$data/mysql" ]; then
      mkdir -p "$data"
      mariadb-install-db --no-defaults "${user[@]}" --datadir="$data" --auth-root-authentication-method=normal --skip-test-db \
        >"$SERVICES_DIR/log/mysql1.install.log" 2>&1 9>&- || { tail -n 20 "$SERVICES_DIR/log/mysql1.install.log" >&2; die 'mysql1: mariadb-install-db failed'; }
    fi
    launch mysql1 "$MYSQL_PORT" mariadbd --no-defaults "${user[@]}" --datadir="$data" --bind-address=127.0.0.1 --port="$MYSQL_PORT" \
      --socket="$data/server.sock" --pid-file="$data/server.pid" --innodb-buffer-pool-size=32M
  fi
  await mysql1 mariadb --no-defaults --protocol=tcp -h127.0.0.1 -P"$MYSQL_PORT" -uroot -e 'CREATE DATABASE IF NOT EXISTS im CHARACTER SET utf8mb4'
  address mysql MYSQL_URL "mysql://root@127.0.0.1:$MYSQL_PORT/im"
}
start_kafka() { # each node is broker and controller (KRaft); topics are never made by themselves
  local i port voters='' brokers='' in_sync=1 java
  [ -f "$JARS/.complete" ] || die 'kafka is not installed: scripts/services.sh install kafka'
  cluster_size kafka "$KAFKA_NODES"
  [ "$KAFKA_NODES" = 1 ] || in_sync=2
  for ((i = 1; i <= KAFKA_NODES; i++)); do
    port=$((KAFKA_PORT + 10 * (i - 1)))
    brokers+=${brokers:+,}127.0.0.1:$port
    voters+=${voters:+,}$i@127.0.0.1:$((port + 1))
  done
  java=(java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$JARS/*"
    -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -Dorg.slf4j.simpleLogger.showDateTime=true
    -Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info)
  for ((i = 1; i <= KAFKA_NODES; i++)); do
    runs "kafka$i" || launch_kafka "$i" $((KAFKA_PORT + 10 * (i - 1)))
  done
  for ((i = 1; i <= KAFKA_NODES; i++)); do
    await "kafka$i" grep -q 'Kafka Server started' "$SERVICES_DIR/log/kafka$i.log"
  done
  address kafka KAFKA_BROKERS "$brokers"
}
launch_kafka() { # NUMBER PORT, with the variables of start_kafka
  local data=$SERVICES_DIR/data/kafka$1
  mkdir -p "$data"
  # A killed broker's next process is refused until its old session has run out: 3 s here instead of 9.
  cat >"$data/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=$1
controller.quorum.voters=$voters
controller.listener.names=CONTROLLER
controller.quorum.election.timeout.ms=500
controller.quorum.fetch.timeout.ms=1000
listeners=PLAINTEXT://127.0.0.1:$2,CONTROLLER://127.0.0.1:$(($2 + 1))
advertised.listeners=PLAINTEXT://127.0.0.1:$2
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
log.dirs=$data/log
num.io.threads=2
num.network.threads=2
auto.create.topics.enable=false
num.partitions=4
default.replication.factor=$KAFKA_NODES
min.insync.replicas=$in_sync
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=4
offsets.topic.replication.factor=$KAFKA_NODES
transaction.state.log.num.partitions=2
transaction.state.log.replication.factor=$KAFKA_NODES
transaction.state.log.min.isr=$in_sync
PROPERTIES
  # Of a key that stands twice the last one counts.
  [ -z "${KAFKA_PROPERTIES:-}" ] || cat "$KAFKA_PROPERTIES" >>"$data/server.properties"
  if [ ! -f "$data/log/meta.properties" ]; then
    "${java[@]}" kafka.tools.StorageTool format -t "$KAFKA_CLUSTER" -c "$data/server.properties" >"$SERVICES_DIR/log/kafka$1.format.log" 2>&1 9>&- || {
      tail -n 20 "$SERVICES_DIR/log/kafka$1.format.log" >&2
      die "kafka$1: the data folder could not be formatted"
    }
  fi
  launch "kafka$1" "$2" "${java[@]}" kafka.Kafka "$data/server.properties"
}
address() { printf '%s=%s\n' "$2" "$3" >"$SERVICES_DIR/run/$1.env"; } # SERVICE NAME VALUE
addresses() {
  local service
  for service in "${ALL[@]}"; do
    if [ -f "$SERVICES_DIR/run/$service.env" ]; then cat "$SERVICES_DIR/run/$service.env"; fi
  done
}

# ---- stop, status, faults

stop_all() { # SERVICE...: all are asked at once, those that take too long are killed
  local service node pid asked=() deadline=$((SECONDS + STOP_TIMEOUT))
  for service in "$@"; do
    rm -f "$SERVICES_DIR/run/$service.env"
    for node in $(nodes "$service"); do
      pid=$(pid_of "$node") || continue
      # A frozen process does not see SIGTERM before it goes on.
      kill -TERM "$pid" 2>/dev/null || true
      kill -CONT "$pid" 2>/dev/null || true
      asked+=("$node")
    done
  done
  for node in "${asked[@]}"; do
    while runs "$node" && [ "$SECONDS" -lt "$deadline" ]; do sleep 0.1; done
    if pid=$(pid_of "$node"); then
      kill -KILL "$pid" 2>/dev/null || true
      say "$node killed, it did not stop in $STOP_TIMEOUT s"
    else
      say "$node stopped"
    fi
    rm -f "$SERVICES_DIR/run/$node.pid"
  done
}
signal() { # SIGNAL NODE|SERVICE...
  local signal=$1 name node pid targets
  shift
  [ $# -gt 0 ] || usage
  for name in "$@"; do
    case $name in *[0-9]) targets=("$name") ;; *) mapfile -t targets < <(nodes "$name") ;; esac
    for node in "${targets[@]}"; do
      pid=$(pid_of "$node") || die "$node does not run"
      kill "-$signal" "$pid"
      if [ "$signal" = KILL ]; then while runs "$node"; do sleep 0.02; done; fi
    done
  done
}
status() {
  local service node pid code=0 found=''
  for service in "${ALL[@]}"; do
    for node in $(nodes "$service"); do
      found=1
      if pid=$(pid_of "$node"); then printf '%s runs, pid %s\n' "$node" "$pid"; else printf '%s does not run\n' "$node"; code=3; fi
    done
  done
  [ -n "$found" ] || { echo 'nothing was started'; code=3; }
  addresses
  return "$code"
}

# ---- command line

[ $# -gt 0 ] || usage
command=$1
shift
case $command in
  kill | freeze | thaw | install | start | stop | status) ;;
  *) usage ;;
esac
mkdir -p "$SERVICES_DIR" "$SERVICES_LIB"
SERVICES_DIR=$(cd "$SERVICES_DIR" && pwd)
mkdir -p "$SERVICES_DIR/data" "$SERVICES_DIR/log" "$SERVICES_DIR/run"

case $command in
  status) status; exit ;;
  kill) signal KILL "$@"; exit ;;
  freeze) signal STOP "$@"; exit ;;
  thaw) signal CONT "$@"; exit ;;
esac

wanted=()
for name in "${@:-all}"; do
  case $name in
    etcd | redis | mysql | kafka) wanted+=("$name") ;;
    all) wanted+=("${ALL[@]}") ;;
    *) die "unknown service: $name" ;;
  esac
done
# Descriptor 9 is the lock; started processes must not inherit it, or they would hold it for life.
exec 9>"$SERVICES_DIR/.lock"
flock -w 600 9 || die "another run holds $SERVICES_DIR/.lock"
case $command in
  install)
    exec 8>"$SERVICES_LIB/.services.lock"
    flock -w 600 8 || die "another run holds $SERVICES_LIB/.services.lock"
    for name in "${wanted[@]}"; do "install_$name"; done
    ;;
  start)
    for name in "${wanted[@]}"; do "start_$name"; done
    addresses
    ;;
  stop) stop_all "${wanted[@]}" ;;
esac

#!/usr/bin/env bash
# Three instances behind haproxy on one database with two synchronous standbys: kills the primary, an instance, and restarts the
# instances one after the other, while a ledger (tests/cluster/ledger.py) creates, talks, stops and erases at all of them.
# At the end nothing acknowledged is lost, nothing erased is back, and no answer was shown for longer than 300 ms after its erasure.
# Usage: tests/cluster.sh [BINARY]
# Needs haproxy, pgbouncer, python3 and the programs of PostgreSQL (PG_BIN names their folder). Takes about two minutes.
set -euo pipefail

binary=$(realpath "${1:-target/release/safespace}")
PATH=$PATH:/usr/sbin # Where Debian has haproxy and pgbouncer.
tests=$(dirname "$(realpath "$0")")
files=$(mktemp -d /tmp/safespace-cluster-XXXXXX)
chmod 755 "$files" # The user postgres must be able to enter it.
pg_bin=${PG_BIN:-$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)}
folders=()
processes=()
records=()
wrong=0
declare -A ports urls pids

. "$tests/service.sh"

cleanup() {
    status=$?
    # They would take the time of APP_SHUTDOWN_DELAY, one after the other.
    { kill -9 "${pids[@]}" && wait "${pids[@]}" || true; } 2>/dev/null
    for node in one two three; do pg_ctl "$node" -m immediate stop >/dev/null 2>&1 || true; done
    finish $status
}
trap cleanup EXIT

step() { printf '%3d s  %s\n' $SECONDS "$*"; }

as_postgres() {
    # PostgreSQL and PgBouncer refuse to run as root.
    if [ "$(id -u)" = 0 ]; then exec setpriv --reuid=postgres --regid=postgres --init-groups "$@"; else exec "$@"; fi
}

# --- PostgreSQL: the nodes one, two and three ---

pg_ctl() { (as_postgres "$pg_bin/pg_ctl" -s -D "$files/$1" "${@:2}"); }

sql() { "$pg_bin/psql" -XAtq -h 127.0.0.1 -p "${ports[$1]}" -U postgres "${3:-postgres}" -c "$2"; }

follow() { echo "host=127.0.0.1 port=${ports[$2]} user=postgres application_name=$1"; }

start_node() { pg_ctl "$1" -w -l "$files/$1.log" -o "-p ${ports[$1]}" start; }

# copy_node NODE PRIMARY: makes the node a new standby of the primary.
copy_node() {
    rm -rf "${files:?}/$1"
    (as_postgres "$pg_bin/pg_basebackup" -c fast -R -D "$files/$1" -d "$(follow "$1" "$2")")
    start_node "$1"
}

# kill_node NODE: as if its machine had lost power: the children of the server do not outlive it.
kill_node() {
    local server
    server=$(head -n 1 "$files/$1/postmaster.pid")
    kill -9 "$server" $(ps -o pid= --ppid "$server")
}

# fail_over: kills the primary, promotes the standby that has received more, and lets the other one follow it. Sets $primary.
fail_over() {
    local standbys=() node
    for node in one two three; do [ "$node" = "$primary" ] || standbys+=("$node"); done
    kill_node "$primary"
    step "killed the primary, $primary"
    local received="SELECT pg_last_wal_receive_lsn()"
    [ "$(sql "${standbys[0]}" "SELECT '$(sql "${standbys[1]}" "$received")'::pg_lsn > ($received)")" = f ] ||
        standbys=("${standbys[1]}" "${standbys[0]}")
    dead=$primary
    primary=${standbys[0]}
    pg_ctl "$primary" -w promote
    sql "${standbys[1]}" "ALTER SYSTEM SET primary_conninfo = '$(follow "${standbys[1]}" "$primary")'"
    sql "${standbys[1]}" "SELECT pg_reload_conf()" >/dev/null
    step "promoted $primary"
}

# --- PgBouncer, haproxy and the instances ---

write_bouncer() {
    cat >"$files/pgbouncer.ini" <<END
[databases]
safespace = host=127.0.0.1 port=${ports[$primary]} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${ports[bouncer]}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 60
max_client_conn = 300
ignore_startup_parameters = options
server_login_retry = 1
END
}

# Not the configuration of docs/operations.md, which tests/rolling.sh takes: that one keeps a session at one instance, and here requests of
# a session shall meet all of them.
write_haproxy() {
    cat >"$files/haproxy.cfg" <<END
defaults
    mode http
    timeout connect 2s
    timeout client 75s
    timeout server 40s
    timeout queue 5s
    http-reuse safe
    retries 3
    option redispatch 1
    retry-on conn-failure empty-response
frontend people
    bind 127.0.0.1:${ports[proxy]}
    default_backend instances
backend instances
    balance roundrobin
    option httpchk GET /health/ready
    http-check expect status 200
    default-server check inter 1s fastinter 500ms downinter 500ms rise 1 fall 2
    server a 127.0.0.1:${ports[a]}
    server b 127.0.0.1:${ports[b]}
    server c 127.0.0.1:${ports[c]}
END
}

start_instance() {
    serve "$1" APP_PORT="${ports[$1]}" APP_SHUTDOWN_DELAY=2 DATABASE_URL="$database" LOG_LEVEL=warn RATE_LIMIT=off \
        OPENAI_BASE_URL="http://127.0.0.1:$model/v1" COMPANION_MODEL=slow COMPANION_EGRESS=local
    urls[$1]=$url
    pids[$1]=$!
}

# wait_until_ready NAME: until the instance is ready, and haproxy has noticed it.
wait_until_ready() {
    curl -sf -m 10 --retry 30 --retry-all-errors --retry-delay 1 --retry-max-time 30 -o /dev/null "${urls[$1]}/health/ready" ||
        { echo "FAILED  instance $1 does not become ready: $(curl -s -m 10 "${urls[$1]}/health/ready")" >&2; exit 1; }
    sleep 1
}

# --- The ledger ---

# hammer NAME SECONDS [OPTION ...] URL...: starts the ledger in the background.
hammer() {
    records+=("$files/$1.json")
    step "hammers: $1"
    python3 -B "$tests/cluster/ledger.py" run "$files/$1.json" "${@:2}" >"$files/$1.ledger" &
    ledger=$!
    processes+=($ledger)
    ledger_name=$1
}

# settle: waits for the ledger, and shows what it found.
settle() {
    wait "$ledger" || wrong=1
    cat "$files/$ledger_name.ledger"
}

step "starts PostgreSQL, PgBouncer, haproxy, a model and three instances"
read -r ports[one] ports[two] ports[three] ports[bouncer] ports[proxy] ports[a] ports[b] ports[c] <<<"$(free_ports 8)"

[ "$(id -u)" != 0 ] || chown postgres "$files"
primary=one
(as_postgres "$pg_bin/initdb" -D "$files/one" -U postgres -A trust --no-locale -E UTF8 >/dev/null)
cat >>"$files/one/postgresql.conf" <<END
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 200
wal_keep_size = '512MB'
END
start_node one
copy_node two one
copy_node three one
# The same for each of them, so that it holds after a failover too.
for node in one two three; do
    sql $node "ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (one, two, three)'"
    sql $node "SELECT pg_reload_conf()" >/dev/null
done
sql one "CREATE DATABASE safespace"
# PgBouncer takes no settings from the service (docs/setup.md).
sql one "ALTER ROLE postgres SET statement_timeout = '30s'"
sql one "ALTER ROLE postgres SET idle_in_transaction_session_timeout = '30s'"
sql one "ALTER ROLE postgres SET enable_seqscan = off"
sql one "ALTER ROLE postgres SET jit = off"

write_bouncer
as_postgres pgbouncer -q "$files/pgbouncer.ini" >"$files/pgbouncer.log" 2>&1 &
bouncer=$!
processes+=($bouncer)
python3 -B "$tests/cluster/model.py" >"$files/model.log" 2>&1 &
processes+=($!)
model=$(wait_for 's/^\([0-9]*\)$/\1/p' "$files/model.log")
write_haproxy
haproxy -db -f "$files/haproxy.cfg" >"$files/haproxy.log" 2>&1 &
processes+=($!)
proxy=http://127.0.0.1:${ports[proxy]}
database=postgres://postgres@127.0.0.1:${ports[bouncer]}/safespace
for name in a b c; do start_instance $name; done
for name in a b c; do wait_until_ready $name; done
everywhere=("$proxy" "${urls[@]}")

hammer "three instances, all well" 8 "${everywhere[@]}"
settle

hammer "a killed primary behind PgBouncer" 14 --failover "${everywhere[@]}"
sleep 4
fail_over
write_bouncer
kill -HUP $bouncer # RELOAD
settle
copy_node "$dead" "$primary"

hammer "a killed instance" 10 "$proxy"
sleep 3
kill -9 "${pids[a]}"
wait "${pids[a]}" 2>/dev/null || true
sleep 2
start_instance a
settle
wait_until_ready a

# From here on without PgBouncer.
database=postgres://postgres@127.0.0.1:${ports[one]},127.0.0.1:${ports[two]},127.0.0.1:${ports[three]}/safespace
hammer "a rolling restart" 60 --no-failures "$proxy"
for name in a b c; do
    sleep 2
    kill "${pids[$name]}"
    wait "${pids[$name]}" || { echo "WRONG  an instance ended with status $?"; wrong=1; }
    start_instance $name
    wait_until_ready $name
done
sleep 1
kill "$ledger"
settle

hammer "a killed primary of several hosts" 14 --failover "${everywhere[@]}"
sleep 4
fail_over
settle

step "compares everything that was acknowledged with the service"
python3 -B "$tests/cluster/ledger.py" verify "$proxy" "${records[@]}" || wrong=1
step "done"
[ $wrong = 0 ] || { echo "FAILED  what is marked WRONG above" >&2; exit 1; }
echo "ok      nothing lost, nothing back, no failed request in the rolling restart"

#!/usr/bin/env bash
# Restarts three instances on one database one after the other, behind haproxy and then behind nginx with the configurations of
# docs/operations.md, while a ledger (tests/cluster/ledger.py) sends requests. No request may fail, and nothing may be lost.
# Usage: tests/rolling.sh [BINARY [NEW_BINARY]]
# With a NEW_BINARY it is an upgrade: that one migrates the database under load, and takes the place of the other in each restart.
# Needs haproxy, nginx and python3. Takes about a minute and a half.
set -euo pipefail

binary=$(realpath "${1:-target/release/safespace}")
new_binary=$(realpath "${2:-$binary}")
PATH=$PATH:/usr/sbin # Where Debian has haproxy and nginx.
tests=$(dirname "$(realpath "$0")")
files=$(mktemp -d /tmp/safespace-rolling-XXXXXX)
folders=()
processes=()
wrong=0
declare -A ports pids

. "$tests/service.sh"

cleanup() {
    status=$?
    # They would take the time of APP_SHUTDOWN_DELAY, one after the other.
    { kill -9 "${pids[@]}" && wait "${pids[@]}" || true; } 2>/dev/null
    finish $status
}
trap cleanup EXIT

step() { printf '%3d s  %s\n' $SECONDS "$*"; }

# documented LANGUAGE [SED EXPRESSION ...]: the first block of this language in docs/operations.md, changed by the expressions,
# of which each must find something to change.
documented() {
    local text changed expression
    text=$(sed -n "/^\`\`\`$1\$/,/^\`\`\`\$/{/^\`\`\`/{/^\`\`\`\$/q;d};p}" "$tests/../docs/operations.md")
    for expression in "${@:2}"; do
        changed=$(sed -E "$expression" <<<"$text")
        if [ "$changed" = "$text" ]; then
            echo "FAILED  the configuration of $1 in docs/operations.md has nothing for: $expression" >&2
            return 1
        fi
        text=$changed
    done
    echo "$text"
}

# What differs from the documents: no TLS, other addresses, and no limit on what one network may send.

write_haproxy() {
    documented haproxy \
        "s/^( *bind) :443/\1 127.0.0.1:${ports[haproxy]}/" 's/ ssl crt .*//' "s/safespace-(normal|crowded)/&-$$/" \
        's/maxconn (25000|10000)/maxconn 500/' 's/gt 300/gt 1000000/' "s/127\.0\.0\.1:8000/127.0.0.1:${ports[a]}/" \
        "s/# (server .*)10\.0\.0\.2:8000/\1127.0.0.1:${ports[b]}/" "s/# (server .*)10\.0\.0\.3:8000/\1127.0.0.1:${ports[c]}/"
}

write_nginx() {
    echo "daemon off; error_log stderr; pid $files/nginx.pid; events {} http {"
    for kind in client_body proxy fastcgi scgi uwsgi; do echo "${kind}_temp_path $files/$kind;"; done
    documented nginx \
        "s/listen 443 ssl/listen 127.0.0.1:${ports[nginx]}/" '/ssl_certificate/d' \
        's/rate=20r/rate=100000r/' 's/burst=100/burst=100000/' "s/127\.0\.0\.1:8000/127.0.0.1:${ports[a]}/" \
        "s/# (server )10\.0\.0\.2:8000/\1127.0.0.1:${ports[b]}/" "s/# (server )10\.0\.0\.3:8000/\1127.0.0.1:${ports[c]}/"
    echo "}"
}

# start_instance NAME: starts it at its port, and waits until it is ready and a proxy has noticed that.
start_instance() {
    serve "$1" APP_PORT="${ports[$1]}" APP_SHUTDOWN_DELAY=3 TRUSTED_PROXIES=127.0.0.1 \
        DATABASE_URL="$database" DB_POOL_MAX_SIZE=15 LOG_LEVEL=warn RATE_LIMIT=off \
        OPENAI_BASE_URL="http://127.0.0.1:$model/v1" COMPANION_MODEL=slow COMPANION_EGRESS=local
    pids[$1]=$!
    curl -sf -m 5 --retry 60 --retry-all-errors --retry-delay 1 --retry-max-time 30 -o /dev/null "$url/health/ready"
    sleep 2
}

# roll PROXY: restarts each instance behind this proxy under load.
roll() {
    local url=http://127.0.0.1:${ports[$1]} name ledger
    step "rolling restart behind $1"
    python3 -B "$tests/cluster/ledger.py" run "$files/$1.json" 120 "$url" --no-failures >"$files/$1.ledger" &
    ledger=$!
    processes+=($ledger)
    sleep 1
    if [ "$new_binary" != "$binary" ]; then
        (cd "$files" && env -i PATH="$PATH" DATABASE_URL="$database" "$new_binary" migrate)
        binary=$new_binary
    fi
    for name in a b c; do
        kill "${pids[$name]}"
        wait "${pids[$name]}" || { echo "WRONG  an instance ended with status $?"; wrong=1; }
        start_instance $name
        step "restarted $name"
    done
    kill $ledger
    wait $ledger || wrong=1
    cat "$files/$1.ledger"
    python3 -B "$tests/cluster/ledger.py" verify "$url" "$files/$1.json" || wrong=1
}

read -r ports[haproxy] ports[nginx] ports[a] ports[b] ports[c] <<<"$(free_ports 5)"
python3 -B "$tests/cluster/model.py" >"$files/model.log" 2>&1 &
processes+=($!)
model=$(wait_for 's/^\([0-9]*\)$/\1/p' "$files/model.log")
# A service of its own keeps PostgreSQL for the others, and allows them as many connections as it would open.
serve keeper DB_POOL_MAX_SIZE=150 DB_POOL_MIN_SIZE=1
database=postgres://safespace@${folders[0]//\//%2F}%2Fsocket/safespace
for name in a b c; do start_instance $name; done

write_haproxy >"$files/haproxy.cfg"
haproxy -db -f "$files/haproxy.cfg" >"$files/haproxy.log" 2>&1 &
processes+=($!)
write_nginx >"$files/nginx.conf"
nginx -c "$files/nginx.conf" >"$files/nginx.log" 2>&1 &
processes+=($!)
sleep 1
for proxy in haproxy nginx; do roll $proxy; done
step "done"
[ $wrong = 0 ] || { echo "FAILED  what is marked WRONG above" >&2; exit 1; }
echo "ok      no failed request in two rolling restarts, nothing lost, nothing back"

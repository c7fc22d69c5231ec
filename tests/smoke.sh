#!/usr/bin/env bash
# Sends requests to a running service with curl, as an operator does after a deployment.
# Usage: tests/smoke.sh [BINARY]
# The service keeps a private PostgreSQL in a temporary folder.
set -euo pipefail

binary=$(realpath "${1:-target/release/safespace}")
folder=$(mktemp -d /tmp/safespace-smoke-XXXXXX)
files=$(mktemp -d)
server=

cleanup() {
    status=$?
    if [ -n "$server" ]; then kill "$server" 2>/dev/null && wait "$server" || true; fi
    # If the test failed after kill -9, the service's PostgreSQL may still run.
    if [ -f "$folder/cluster/postmaster.pid" ]; then kill -QUIT "$(head -n 1 "$folder/cluster/postmaster.pid")" || true; fi
    [ $status = 0 ] || cat "$files/log" >&2
    rm -rf "$folder" "$files"
    exit $status
}
trap cleanup EXIT

start() {
    : >"$files/out"
    # A folder without .env and an empty environment, so that no setting names another database.
    (cd "$files" && exec env -i PATH="$PATH" SAFESPACE_DATA_DIR="$folder" APP_HOST=127.0.0.1 APP_PORT=0 "$binary") \
        >"$files/out" 2>>"$files/log" &
    server=$!
    for _ in $(seq 300); do
        url=$(sed -n 's/^  Address  \(http[^ ]*\).*/\1/p' "$files/out")
        [ -z "$url" ] || return 0
        kill -0 "$server" || return 1
        sleep 0.1
    done
    return 1
}

# expect STATUS METHOD PATH [CURL OPTIONS]: checks the status and writes the body to $files/body.
expect() {
    local status=$1 method=$2 path=$3 found
    shift 3
    found=$(curl -sS -m 10 -o "$files/body" -w '%{http_code}' -X "$method" "$@" "$url$path")
    if [ "$found" != "$status" ]; then
        echo "FAILED  $method $path: $found instead of $status: $(cat "$files/body")" >&2
        exit 1
    fi
    echo "ok      $status $method ${path/"${id:-none}"/{session_id\}}"
}

field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" "$files/body"; }

start
expect 200 GET /
expect 200 GET /health/live
expect 200 GET /health/ready
expect 200 GET /health/db
[ "$(field status)" = healthy ]
expect 200 GET /openapi.json
expect 200 GET /docs
expect 200 GET /docs/swagger-ui-bundle.js
expect 404 GET /nope
expect 405 PUT /api/v1/sessions
expect 204 OPTIONS /api/v1/sessions
expect 422 GET /api/v1/sessions/1
expect 415 POST /api/v1/sessions -H 'Content-Type: text/plain' -d x
expect 422 POST /api/v1/sessions -H 'Content-Type: application/json' -d '{'
expect 201 POST /api/v1/sessions -H 'Content-Type: application/json' -d '{}'
expect 201 POST /api/v1/sessions
id=$(field session_id)
session=$(cat "$files/body")
created_at=$(field created_at)
expect 200 GET "/api/v1/sessions/$id"
[ "$(cat "$files/body")" = "$session" ]
json='Content-Type: application/json'
expect 422 POST "/api/v1/sessions/$id/chat" -H "$json" -d '{"message": " "}'
expect 200 POST "/api/v1/sessions/$id/chat" -H "$json" -H 'Idempotency-Key: one' -d '{"message": "Hello"}'
[ "$(field source)" = script ]
answer=$(cat "$files/body")
expect 200 POST "/api/v1/sessions/$id/chat" -H "$json" -H 'Idempotency-Key: one' -d '{"message": "Hello"}'
[ "$(cat "$files/body")" = "$answer" ]
expect 200 POST "/api/v1/sessions/$id/chat" -H "$json" -H 'Accept: text/event-stream' -d '{"message": "Thank you"}'
[ "$(head -n 1 "$files/body")" = ": SafeSpace" ] && grep -q '^event: message.end$' "$files/body"
expect 204 POST "/api/v1/sessions/$id/chat/stop"
expect 200 GET "/api/v1/sessions/$id/chat"
[ "$(grep -o '"role"' "$files/body" | wc -l)" = 4 ]
conversation=$(cat "$files/body")

echo "        kill -9, and a new start with the same data"
kill -9 "$server"
wait "$server" 2>/dev/null || true
start
expect 200 GET "/api/v1/sessions/$id"
# Each message has moved its end.
[ "$(field created_at)" = "$created_at" ] && [ "$(cat "$files/body")" != "$session" ]
expect 200 GET "/api/v1/sessions/$id/chat"
[ "$(cat "$files/body")" = "$conversation" ]
expect 204 DELETE "/api/v1/sessions/$id"
expect 404 DELETE "/api/v1/sessions/$id"
expect 404 GET "/api/v1/sessions/$id/chat"
expect 404 GET "/api/v1/sessions/$id"

kill -TERM "$server"
wait "$server"
server=
echo "ok      SIGTERM stops the service with exit code 0"
if grep -q "$id" "$files/log"; then
    echo "FAILED  the log contains the session's id" >&2
    exit 1
fi
echo "ok      the log does not contain the session's id"
if ls "$folder"/cluster/postmaster.pid 2>/dev/null; then
    echo "FAILED  PostgreSQL still runs after the service" >&2
    exit 1
fi
echo "ok      PostgreSQL stopped with the service"

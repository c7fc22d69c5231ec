#!/usr/bin/env bash
# Drives the page in a headless Chromium through a conversation: with a model that streams slowly, with and without JavaScript, with
# faults of the network and of the database, in a frame of other sites, and out again. Every state is checked with axe-core.
# Usage: tests/page.sh [BINARY] [FOLDER for screenshots] [NAME of a part of tests/page/main.py ...]
# Needs chromedriver (Debian: chromium-driver), npm, python3 and psql.
set -euo pipefail

binary=$(realpath "${1:-target/release/safespace}")
tests=$(dirname "$(realpath "$0")")
files=$(mktemp -d)
screenshots=${2:-$files/screenshots}
mkdir -p "$screenshots"
folders=()
processes=()

. "$tests/service.sh"
trap 'finish $?' EXIT

# Not in the repository, since it is as large as half of it.
(cd "$files" && npm pack --silent axe-core@4.14.1 >/dev/null && tar -xzf axe-core-4.14.1.tgz package/axe.min.js) ||
    { echo "FAILED  npm could not get axe-core" >&2; exit 1; }

# start NAME SCRIPT COMMAND...: starts a program, and prints what the sed script finds in its output.
start() {
    touch "$files/$1.log"
    PYTHONUNBUFFERED=1 "${@:3}" >"$files/$1.log" 2>&1 &
    processes+=($!)
    found=$(wait_for "$2" "$files/$1.log")
}
start driver 's/.*successfully on port \([0-9]*\).*/\1/p' chromedriver --port=0
driver=http://127.0.0.1:$found
start model 's/^Model //p' python3 "$tests/page/model.py"
model=$found
# Other sites than that of the service, not only other origins: another host name.
for site in allowed foreign; do
    mkdir "$files/$site"
    start "$site" 's/.* port \([0-9]*\) .*/\1/p' python3 -m http.server --bind 127.0.0.1 --directory "$files/$site" 0
    declare "$site=http://localhost:$found"
done

serve scripted PROOF_OF_WORK=always METRICS_PORT=0 WEB_EXIT_URL="$model/weather"
scripted=$url
serve service OPENAI_BASE_URL="$model/v1" COMPANION_MODEL=test COMPANION_TIMEOUT=25 RATE_LIMIT=off DB_QUERY_TIMEOUT=2 \
    WEB_EXIT_URL="$model/weather" WEB_EMBED_ORIGINS="$allowed"

AXE=$files/package/axe.min.js FILES=$files DRIVER=$driver MODEL=$model ALLOWED=$allowed FOREIGN=$foreign SCREENSHOTS=$screenshots \
    SERVICE=$url SCRIPTED=$scripted DATA=${folders[-1]} python3 -B "$tests/page/main.py" "${@:3}"

#!/usr/bin/env bash
# Opens /docs in a headless Chromium without access to other hosts, and creates a session with the page. Where that takes proof
# of work, it does so with the code in docs/sessions.md, and chats with the page in docs/chat.md, which it leaves with JavaScript
# and without. Pages on other ports use the service if it allows their origin.
# Usage: tests/browser.sh [BINARY] [SCREENSHOT.png]
# Needs chromedriver (Debian: chromium-driver), curl, jq and python3.
set -euo pipefail

binary=$(realpath "${1:-target/release/safespace}")
tests=$(dirname "$(realpath "$0")")
docs=$tests/../docs
screenshot=${2:-}
files=$(mktemp -d)
folders=()
processes=()
page=

. "$tests/service.sh"
cleanup() {
    status=$?
    # Chromium keeps running after chromedriver ends, unless its WebDriver session is deleted.
    [ -z "$page" ] || webdriver DELETE "$page" >/dev/null || true
    finish $status
}
trap cleanup EXIT
serve service
touch "$files/driver.log"

chromedriver --port=0 >"$files/driver.log" 2>&1 &
processes+=($!)
driver=http://127.0.0.1:$(wait_for 's/.*successfully on port \([0-9]*\).*/\1/p' "$files/driver.log")

# webdriver METHOD PATH [BODY]: sends a W3C WebDriver command and prints the value of the response.
webdriver() {
    local answer
    answer=$(curl -sS -m 60 -X "$1" "$driver$2" ${3:+-H 'Content-Type: application/json' -d "$3"})
    if [ "$(jq -r '.value.error? // empty' <<<"$answer" 2>/dev/null)" ]; then
        jq -r '.value.message' <<<"$answer" >&2
        return 1
    fi
    jq -c .value <<<"$answer"
}

# No host resolves except 127.0.0.1, so every request of the page to another host fails.
arguments=$(jq -cn --arg data "$files/chromium" '["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic",
    "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--window-size=1200,1600", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--user-data-dir=\($data)"]')
session=$(webdriver POST /session "{\"capabilities\": {\"alwaysMatch\": {
    \"goog:loggingPrefs\": {\"browser\": \"ALL\"}, \"goog:chromeOptions\": {\"args\": $arguments}}}}" | jq -r .sessionId)
page=/session/$session

# element SELECTOR: waits until the element exists, and prints its id. click and text use it.
element() {
    for _ in $(seq 100); do
        found=$(webdriver POST "$page/element" "$(jq -cn --arg css "$1" '{using: "css selector", value: $css}')" 2>/dev/null \
            | jq -r '.[]' || true)
        if [ -n "$found" ]; then echo "$found"; return 0; fi
        sleep 0.1
    done
    echo "FAILED  no $1 on the page" >&2
    return 1
}
# cdp METHOD PARAMETERS: sends a command of the Chrome DevTools Protocol.
cdp() { webdriver POST "$page/goog/cdp/execute" "{\"cmd\": \"$1\", \"params\": $2}"; }
click() { webdriver POST "$page/element/$(element "$1")/click" '{}' >/dev/null; }
text() { webdriver GET "$page/element/$(element "$1")/text" | jq -r .; }

webdriver POST "$page/url" "{\"url\": \"$url/docs\"}" >/dev/null
operation='[id="operations-Sessions-create_session"]'
[ "$(text '.info .title' | head -n 1 | cut -d ' ' -f 1)" = SafeSpace ]
echo "ok      the page shows the API's title"
click "$operation .opblock-summary-control"
click "$operation .execute"
status=$(text "$operation .live-responses-table tr.response .response-col_status" | head -n 1)
[ "${status%% *}" = 201 ] || { echo "FAILED  POST /api/v1/sessions from the page: $status" >&2; exit 1; }
text "$operation .live-responses-table tr.response .response-col_description" | grep -q session_id
echo "ok      the page created a session"
if [ -n "$screenshot" ]; then
    webdriver GET "$page/screenshot" | jq -r . | base64 -d >"$screenshot"
fi
errors=$(webdriver POST "$page/se/log" '{"type": "browser"}' | jq -r '.[] | select(.level == "SEVERE") | .message')
if [ -n "$errors" ]; then
    echo "FAILED  the browser reports errors: $errors" >&2
    exit 1
fi
echo "ok      the browser reports no error and needed no other host"

serve guarded PROOF_OF_WORK=always
webdriver POST "$page/url" "{\"url\": \"$url/docs\"}" >/dev/null
code=$(sed -n '/^export async function createSession/,/^```/p' "$docs/sessions.md" | sed '$d; s/^export //')
script="$code"'
    const done = arguments[0];
    createSession().then((session) => done(session.session_id ?? JSON.stringify(session)), (error) => done(String(error)));'
id=$(webdriver POST "$page/execute/async" "$(jq -cn --arg script "$script" '{script: $script, args: []}')" | jq -r .)
status=$(curl -sS -m 10 -o /dev/null -w '%{http_code}' "$url/api/v1/sessions/$id")
[ "$status" = 200 ] || { echo "FAILED  no session with the code of docs/sessions.md: $id" >&2; exit 1; }
echo "ok      the code of docs/sessions.md solved a challenge and created a session"

# The page in docs/chat.md, in the place of the one that the service serves.
html=$(sed -n '/^<!doctype html>/,/^```/p' "$docs/chat.md" | sed '$d')
body=$(sed '/^<script/,$d' <<<"$html")
script="document.body.innerHTML = arguments[0]; $code $(sed -n '/^<script/,/^<.script>/p' <<<"$html" | sed '1d; $d; /^  import /d')"
webdriver POST "$page/execute/sync" "$(jq -cn --arg script "$script" --arg body "$body" '{script: $script, args: [$body]}')" >/dev/null
webdriver POST "$page/element/$(element '#words')/value" '{"text": "Hello"}' >/dev/null
click '#say'
for _ in $(seq 100); do
    answer=$(text '#talk p:nth-child(2)')
    [ "$answer" = … ] || break
    sleep 0.1
done
case $answer in "" | … | "No connection"*) echo "FAILED  the page of docs/chat.md shows: $answer" >&2; exit 1 ;; esac
echo "ok      the page of docs/chat.md created a session and shows an answer"

# left_for PAGE: waits until the browser has left a page, and prints where it is.
left_for() {
    local now
    for _ in $(seq 100); do
        now=$(webdriver GET "$page/url" | jq -r .)
        [ "$now" = "$1" ] || break
        sleep 0.1
    done
    echo "$now"
}

# Leave: the screen is empty at once, and the page is left.
click '#leave'
left=$(left_for "$url/docs")
[ "$left" = https://www.google.com/ ] || { echo "FAILED  Leave did not leave the page: $left" >&2; exit 1; }
wait_for '/Session deleted/p' "$files/guarded.log" >/dev/null
wait_for '/route=.api.v1.panic.*status=204/p' "$files/guarded.log" >/dev/null
echo "ok      Leave deleted the session with sendBeacon and left the page"

# The same page without JavaScript: its form erases. First with a URL that the service refuses, whose page leads on too.
serve plain EXIT_URLS=https://www.google.com/,https://weather.example/
for case in '303|https://weather.example/|https://weather.example/' '422|https://evil.example/|https://www.google.com/'; do
    IFS='|' read -r status wanted expected <<<"$case"
    id=$(curl -sS -m 10 -X POST "$url/api/v1/sessions" | jq -r .session_id)
    field="name=\"session_id\" value=\"$id\"><input type=\"hidden\" name=\"url\" value=\"$wanted\""
    # The page takes the place of one whose policy forbids forms.
    cdp Page.setBypassCSP '{"enabled": true}' >/dev/null
    webdriver POST "$page/url" "{\"url\": \"$url/docs/errors\"}" >/dev/null
    cdp Page.getFrameTree '{}' >"$files/frames"
    cdp Emulation.setScriptExecutionDisabled '{"value": true}' >/dev/null
    cdp Page.setDocumentContent "$(jq -cn --arg frame "$(jq -r .frameTree.frame.id "$files/frames")" \
        --arg html "${html/name=\"session_id\"/$field}" '{frameId: $frame, html: $html}')" >/dev/null
    # WebDriver finds elements with JavaScript.
    root=$(cdp DOM.getDocument '{}' | jq .root.nodeId)
    cdp DOM.focus "$(cdp DOM.querySelector "{\"nodeId\": $root, \"selector\": \"#leave\"}")" >/dev/null
    cdp Input.dispatchKeyEvent '{"type": "keyDown", "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}' >/dev/null
    left=$(left_for "$url/docs/errors")
    left=$([ "$left" = "$url/api/v1/exit" ] && left_for "$left" || echo "$left")
    [ "$left" = "$expected" ] || { echo "FAILED  the form led to $left" >&2; exit 1; }
    wait_for "/route=.api.v1.exit.*status=$status/p" "$files/plain.log" >/dev/null
    found=$(curl -sS -m 10 -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $id" "$url/api/v1/session")
    [ "$found" = 404 ] || { echo "FAILED  the form did not erase the session: $found" >&2; exit 1; }
    cdp Emulation.setScriptExecutionDisabled '{"value": false}' >/dev/null
    echo "ok      without JavaScript the form erased the session and led to $left ($status)"
done

# serve_page NAME: serves the folder of this script on a port of its own, and sets $origin.
serve_page() {
    PYTHONUNBUFFERED=1 python3 -m http.server --bind 127.0.0.1 --directory "$tests" 0 >"$files/$1.log" 2>&1 &
    processes+=($!)
    origin=http://127.0.0.1:$(wait_for 's/.* port \([0-9]*\) .*/\1/p' "$files/$1.log")
}
# on_page ORIGIN EXPRESSION: opens the page of another origin, and prints what the expression resolves to.
on_page() {
    webdriver POST "$page/url" "{\"url\": \"$1/other_origin.html\"}" >/dev/null
    local script="const done = arguments[0]; $2.then(done, (error) => done(String(error)));"
    webdriver POST "$page/execute/async" "$(jq -cn --arg script "$script" '{script: $script, args: []}')"
}
serve_page foreign
foreign=$origin
serve_page allowed
allowed=$origin
serve api CORS_ALLOWED_ORIGINS="$allowed" METRICS_PORT=0
found=$(on_page "$allowed" "use('$url')" | jq -cS .)
expected='{"erased":204,"gone":"session_not_found","id":true,"messages":2,"refused":429,"role":"model","waits":true}'
[ "$found" = "$expected" ] || { echo "FAILED  a page of an allowed origin: $found" >&2; exit 1; }
echo "ok      a page of an allowed origin created a session, chatted, read Retry-After and deleted the session"

expected='{"begins":"%PDF-","heading":true,"same":true,"status":201,"type":"application/pdf"}'
found=$(on_page "$allowed" "report('$url')" | jq -cS .)
[ "$found" = "$expected" ] || { echo "FAILED  a report on a page of an allowed origin: $found" >&2; exit 1; }
# The same code on a page of the service's own origin.
webdriver POST "$page/url" "{\"url\": \"$url/docs\"}" >/dev/null
code=$(sed -n '/<script>/,/<.script>/p' "$tests/other_origin.html" | sed '1d; $d')
script="const done = arguments[0]; $code report('$url').then(done, (error) => done(String(error)));"
found=$(webdriver POST "$page/execute/async" "$(jq -cn --arg script "$script" '{script: $script, args: []}')" | jq -cS .)
[ "$found" = "$expected" ] || { echo "FAILED  a report on a page of the same origin: $found" >&2; exit 1; }
echo "ok      pages of an allowed and of the same origin made a report, showed its document and read its PDF"

for way in delete text params form; do
    session=$(on_page "$allowed" "create('$url')" | jq -r .)
    found=$(on_page "$allowed" "Promise.resolve(leave.$way('$session'))")
    [ "$found" = null ] || { echo "FAILED  $way did not send: $found" >&2; exit 1; }
    webdriver POST "$page/url" '{"url": "about:blank"}' >/dev/null
    for _ in $(seq 50); do
        status=$(curl -sS -m 10 -o /dev/null -w '%{http_code}' "$session")
        [ "$status" = 200 ] || break
        sleep 0.1
    done
    [ "$status" = 404 ] || { echo "FAILED  a session whose page was left by $way: $status" >&2; exit 1; }
done
echo "ok      a page of an allowed origin deleted its session while it was left, by fetch and by three beacons"

metrics=$(sed -n 's/^  Metrics  //p' "$files/api.out")
creations() { curl -sS -m 10 "$metrics" | sed -n 's/^safespace_http_requests_total{method="POST",route="\/api\/v1\/sessions",status="'"$1"'"} //p'; }
before=$(creations 201)
found=$(on_page "$foreign" "intrude('$url')")
[ "$found" = 0 ] && [ "$(creations 201)" = "$before" ] && [ "$(creations 403)" = 2 ] ||
    { echo "FAILED  a page of a foreign origin read $found answers; sessions: $before, then $(creations 201)" >&2; exit 1; }
echo "ok      a page of a foreign origin created no session and could read nothing"

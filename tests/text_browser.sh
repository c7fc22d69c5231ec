#!/usr/bin/env bash
# Uses the page with text browsers: Lynx begins a conversation, says something, opens it again by its recovery code, erases it, and
# leaves from another one; w3m shows no word that only the page's script uses.
# Usage: tests/text_browser.sh [BINARY]
# Needs lynx, w3m, curl, and script (Debian: bsdutils).
set -euo pipefail

binary=$(realpath "${1:-target/release/safespace}")
tests=$(dirname "$(realpath "$0")")
files=$(mktemp -d)
folders=()
processes=()

. "$tests/service.sh"
cleanup() {
    status=$?
    [ $status = 0 ] || tail -n 20 "$files"/*.txt >&2 || true
    finish $status
}
trap cleanup EXIT
serve service WEB_NAME=Notes WEB_EXIT_URL=https://weather.example/
start="$url/?language=en"

# keys WORD...: the script of Lynx for these keys; a word in angle brackets is the name of one.
keys() {
    local word at
    for word; do
        if [[ $word = '<'*'>' ]]; then
            word=${word#<}
            echo "key ${word%>}"
            continue
        fi
        for ((at = 0; at < ${#word}; at++)); do
            case ${word:at:1} in ' ') echo 'key <space>' ;; *) echo "key ${word:at:1}" ;; esac
        done
    done
}

# down TIMES: goes to a later link or field.
down() {
    for ((time = 0; time < $1; time++)); do keys '<Down Arrow>'; done
}

# save FILE: writes the text of the page to a file.
save() {
    keys p '<^J>' '<^U>' "$files/$1.txt" '<^J>'
}

# lynx_with SCRIPT: opens the start of the page, and presses the keys. The terminal is so high that Lynx scrolls nowhere.
lynx_with() {
    keys q y >>"$files/$1"
    # shellcheck disable=SC2016
    TERM=xterm timeout 60 script -qec "stty rows 200 cols 100; lynx -cmd_script='$files/$1' '$start'" /dev/null >"$files/$1.log"
}

# number_of FILE BUTTON: which link or field of a page the button is.
number_of() {
    lynx -dump -number_fields "$1" | sed -n "s/.*\[\([0-9]*\)\]BUTTON) $2.*/\1/p" | head -n 1
}

# expect FILE TEXT..: fails unless the page has these texts.
expect() {
    local file=$1 text
    for text in "${@:2}"; do
        grep -qF -- "$text" "$files/$file.txt" || { echo "$file has no $text" >&2; return 1; }
    done
}

curl -sS "$start" -H 'Accept: text/html' >"$files/start.html"
curl -sS "$url/page/begin?language=en" -d begin=1 >"$files/talk.html"
begin=$(number_of "$files/start.html" Begin)
open=$(number_of "$files/start.html" Open)
send=$(number_of "$files/talk.html" Send)
erase=$(number_of "$files/talk.html" 'Erase everything')

# The field of a message has three lines, each of which Lynx counts.
{ down $((begin - 1)); keys '<^J>'; save begun
  down $((send - 4)); keys 'I am afraid <b>'; down 3; keys '<^J>'; save said; } >"$files/talk"
lynx_with talk
expect begun Notes 'A program answers here, not a person.' 'Leave now' 'Erase everything'
expect said You 'I am afraid <b>' Program
code=$(grep -oE '([0-9A-Z]{4}-){6}[0-9A-Z]{4}' "$files/said.txt")
echo "Lynx has begun a conversation and said something"

{ down $((open - 2)); keys "${code,,}"; down 1; keys '<^J>'; save read
  down $((erase - 1)); keys '<^J>'; save erased; } >"$files/read"
lynx_with read
expect read 'I am afraid <b>' "$code"
expect erased 'Everything is erased, 2 messages.' 'Begin again'
echo "Lynx has opened it by its code and erased it"

{ down $((begin - 1)); keys '<^J>'; save other; keys '<^J>'; save left; } >"$files/leave"
lynx_with leave
expect left https://weather.example/
for word in Notes 'A program'; do
    if expect left "$word" 2>/dev/null; then echo "the page that leads away has $word" >&2; exit 1; fi
done
other=$(grep -oE '([0-9A-Z]{4}-){6}[0-9A-Z]{4}' "$files/other.txt")
for gone in "$code" "$other"; do
    status=$(curl -sS -o "$files/gone.json" -w '%{http_code}' -H "Authorization: Bearer $gone" "$url/api/v1/session")
    [ "$status" = 404 ] || { echo "the session is there: $status" >&2; exit 1; }
done
echo "Lynx has left"

for page in start talk; do
    w3m -dump -T text/html "$files/$page.html" >"$files/$page-w3m.txt"
    lynx -dump "$files/$page.html" >"$files/$page-lynx.txt"
    for text in 'Everything is erased' 'Stop' 'Keep on this device' '{seconds}' 'Yes, erase it'; do
        if grep -qF -- "$text" "$files/$page-w3m.txt" "$files/$page-lynx.txt"; then
            echo "a text browser shows \"$text\", which only the script uses" >&2
            exit 1
        fi
    done
done
expect start-w3m Begin 'Leave now' 'Open the conversation'
expect talk-w3m Send 'Leave now' 'Erase everything'
echo "w3m shows what works"

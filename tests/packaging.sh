#!/usr/bin/env bash
# Checks the systemd unit of the package. Needs systemd-analyze (Debian: systemd).
set -euo pipefail
unit=$(dirname "$0")/../packaging/safespace.service
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# The binary is not installed here, and neither is its man page.
sed 's|^ExecStart=safespace$|ExecStart=/bin/true|' "$unit" >"$folder/safespace.service"
grep -q '^ExecStart=/bin/true$' "$folder/safespace.service"
# Unknown settings are printed, but are no error.
found=$(systemd-analyze verify --man=no "$folder/safespace.service" 2>&1)
[ -z "$found" ] || { echo "FAILED  systemd-analyze verify: $found" >&2; exit 1; }
echo "ok      systemd-analyze verify finds nothing"
# 20 is 2.0: little is left that an attacker in the service could do to the machine.
systemd-analyze security --offline=true --threshold=20 "$folder/safespace.service" >"$folder/security" \
    || { cat "$folder/security" >&2; exit 1; }
echo "ok      $(grep -o 'Overall exposure level.*[0-9]' "$folder/security")"

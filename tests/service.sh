# Starts services, for the scripts that read this file. They set $binary, $files (a folder), folders=() and processes=().

# wait_for SCRIPT FILE: waits until the sed script prints something for the file, and prints it.
wait_for() {
    for _ in $(seq 300); do
        found=$(sed -n "$1" "$2")
        if [ -n "$found" ]; then echo "$found"; return 0; fi
        sleep 0.1
    done
    echo "no match in $2" >&2
    return 1
}

# free_ports COUNT: prints free ports, not from the range of which the system takes those of outgoing connections.
free_ports() {
    python3 -c '
import random, socket, sys
sockets = []
while len(sockets) < int(sys.argv[1]):
    try: sockets.append(socket.create_server(("127.0.0.1", random.randrange(20000, 32000))))
    except OSError: pass
print(*[it.getsockname()[1] for it in sockets])' "$1"
}

# serve NAME [VARIABLE=VALUE ...]: starts a service and sets $url.
serve() {
    local folder
    folder=$(mktemp -d /tmp/safespace-test-XXXXXX)
    folders+=("$folder")
    touch "$files/$1.out"
    (cd "$files" && exec env -i PATH="$PATH" SAFESPACE_DATA_DIR="$folder" APP_HOST=127.0.0.1 APP_PORT=0 "${@:2}" "$binary") \
        >"$files/$1.out" 2>"$files/$1.log" &
    processes+=($!)
    url=$(wait_for 's/^  Address  \(http[^ ]*\).*/\1/p' "$files/$1.out")
}

# finish STATUS: ends the processes, shows the ends of their logs after a failure, removes the folders, and exits.
finish() {
    for process in "${processes[@]}"; do kill "$process" 2>/dev/null && wait "$process" || true; done
    [ "$1" = 0 ] || tail -n 20 "$files"/*.log >&2 || true
    rm -rf "${folders[@]}" "$files"
    exit "$1"
}

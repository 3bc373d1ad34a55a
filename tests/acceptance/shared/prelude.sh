# What the scripts of this folder share; each sources it, after it has said:
#   patience_s    how long it waits for a condition
#   logs          patterns of the files whose ends tell why something failed
pids=()

fail() {
    echo "not accepted: $1" >&2
    local log
    for log in $logs; do
        [ ! -e "$log" ] || { echo "--- the end of $log:" >&2; tail -n 15 "$log" >&2; }
    done
    exit 1
}

# until_true WHAT COMMAND…: waits for a condition, not for a time.
until_true() {
    local what=$1 until=$((SECONDS + patience_s))
    shift
    until "$@" > /dev/null 2>&1; do
        [ "$SECONDS" -lt "$until" ] || fail "not within $patience_s s: $what"
        sleep 0.1
    done
}

# step COMMAND: runs a line of the README; what it prints, and its exit code, are in $said and $code. On a machine that is
# starved an answer may be that nothing could be done in time; then it is asked again, as a user would.
step() {
    local until=$((SECONDS + patience_s))
    while :; do
        echo "% $1"
        code=0
        said=$(eval "$1" 2>&1) || code=$?
        [ -z "$said" ] || printf '%s\n' "$said"
        if [ "$code" -ne 5 ] && [ "$code" -ne 6 ] && [[ ! $said =~ '"status":50'[34]|'"status":429'|'"done":false' ]]; then
            return
        fi
        [ "$SECONDS" -lt "$until" ] || fail "not within $patience_s s: $1"
        sleep 0.2
    done
}

# says PATTERN…: each line of what was said, and there are no others, is as a regular expression says; and the command succeeded.
says() {
    [ "$code" -eq 0 ] || fail "exit code $code"
    local lines=() i
    mapfile -t lines <<< "$said"
    [ ${#lines[@]} -eq $# ] || fail "${#lines[@]} lines instead of $#"
    for ((i = 0; i < ${#lines[@]}; i++)); do
        [[ ${lines[i]} =~ ^${@:i+1:1}$ ]] || fail "'${lines[i]}' is not '${@:i+1:1}'"
    done
}

# start LOG COMMAND: starts a process in the background; its pid is the program's, since every script on the way is replaced by the next.
start() {
    echo "% $2 &"
    eval "exec $2" >> "$1" 2>&1 < /dev/null &
    pids+=($!)
}

# stop SIGNAL: stops all that was started.
stop() {
    local pid
    for pid in ${pids[@]+"${pids[@]}"}; do
        kill -"$1" "$pid" 2> /dev/null || true
    done
    for pid in ${pids[@]+"${pids[@]}"}; do
        wait "$pid" 2> /dev/null || true
    done
    pids=()
}

# answers URL [STATUS]: what it says is in the file "answer".
answers() {
    [ "$(curl -s -o answer -w '%{http_code}' "$1")" = "${2:-200}" ]
}

# apart SCRIPT: runs a script with --inside in a network namespace of its own, or where that is not allowed with this machine's ports.
apart() {
    # A process namespace as well: whatever ends this script ends what it has started.
    local apart=(unshare -rnpf --mount-proc --kill-child)
    "${apart[@]}" true 2> /dev/null || apart=(unshare -rn)
    if "${apart[@]}" ip link set lo up 2> /dev/null; then
        "${apart[@]}" bash -c 'ip link set lo up && exec bash "$0" --inside' "$1"
    else
        echo "no network namespace: taking this machine's ports, one run at a time" >&2
        flock "${TMPDIR:-/tmp}/flotilla-$(basename "$1" .sh).lock" bash "$1" --inside
    fi
}

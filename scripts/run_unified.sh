#!/usr/bin/env bash
# Three shards of three nodes each, one process a node, and a router, on this machine: a cluster without config servers.
#
#   scripts/run_unified.sh           starts it and returns once it serves; started again it starts what is missing
#   scripts/run_unified.sh --stop    ends what it has started, and nothing else; the data stays
#
# Shard S, node N: HTTP on localhost:80SN, Raft on localhost:180SN, log in logs/unified_S_N.log, data in data/unified_S_N.
# Router: localhost:3000, log in logs/router.log. Elsewhere with UNIFIED_HTTP_BASE (8000), UNIFIED_RAFT_BASE (18000),
# UNIFIED_ROUTER_PORT (3000) and UNIFIED_DIR (the folder of logs/ and data/; that of ./flotilla if it is not set).
set -euo pipefail

root=$(readlink -f -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/..")
http_base=${UNIFIED_HTTP_BASE:-8000}
raft_base=${UNIFIED_RAFT_BASE:-18000}
router_port=${UNIFIED_ROUTER_PORT:-3000}
shards=(1 2 3)
numbers=(1 2 3)
patience_s=300
stop_patience_s=15

usage() {
    sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
}

# What a process was started as and when it began, so that a number that went to another process since is not taken for it.
began() {
    local stat
    { read -r stat < "/proc/$1/stat"; } 2> /dev/null || return 1
    # The name, in parentheses, may hold anything; the start time is the 20th field behind it.
    set -- ${stat##*) }
    [ "$1" != Z ] || return 1 # Ended, and nobody has asked how.
    echo "${20}"
}

# The pid of a process that this script started and that still runs.
running() {
    local name pid at
    [ -r "$pids" ] || return 1
    while read -r name pid at; do
        if [ "$name" = "$1" ] && [ "$(began "$pid" || true)" = "$at" ]; then
            echo "$pid"
            return 0
        fi
    done < "$pids"
    return 1
}

# Starts one process in a session of its own, so that neither Ctrl-C nor the end of a terminal reaches it.
start() {
    local name=$1 log=$2 pid at
    shift 2
    printf -- '--- %s ./flotilla %s\n' "$(date -Is)" "$*" >> "$log"
    setsid -- "$root/flotilla" "$@" >> "$log" 2>&1 < /dev/null 9>&- &
    pid=$!
    disown "$pid"
    at=$(began "$pid") || fail "$name ended at once" "$log"
    [ ! -e "$pids" ] || sed -i "/^$name /d" "$pids"
    echo "$name $pid $at" >> "$pids"
    started+=("$name")
}

# Ends processes by name: asks all, waits, insists.
end() {
    local name pid until
    for name in "$@"; do
        if pid=$(running "$name"); then
            kill -TERM "$pid" 2> /dev/null || true
        fi
    done
    until=$((SECONDS + stop_patience_s))
    for name in "$@"; do
        while pid=$(running "$name"); do
            if [ "$SECONDS" -ge "$until" ]; then
                echo "$name (pid $pid) does not end: it is killed (what it acknowledged is on disk)" >&2
                kill -KILL "$pid" 2> /dev/null || true
            fi
            sleep 0.1
        done
        [ ! -e "$pids" ] || sed -i "/^$name /d" "$pids"
    done
}

# What it began it takes back if it fails; what ran before stays.
fail() {
    echo "run_unified.sh: $1" >&2
    if [ -n "${2:-}" ] && [ -e "$2" ]; then
        echo "the end of $2:" >&2
        tail -n 15 "$2" | sed 's/^/  /' >&2
    fi
    end "${started[@]}"
    exit 1
}

is_taken() {
    (exec 3<> "/dev/tcp/localhost/$1") 2> /dev/null
}

answers() {
    [ "$(curl -s -o /dev/null -m 2 -w '%{http_code}' "$1")" = 200 ]
}

# until_true WHAT LOG COMMAND…: waits for a condition, and for nothing once a process has ended.
until_true() {
    local what=$1 log=$2 name until=$((SECONDS + patience_s))
    shift 2
    until "$@"; do
        for name in "${started[@]}"; do
            running "$name" > /dev/null || fail "$name has ended" "$(log_of "$name")"
        done
        [ "$SECONDS" -lt "$until" ] || fail "not within $patience_s s: $what" "$log"
        sleep 0.1
    done
}

log_of() {
    [ "$1" = router ] && echo "$logs/router.log" || echo "$logs/unified_$1.log"
}

# Gives every node its vote in its shard. To ask again is harmless, and tells whether it has it; so all are on their way at once.
all_have_joined() {
    local name s n left=()
    for name in ${waiting[@]+"${waiting[@]}"}; do
        s=${name%_*} n=${name#*_}
        [[ $(curl -s -m 5 -d "nodeid=$n&addr=localhost:$((raft_base + 10 * s + n))&waitSeconds=0" "localhost:$((http_base + 10 * s + 1))/raft/join") == *'"done":true'* ]] || left+=("$name")
    done
    waiting=(${left[@]+"${left[@]}"})
    [ ${#waiting[@]} -eq 0 ]
}

# Every shard that is asked for owns slots, as the router sees it.
have_slots() {
    local config s
    config=$(curl -s -m 2 "localhost:$router_port/config") || return 1
    for s in "${shards[@]}"; do
        [[ $config =~ \{\"id\":$s,\"state\":\"active\",[^{}]*\"slots\":([0-9]+) ]] && [ "${BASH_REMATCH[1]}" -gt 0 ] || return 1
    done
}

[ $# -le 1 ] || usage
dir=${UNIFIED_DIR:-$root}
mkdir -p "$dir/logs"
dir=$(readlink -f -- "$dir")
logs=$dir/logs
pids=$logs/unified.pids
started=()
names=(router)
for s in "${shards[@]}"; do
    for n in "${numbers[@]}"; do
        names+=("${s}_$n")
    done
done

exec 9> "$logs/unified.lock"
flock -n 9 || { echo "run_unified.sh: another run of it is under way here ($logs/unified.lock): wait for that one" >&2; exit 1; }

case ${1:-} in
    --stop)
        end "${names[@]}"
        echo "stopped; the data is in $dir/data/unified_*"
        exit 0
        ;;
    "") ;;
    *) usage ;;
esac

missing=()
busy=()
for name in "${names[@]}"; do
    if ! running "$name" > /dev/null; then
        missing+=("$name")
        if [ "$name" = router ]; then
            ports=("$router_port")
        else
            ports=($((http_base + 10 * ${name%_*} + ${name#*_})) $((raft_base + 10 * ${name%_*} + ${name#*_})))
        fi
        for port in "${ports[@]}"; do
            ! is_taken "$port" || busy+=("$port")
        done
    fi
done
if [ ${#busy[@]} -gt 0 ]; then
    echo "run_unified.sh: in use already: port ${busy[*]}. End what listens there (ss -ltnp 'sport = :${busy[0]}' tells who), or choose other ports with UNIFIED_HTTP_BASE, UNIFIED_RAFT_BASE and UNIFIED_ROUTER_PORT. Nothing was started." >&2
    exit 1
fi

# Settings of the caller's commands are none of the nodes'.
for variable in "${!FLOTILLA_@}"; do
    unset "$variable"
done

"$root/flotilla" --version > /dev/null 9>&- # Builds, if need be: once, and with its messages here.
trap 'fail interrupted' INT TERM
cd "$dir"
for name in ${missing[@]+"${missing[@]}"}; do
    if [ "$name" = router ]; then
        ports=""
        for n in "${numbers[@]}"; do
            for s in "${shards[@]}"; do
                ports+=,$((http_base + 10 * s + n))
            done
        done
        start router "$logs/router.log" router --listen "localhost:$router_port" --shard-ports "${ports#,}"
    else
        s=${name%_*} n=${name#*_} peers=""
        for other in "${shards[@]}"; do
            [ "$other" = "$s" ] || peers+=,localhost:$((http_base + 10 * other + 1))
        done
        start "$name" "$logs/unified_$name.log" shard --shard-id "$s" --node-id "$n" --port $((http_base + 10 * s + n)) --raft-addr "localhost:$((raft_base + 10 * s + n))" --peer-shards "${peers#,}"
    fi
done

waiting=()
for n in "${numbers[@]:1}"; do
    for s in "${shards[@]}"; do
        waiting+=("${s}_$n")
    done
done
until_true "every node votes in its shard" "$logs/unified_1_1.log" all_have_joined
for name in "${names[@]}"; do
    if [ "$name" = router ]; then port=$router_port; else port=$((http_base + 10 * ${name%_*} + ${name#*_})); fi
    until_true "localhost:$port is ready" "$(log_of "$name")" answers "localhost:$port/readyz"
done
until_true "every shard owns slots" "$logs/router.log" have_slots

[ ${#missing[@]} -gt 0 ] && echo "started: ${missing[*]}" || echo "everything runs already"
cat << END
shards 1, 2 and 3: HTTP on localhost:$((http_base + 11))-$((http_base + 33)), logs in $logs; router: localhost:$router_port

  curl "localhost:$router_port/put?key=mykey&val=myvalue"
  curl "localhost:$router_port/get?key=mykey"
  curl -X DELETE "localhost:$router_port/delete?key=mykey"
  curl "localhost:$((http_base + 11))/config"

  scripts/run_unified.sh --stop
END

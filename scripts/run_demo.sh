#!/usr/bin/env bash
# Five workers, a master that makes a cluster of them, a write and a read, a worker that dies, and what the mode does then.
#
#   scripts/run_demo.sh [raft|sync|chain] [--keep]     default chain; --keep leaves the cluster running
#   scripts/run_demo.sh --stop                         ends what an earlier run has left, and removes its data and logs
#
# Workers: localhost:8001-8005 (HTTP on 18001-18005), logs in logs/w1.log ... w5.log. Master: HTTP on localhost:8080, log in
# logs/master.log. Elsewhere with DEMO_DIR (the folder of logs/ and data/; that of ./flotilla if it is not set).
set -euo pipefail

root=$(readlink -f -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/..")
dir=${DEMO_DIR:-$root}
patience_s=240
mode=chain
keep=

usage() {
    sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
}

# When a process began, so that a number that went to another one since is not taken for it.
began() {
    local stat
    { read -r stat < "/proc/$1/stat"; } 2> /dev/null || return 1
    set -- ${stat##*) }
    [ "$1" != Z ] || return 1
    echo "${20}"
}

pid_of() {
    local name pid at
    [ -r logs/demo.pids ] || return 1
    while read -r name pid at; do
        if [ "$name" = "$1" ] && [ "$(began "$pid" || true)" = "$at" ]; then
            echo "$pid"
            return 0
        fi
    done < logs/demo.pids
    return 1
}

start() {
    local name=$1 pid
    shift
    setsid -- "$root/flotilla" "$@" >> "logs/$name.log" 2>&1 < /dev/null &
    pid=$!
    disown "$pid"
    echo "$name $pid $(began "$pid")" >> logs/demo.pids
}

end_all() {
    local name pid tries
    for name in master w1 w2 w3 w4 w5; do
        ! pid=$(pid_of "$name") || kill -TERM "$pid" 2> /dev/null || true
    done
    for name in master w1 w2 w3 w4 w5; do
        for ((tries = 0; tries < 150; tries++)); do
            pid_of "$name" > /dev/null || break
            sleep 0.1
        done
        ! pid=$(pid_of "$name") || kill -KILL "$pid" 2> /dev/null || true
    done
    rm -rf logs/demo.pids data/worker_800{1,2,3,4,5}
}

fail() {
    echo "run_demo.sh: $1" >&2
    local name
    for name in master w1 w2 w3 w4 w5; do
        [ ! -s "logs/$name.log" ] || { echo "the end of logs/$name.log:" >&2; tail -n 5 "logs/$name.log" | sed 's/^/  /' >&2; }
    done
    end_all
    exit 1
}

until_true() {
    local what=$1 until=$((SECONDS + patience_s))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$until" ] || fail "not within $patience_s s: $what"
        sleep 0.1
    done
}

# ask URL [SECONDS]: the answer is in $said, its status in $status.
ask() {
    said=$(curl -s -m "${2:-10}" -w '\n%{http_code}' "$1") || true
    status=${said##*$'\n'} said=${said%$'\n'*}
}

answers() {
    ask "$1"
    [ "$status" = 200 ]
}

show() {
    echo "% curl \"$1\""
    until_true "$1 is answered" answers "$1"
    echo "$said"
}

# Every shard has a leader and its three replicas in the mode of the demo.
is_whole() {
    ask localhost:8080/config
    [ "$status" = 200 ] && [ "$(grep -o "\"state\":\"active\",\"mode\":\"$mode\",\"leader\":\"w800[1-5]\"" <<< "$said" | wc -l)" -eq 5 ]
}

for argument in "$@"; do
    case $argument in
        raft | sync | chain) mode=$argument ;;
        quorum | async)
            echo "run_demo.sh: mode $argument comes later; raft, sync and chain are built. Nothing was started." >&2
            exit 1
            ;;
        --keep) keep=1 ;;
        --stop)
            cd "$dir"
            end_all
            rm -f logs/w{1,2,3,4,5}.log logs/master.log
            echo "stopped; data and logs of the demo are removed"
            exit 0
            ;;
        *) usage ;;
    esac
done

mkdir -p "$dir/logs"
cd "$dir"
for name in master w1 w2 w3 w4 w5; do
    ! pid_of "$name" > /dev/null || { echo "run_demo.sh: it runs already: scripts/run_demo.sh --stop ends it" >&2; exit 1; }
done
for port in 8080 8001 8002 8003 8004 8005 18001 18002 18003 18004 18005; do
    ! (exec 3<> "/dev/tcp/localhost/$port") 2> /dev/null || { echo "run_demo.sh: port $port is in use (ss -ltnp 'sport = :$port' tells by whom). Nothing was started." >&2; exit 1; }
done

# Settings of the caller's commands are none of the nodes'.
for variable in "${!FLOTILLA_@}"; do
    unset "$variable"
done

"$root/flotilla" --version > /dev/null # Builds, if need be: once, and with its messages here.
rm -rf logs/demo.pids logs/w{1,2,3,4,5}.log logs/master.log data/worker_800{1,2,3,4,5}
trap 'fail interrupted' INT TERM
echo "== five workers and a master, mode $mode"
for i in 1 2 3 4 5; do
    echo "% ./flotilla worker 800$i --heal-after 8s &"
    start "w$i" worker "800$i" --heal-after 8s
done
echo "% ./flotilla master -mode=$mode 8000 localhost:8001 localhost:8002 localhost:8003 localhost:8004 localhost:8005 &"
start master master "-mode=$mode" 8000 localhost:8001 localhost:8002 localhost:8003 localhost:8004 localhost:8005
until_true "five shards have leaders" is_whole
"$root/flotilla" mode --endpoint http://localhost:8080

echo "== a write and a read"
show "localhost:8080/put?key=foo&value=bar"
show "localhost:8080/get?key=foo"

# A worker that holds a replica of foo's shard and does not lead it: slot 12182 is foo's, as CLUSTER KEYSLOT says.
slot=12182
ask localhost:8080/config
victim="" first=""
while read -r record; do
    [[ $record =~ \"leader\":\"(w800[1-5])\" ]] && leader=${BASH_REMATCH[1]}
    [[ $record =~ \"voters\":\[([^]]*)\] ]] && voters=${BASH_REMATCH[1]}
    [[ $record =~ \"ranges\":\[(.*)\],\"version\" ]] && ranges=${BASH_REMATCH[1]}
    while [[ $ranges =~ ^,?\[([0-9]+),([0-9]+)\](.*)$ ]]; do
        ranges=${BASH_REMATCH[3]}
        if [ "${BASH_REMATCH[1]}" -le $slot ] && [ "${BASH_REMATCH[2]}" -ge $slot ]; then
            for voter in ${voters//,/ }; do
                voter=${voter//\"/}
                [ "$voter" = "$leader" ] || { victim=$voter first=$leader; }
            done
        fi
    done
done <<< "$(grep -o '{"id":[0-9]*,"state":[^{}]*' <<< "$said")"
[ -n "$victim" ] || fail "no replica of foo's shard was found"

echo "== worker $victim dies: it holds foo, of which $first leads"
pid=$(pid_of "w${victim#w800}") || fail "$victim does not run"
kill -KILL "$pid"
refused=""
# What is under way as it dies waits for it; what comes later is refused at once.
write_goes_on() {
    ask "localhost:8080/put?key=foo&value=after" 1
    if [ "$status" = 503 ] && [ -z "$refused" ] && [[ $said == *replica_unavailable* ]]; then
        refused=$said
        echo "$refused"
    fi
    [ "$status" = 200 ]
}
until_true "a write is done" write_goes_on
case $mode:$refused in
    raft:*) echo "raft: a majority holds every write, so writes went on" ;;
    *:) echo "$mode: the write waited until the replica was taken out of the in-sync set (--heal-after)" ;;
    *) echo "$mode: while a replica was away nothing was written; after --heal-after it was taken out of the in-sync set, and writes went on" ;;
esac
show "localhost:8080/get?key=foo"
"$root/flotilla" mode --endpoint http://localhost:8080

echo "== it comes back by its line"
start "w${victim#w800}" worker "${victim#w}" --heal-after 8s
until_true "nobody is out of sync" eval '! "$root/flotilla" mode --endpoint http://localhost:8080 2> /dev/null | grep -q "out of sync"'
"$root/flotilla" mode --endpoint http://localhost:8080
if [ -n "$keep" ]; then
    echo "it runs: http://localhost:8080; scripts/run_demo.sh --stop ends it"
else
    end_all
    echo "all processes have ended, and their data is removed; logs are in $dir/logs"
fi

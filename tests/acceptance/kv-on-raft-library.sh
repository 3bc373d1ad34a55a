#!/usr/bin/env bash
# Walks through the README of the original key-value server (the one on a Raft library), every command as it stands there:
# check out, make clean, make, three servers, the web routes, the RPC client. In a checkout of its own, and in a network
# namespace of its own, so that the README's ports are free whatever else runs on this machine. Where namespaces are not
# allowed it takes a lock and the machine's own ports.
#
#   tests/acceptance/kv-on-raft-library.sh          exit code 0 and "accepted", or what was different and exit code 1
set -euo pipefail

patience_s=60
pids=()

fail() {
    echo "not accepted: $1" >&2
    for log in "$PWD"/node*.log; do
        [ ! -e "$log" ] || { echo "--- the end of ${log##*/}:" >&2; tail -n 15 "$log" >&2; }
    done
    exit 1
}

# until_true WHAT COMMAND…: waits for a condition, not for a time.
until_true() {
    local what=$1 until=$((SECONDS + patience_s))
    shift
    until "$@" > /dev/null 2>&1; do
        [ "$SECONDS" -lt "$until" ] || fail "not within $patience_s s: $what"
        sleep 0.05
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
        if [ "$code" -ne 5 ] && [ "$code" -ne 6 ] && [[ ! $said =~ '"status":50'[34]|'"done":false' ]]; then
            return
        fi
        [ "$SECONDS" -lt "$until" ] || fail "not within $patience_s s: $1"
        sleep 0.2
    done
}

# says PATTERN…: each line of what was said, and there are no others, is as a regular expression says.
says() {
    [ "$code" -eq 0 ] || fail "exit code $code"
    local lines=() i
    mapfile -t lines <<< "$said"
    [ ${#lines[@]} -eq $# ] || fail "${#lines[@]} lines instead of $#"
    for ((i = 0; i < ${#lines[@]}; i++)); do
        [[ ${lines[i]} =~ ^${!i+}${@:i+1:1}$ ]] || fail "'${lines[i]}' is not '${@:i+1:1}'"
    done
}

# start N COMMAND: starts a server in the background; its pid is the program's, since every script on the way is replaced by the next.
start() {
    echo "% $2 &"
    eval "exec $2" >> "node$1.log" 2>&1 < /dev/null &
    pids[$1]=$!
}

stop() {
    local pid
    for pid in "${pids[@]}"; do
        kill -"$1" "$pid" 2> /dev/null || true
    done
    for pid in "${pids[@]}"; do
        wait "$pid" 2> /dev/null || true
    done
    pids=()
}

answers() {
    [ "$(curl -s -o answer -w '%{http_code}' "$1")" = "$2" ]
}

start_three() {
    start 1 "./kvserver --address=localhost:10001 --id=node1 --bs=true"
    start 2 "./kvserver --address=localhost:10002 --id=node2 "
    start 3 "./kvserver --address=localhost:10003 --id=node3"
    until_true "node1 is ready" answers localhost:9000/readyz 200
    until_true "node2 listens" answers localhost:9002/livez 200
    until_true "node3 listens" answers localhost:9003/livez 200
}

time='[0-9]{4}/[0-9]{2}/[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}'
voters='"voters":\["node1","node2","node3"\],"learners":\[\]'

web() {
    start_three
    for port in 9002 9003; do
        answers "localhost:$port/Get/key1" 503 && grep -q '"code":"not_joined"' answer || fail "a server that waits answered $(cat answer)"
    done
    step "curl -s localhost:9000/AddVoter/localhost:10002/node2"
    says '\{"node":"node2","done":true,.*'
    step "curl -s localhost:9000/AddVoter/localhost:10003/node3"
    says '\{"node":"node3","done":true,.*'
    step "curl -s localhost:9000/Get/key1"
    says '\{.*"status":404,.*"code":"not_found"\}'
    step "curl -s localhost:9000/Put/key1/value1"
    says '\{"key":"key1","version":"[^"]+"\}'
    step "curl -s localhost:9000/Get/key1"
    says '\{"key":"key1","value":"value1","version":"[^"]+"\}'

    # What the README promises by being about Raft: all three vote, any of them answers, and one of them may die.
    step "curl -s localhost:9003/raft/status"
    says ".*$voters.*"
    step "curl -s localhost:9002/Get/key1"
    says '\{"key":"key1","value":"value1",.*'
    kill -KILL "${pids[1]}"
    wait "${pids[1]}" 2> /dev/null || true
    until_true "the two that are left take a write" answers localhost:9002/Put/key2/value2 200
    step "curl -s localhost:9003/Get/key2"
    says '\{"key":"key2","value":"value2",.*'
    stop TERM

    # Started anew by the same lines they are the same cluster.
    start_three
    until_true "node3 is ready" answers localhost:9003/readyz 200
    step "curl -s localhost:9000/Get/key2"
    says '\{"key":"key2","value":"value2",.*'
    stop TERM
}

usage='Usage of ./kvclient:
  -address string
    	TCP host+port for this node (default "localhost:10002")
  -command string
    	monitor, addnode, set(key,val), get(key) (default "help")
  -id string
    	Node ID (default "node2")
  -key string
    	Key to test (default "somekey1")
  -val string
    	Val to set and test for key (default "someval1")'

rpc() {
    step "./kvclient"
    local line
    while IFS= read -r line; do
        grep -qxF -- "$line" <<< "$said" || fail "the usage lacks '$line'"
    done <<< "$usage"
    start_three
    step "./kvclient --command=addnode --address=localhost:10002 --id=node2"
    says 'Connecting to RPC Server addnode' "$time Response from RPC Server for AddNode : 1 Success"
    step "./kvclient --command=addnode --address=localhost:10003 --id=node3"
    says 'Connecting to RPC Server addnode' "$time Response from RPC Server for AddNode : 1 Success"
    step "./kvclient --command=set --key=key1 --val=value1                 "
    says 'Connecting to RPC Server set' 'Storing in DB via rpc key:"key1" val:"value1" ' "$time Response from RPC Server for Store Data : 1 Success"
    step "./kvclient --command=get --key=key1             "
    says 'Connecting to RPC Server get' 'Retrieving data from DB via rpc key:"key1" ' 'Retrieved from DB via rpc key1 value1'
    step "curl -s localhost:9003/raft/status"
    says ".*$voters.*"

    # The fourth service, and how failures look.
    step "./kvclient --command=monitor --count=1"
    says 'Connecting to RPC Server monitor' \
        "$time Monitor : node1 of cluster [0-9a-f]{16}, nodes node1=[a-z]+ node2=[a-z]+ node3=[a-z]+" \
        "$time Monitor : shard 1 leader [a-z0-9]+ term [0-9]+ voters node1 node2 node3, here [a-z]+ commit [0-9]+ applied [0-9]+ keys [0-9]+"
    step "./kvclient --command=get --key=nothing"
    [ "$code" -eq 3 ] || fail "no such key is exit code $code"
    step "./kvclient --command=sett"
    [ "$code" -eq 2 ] || fail "no such command is exit code $code"
    stop TERM
    code=0
    said=$(./kvclient --command=get --key=key1 2>&1) || code=$?
    [ "$code" -eq 5 ] && [[ $said == *"nobody listens at localhost:10001"* ]] || fail "no server is exit code $code: $said"
}

if [ "${1:-}" != --inside ]; then
    root=$(readlink -f -- "$(dirname -- "${BASH_SOURCE[0]}")/../..")
    checkout=$(mktemp -d -t flotilla-kv-XXXXXX)
    trap 'rm -rf -- "$checkout"' EXIT
    echo "% git checkout"
    tar -C "$root" --exclude=bin --exclude=obj -cf - Makefile kvserver kvclient flotilla global.json Directory.Build.props Directory.Packages.props .editorconfig src | tar -C "$checkout" -xf -
    cd "$checkout"
    for line in "make clean" "make"; do
        step "$line"
        [ "$code" -eq 0 ] || fail "exit code $code"
    done
    script=$root/tests/acceptance/kv-on-raft-library.sh
    if unshare -rn ip link set lo up 2> /dev/null; then
        unshare -rn bash -c 'ip link set lo up && exec bash "$0" --inside' "$script"
    else
        echo "no network namespace: taking this machine's ports, one run at a time" >&2
        flock "${TMPDIR:-/tmp}/flotilla-kv-ports.lock" bash "$script" --inside
    fi
    exit
fi

trap 'stop KILL' EXIT
web
rm -rf data node*.log
rpc
echo accepted

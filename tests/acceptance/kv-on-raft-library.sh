#!/usr/bin/env bash
# Walks through the README of the original key-value server (the one on a Raft library), every command as it stands there:
# check out, make clean, make, three servers, the web routes, the RPC client. In a checkout of its own, and in a network
# namespace of its own, so that the README's ports are free whatever else runs on this machine. Where namespaces are not
# allowed it takes a lock and the machine's own ports.
#
#   tests/acceptance/kv-on-raft-library.sh          exit code 0 and "accepted", or what was different and exit code 1
set -euo pipefail

patience_s=60
logs="node*.log"
. "$(dirname -- "${BASH_SOURCE[0]}")/shared/prelude.sh"

start_three() {
    start node1.log "./kvserver --address=localhost:10001 --id=node1 --bs=true"
    start node2.log "./kvserver --address=localhost:10002 --id=node2 "
    start node3.log "./kvserver --address=localhost:10003 --id=node3"
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
    kill -KILL "${pids[0]}"
    wait "${pids[0]}" 2> /dev/null || true
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
    apart "$script"
    exit
fi

trap 'stop KILL' EXIT
web
rm -rf data node*.log
rpc
echo accepted

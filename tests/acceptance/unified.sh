#!/usr/bin/env bash
# Walks through the README of the original unified KV-Raft system (shards without config servers), every command as it stands
# there but for "go run ./shard" and "go run ./router", which are "./flotilla shard" and "./flotilla router": start by script, the
# router, any shard, a fourth shard, a leader that is killed, restart, and the same by hand. In a folder of its own, and in a network
# namespace of its own, so that the README's ports are free whatever else runs on this machine. Where namespaces are not
# allowed it takes a lock and the machine's own ports.
#
#   tests/acceptance/unified.sh          exit code 0 and "accepted", or what was different and exit code 1
set -euo pipefail

patience_s=120
logs="logs/*.log *.log"
. "$(dirname -- "${BASH_SOURCE[0]}")/shared/prelude.sh"

# A shard as /config shows it: its members come before its slots.
shard_of() {
    grep -o "{\"id\":$1,\"state\":[^{}]*" <<< "$config" || true
}

# has SHARDS: these shards, and no others, are active and own what the ring gives them, as each of them says itself.
has() {
    local port shard
    for port in 8011 8021 8031; do
        config=$(curl -s "localhost:$port/config") || return 1
        [ "$(grep -o '{"id":[0-9]*,"state":"active"' <<< "$config" | wc -l)" -eq $# ] || return 1
        for shard in "$@"; do
            [[ $(shard_of "${shard%:*}") == *"\"slots\":${shard#*:},"* ]] || return 1
        done
    done
}

three="1:6667 2:4599 3:5118"
four="1:5419 2:4145 3:3442 4:3378"

# another_leads SHARD NODE: the router knows a leader of the shard, and it is not that node.
another_leads() {
    config=$(curl -s localhost:3000/config)
    [[ $(shard_of "$1") =~ '"leader":"'$1-([123])'"' ]] && [ "${BASH_REMATCH[1]}" != "$2" ]
}

keep_twenty() {
    for ((i = 0; i < 20; i++)); do
        until_true "put key$i" answers "localhost:3000/put?key=key$i&val=$1$i"
    done
}

find_twenty() {
    for ((i = 0; i < 20; i++)); do
        until_true "get key$i" answers "localhost:3000/get?key=key$i"
        grep -q "\"value\":\"$1$i\"" answer || fail "key$i is $(cat answer)"
    done
}

through_the_router() {
    step 'curl -s "localhost:3000/put?key=mykey&val=myvalue"'
    says '\{"key":"mykey","version":"[^"]+"\}'
    step 'curl -s "localhost:3000/get?key=mykey"'
    says '\{"key":"mykey","value":"myvalue","version":"[^"]+"\}'
    step 'curl -s -X DELETE "localhost:3000/delete?key=mykey"'
    says '\{"key":"mykey","deleted":true\}'
    step 'curl -s "localhost:3000/get?key=mykey"'
    says '\{.*"status":404,.*"code":"not_found"\}'
    step 'curl -s "localhost:3000/status"'
    says '\{"node":"router-3000-[^"]*","router":true,.*"topologyAgeMs":[0-9]+\}'
}

by_script() {
    step "./scripts/run_unified.sh"
    [ "$code" -eq 0 ] || fail "exit code $code"
    for name in 1_1 1_2 1_3 2_1 2_2 2_3 3_1 3_2 3_3; do
        [ -s "logs/unified_$name.log" ] || fail "there is no logs/unified_$name.log"
    done
    [ -s logs/router.log ] || fail "there is no logs/router.log"
    until_true "each of three shards has its slots" has $three
    through_the_router
    for port in 8011 8021 8031; do
        step "curl -s \"localhost:$port/config\""
        for shard in 1 2 3; do
            [[ $(config=$said shard_of $shard) == *"\"voters\":[\"$shard-1\",\"$shard-2\",\"$shard-3\"]"* ]] || fail "shard $shard has other voters"
        done
    done
    step 'curl -s "localhost:8011/raft/status"'
    says '\{"node":"1-1","shards":\[\{"shard":1,"role":"[a-z]+",.*"voters":\["1-1","1-2","1-3"\],"learners":\[\],.*\}\]\}'
    keep_twenty a

    # Started twice it starts nothing twice.
    step "./scripts/run_unified.sh"
    [ "$code" -eq 0 ] && [[ $said == *"everything runs already"* ]] || fail "a second start is exit code $code"

    # A shard is told of at any node, and broadcast: every shard gives it its share.
    step 'curl -s "localhost:8011/addshard?shardID=4&shardAddress=localhost:8041"'
    says '\{.*"status":404,.*No node is known at localhost:8041;.*'
    start by_hand.log './flotilla shard --shard_id 4 --node_id 1 --port 8041 --raft_addr localhost:18041'
    until_true "the fourth shard waits" answers localhost:8041/livez
    answers localhost:8041/status 503 && grep -q '"code":"not_joined"' answer || fail "a shard that waits answered $(cat answer)"
    step 'curl -s "localhost:8011/addshard?shardID=4&shardAddress=localhost:8041"'
    says '\{"shard":4,"state":"(joining|active)","node":"4-1",.*'
    until_true "each of four shards has its slots" has $four
    find_twenty a
    keep_twenty b

    # Whoever leads shard 2 dies; another leads, tells everybody, and the router follows.
    step 'curl -s "localhost:8011/config"'
    [[ $(config=$said shard_of 2) =~ '"leader":"2-'([123])'"' ]] || fail "nobody leads shard 2"
    dead=${BASH_REMATCH[1]}
    read -r _ pid _ <<< "$(grep "^2_$dead " logs/unified.pids)"
    kill -KILL "$pid"
    keep_twenty c
    until_true "the router knows another leader of shard 2" another_leads 2 "$dead"
    find_twenty c

    # The script starts what is missing, and that only.
    step "./scripts/run_unified.sh"
    [ "$code" -eq 0 ] && [[ $said == *"started: 2_$dead"$'\n'* ]] || fail "the node that died was not started again (exit code $code)"
    find_twenty c

    # Everything is stopped, which the fourth shard is none of; and started anew by the same lines it is the same cluster.
    step "./scripts/run_unified.sh --stop"
    [ "$code" -eq 0 ] || fail "exit code $code"
    answers localhost:8041/livez || fail "the fourth shard, which the script has not started, does not run any more"
    for port in 8011 8022 8033 3000; do
        ! answers "localhost:$port/livez" || fail "something answers on $port still"
    done
    step "./scripts/run_unified.sh"
    [ "$code" -eq 0 ] || fail "exit code $code"
    until_true "each of four shards has its slots" has $four
    find_twenty c
    step 'curl -s "localhost:8011/removeshard?shardID=4"'
    says '\{"shard":4,"state":"leaving",.*'
    until_true "each of three shards has its slots again" has $three
    find_twenty c
    step "./scripts/run_unified.sh --stop"
    stop TERM

    # A port that somebody uses is named, and nothing is started.
    start by_hand.log "./flotilla shard --shard-id 9 --node-id 1 --port 8022 --raft-addr localhost:19999"
    until_true "somebody listens" answers localhost:8022/livez
    step "./scripts/run_unified.sh"
    [ "$code" -eq 1 ] && [[ $said == *"in use already: port 8022"*"Nothing was started."* ]] || fail "a port in use is exit code $code"
    stop TERM
    ! answers localhost:8011/livez || fail "something was started all the same"
}

shard_by_hand() {
    local peers=()
    for other in 1 2 3; do
        [ "$other" = "$1" ] || peers+=("localhost:80${other}1")
    done
    start by_hand.log "./flotilla shard --shard_id $1 --node_id $2 --port 80$1$2 --raft_addr localhost:180$1$2 --peer_shards \"${peers[0]},${peers[1]}\""
}

by_hand() {
    for shard in 1 2 3; do
        for node in 1 2 3; do
            shard_by_hand $shard $node
        done
    done
    start by_hand.log './flotilla router --shard_ports "8011,8021,8031"'
    for shard in 1 2 3; do
        until_true "shard $shard is ready" answers "localhost:80${shard}1/readyz"
        step "curl -s -d \"nodeid=2&addr=localhost:180${shard}2\" \"localhost:80${shard}1/raft/join\""
        says "\{\"node\":\"$shard-2\",\"done\":true,.*"
        step "curl -s -d \"nodeid=3&addr=localhost:180${shard}3\" \"localhost:80${shard}1/raft/join\""
        says "\{\"node\":\"$shard-3\",\"done\":true,.*"
    done
    until_true "each of three shards has its slots" has $three
    until_true "the router is ready" answers localhost:3000/readyz
    through_the_router
    keep_twenty d

    # The leader of shard 1 dies, by hand too, and comes back by its line.
    config=$(curl -s localhost:8021/config)
    [[ $(shard_of 1) =~ '"leader":"1-'([123])'"' ]] || fail "nobody leads shard 1"
    dead=${BASH_REMATCH[1]}
    kill -KILL "${pids[dead - 1]}"
    keep_twenty e
    shard_by_hand 1 "$dead"
    until_true "it is back" answers "localhost:801$dead/readyz"
    find_twenty e
    stop TERM
}

if [ "${1:-}" != --inside ]; then
    root=$(readlink -f -- "$(dirname -- "${BASH_SOURCE[0]}")/../..")
    "$root/flotilla" --version > /dev/null
    folder=$(mktemp -d -t flotilla-unified-XXXXXX)
    trap 'rm -rf -- "$folder"' EXIT
    cd "$folder"
    ln -s "$root/flotilla" flotilla
    ln -s "$root/scripts" scripts
    export UNIFIED_DIR=$folder
    script=$root/tests/acceptance/unified.sh
    apart "$script"
    exit
fi

trap 'stop KILL; ./scripts/run_unified.sh --stop > /dev/null 2>&1' EXIT
by_script
rm -rf data logs ./*.log
by_hand
echo accepted

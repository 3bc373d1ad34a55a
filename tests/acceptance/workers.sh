#!/usr/bin/env bash
# Walks through the README of the original customizable key-value store, every command as it stands there but for "go run
# ./cmd/worker/main.go" and "go run ./cmd/master/main.go", which are "./flotilla worker" and "./flotilla master": workers and a
# master by hand, put and get on 8080, and the demo. In a folder and a network namespace of its own, as unified.sh.
#
#   tests/acceptance/workers.sh          exit code 0 and "accepted", or what was different and exit code 1
set -euo pipefail

patience_s=120
logs="logs/*.log"
. "$(dirname -- "${BASH_SOURCE[0]}")/shared/prelude.sh"

by_hand() {
    mkdir -p logs
    start logs/w1.log "./flotilla worker 8001"
    start logs/w2.log "./flotilla worker 8002"
    start logs/w3.log "./flotilla worker 8003"
    start logs/master.log "./flotilla master -mode=chain 8000 localhost:8001 localhost:8002 localhost:8003"
    until_true "the master is ready" answers localhost:8080/readyz
    step 'curl -s "http://localhost:8080/put?key=foo&value=bar"'
    says '\{"key":"foo","version":"[^"]+"\}'
    step 'curl -s "http://localhost:8080/get?key=foo"'
    says '\{"key":"foo","value":"bar","version":"[^"]+"\}'
    step 'curl -s -o /dev/null -D - "http://localhost:8080/get?key=foo" | tr -d "\r" | grep -i "^flotilla-" | sort'
    says 'Flotilla-Consistency: linearizable' 'Flotilla-Mode: chain'
    step './flotilla mode --endpoint http://localhost:8080'
    says 'shard 1: chain w800[123] → w800[123] → w800[123]' 'shard 2: chain w800[123] → w800[123] → w800[123]' 'shard 3: chain w800[123] → w800[123] → w800[123]'

    # The workers hold the cluster: a master that is started again finds it, and one that names others forms none.
    kill -KILL "${pids[3]}"
    start logs/master.log "./flotilla master -mode=sync 8000 localhost:8001 localhost:8002 localhost:8003"
    until_true "another master is ready" answers localhost:8080/readyz
    step 'curl -s "http://localhost:8080/get?key=foo"'
    says '\{"key":"foo","value":"bar","version":"[^"]+"\}'
    step './flotilla mode --shard 1 --endpoint http://localhost:8080'
    says 'shard 1: chain .*'
    stop TERM
}

demo() {
    # Not as a step, which asks again where something is refused for now: that it is refused is what the demo shows.
    echo "% ./scripts/run_demo.sh"
    code=0
    said=$(./scripts/run_demo.sh 2>&1) || code=$?
    printf '%s\n' "$said"
    [ "$code" -eq 0 ] || fail "exit code $code"
    for pattern in '"value":"bar"' '"value":"after"' 'worker w800[1-5] dies' 'all processes have ended'; do
        grep -Eq -- "$pattern" <<< "$said" || fail "it does not say $pattern"
    done
    for name in w1 w2 w3 w4 w5 master; do
        [ -s "logs/$name.log" ] || fail "there is no logs/$name.log"
    done
    ! answers localhost:8080/livez || fail "the master still answers"
    step "./scripts/run_demo.sh quorum"
    [ "$code" -eq 1 ] && [[ $said == *"comes later"* ]] || fail "a mode that is not built is exit code $code"
    step "./scripts/run_demo.sh --stop"
    [ "$code" -eq 0 ] && [ ! -e logs/w1.log ] || fail "it leaves logs behind"
}

if [ "${1:-}" != --inside ]; then
    root=$(readlink -f -- "$(dirname -- "${BASH_SOURCE[0]}")/../..")
    "$root/flotilla" --version > /dev/null
    folder=$(mktemp -d -t flotilla-workers-XXXXXX)
    trap 'rm -rf -- "$folder"' EXIT
    cd "$folder"
    ln -s "$root/flotilla" flotilla
    ln -s "$root/scripts" scripts
    export DEMO_DIR=$folder
    apart "$root/tests/acceptance/workers.sh"
    exit
fi

trap 'stop KILL; ./scripts/run_demo.sh --stop > /dev/null 2>&1' EXIT
by_hand
rm -rf data logs
demo
echo accepted

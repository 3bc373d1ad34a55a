#!/usr/bin/env bash
# What a cluster costs that nobody uses: three nodes with so many shards; once every shard has its leader and nothing moves any
# more, the memory of each node, the CPU that it takes over half a minute, how often its threads are woken, and its memory then;
# at the end how many elections it won since it began, how many of its replicas are quiet, and what its managed memory comes to.
#
#   bench/idle.sh [SHARDS]                                 (default: 300 shards, each with a replica on each of three nodes)
set -euo pipefail
cd "$(dirname "$0")/.."

shards=${1:-300}
settle=${SETTLE:-30} # seconds
dotnet build -c Release -v q -nologo src/Flotilla.Cli >&2
flotilla=(dotnet src/Flotilla.Cli/bin/Release/net10.0/flotilla.dll)
. bench/nodes.sh

ticks=$(getconf CLK_TCK)
# Of process I: CPU time so far in ticks; how often its threads went to sleep of their own accord so far (some may end meanwhile).
cpu() { awk '{ sub(/^.*\) /, ""); print $12 + $13 }' "/proc/${pids[$1]}/stat"; }
sleeps() { { cat /proc/"${pids[$1]}"/task/*/status 2>/dev/null || true; } | awk '/^voluntary_ctxt/ { sum += $2 } END { print sum }'; }
threads() { awk '/^Threads/ { print $2 }' "/proc/${pids[$1]}/status"; }

led() { curl -fsS -m 5 "http://127.0.0.1:${http[$1]}/raft/status" | grep -o '"role":"leader"' | wc -l; }
leaders() { echo $(($(led 0) + $(led 1) + $(led 2))); }

began=$(date +%s.%N)
for i in 0 1 2; do
    start_node $i --initial-cluster "n1=127.0.0.1:${rpc[0]},n2=127.0.0.1:${rpc[1]},n3=127.0.0.1:${rpc[2]}" --shards "$shards"
done
give_up=$((SECONDS + 180))
until [ "$(leaders 2>/dev/null || echo 0)" = "$shards" ]; do
    [ $SECONDS -lt $give_up ] || { echo "not every shard has a leader after three minutes:" >&2; tail -n 5 "$work"/n?.log >&2; exit 1; }
    sleep 0.5
done
printf '%d shards on three nodes; every one has a leader after %.1f s; idle from then on\n' "$shards" "$(echo "$(date +%s.%N) - $began" | bc)"

# measure SECONDS: the CPU of each node over a time, and its memory at the end.
measure() {
    local i cpu0=() sleeps0=()
    for i in 0 1 2; do cpu0[i]=$(cpu $i); sleeps0[i]=$(sleeps $i); done
    sleep "$1"
    for i in 0 1 2; do
        printf '  n%d: RSS %3d MiB, peak %3d MiB, CPU %5.2f %% of a core, %5d wakeups/s, %d threads, leads %d\n' $((i + 1)) "$(rss $i)" "$(peak $i)" \
            "$(echo "scale=4; ($(cpu $i) - ${cpu0[i]}) * 100 / $ticks / $1" | bc)" $((($(sleeps $i) - sleeps0[i]) / $1)) "$(threads $i)" "$(led $i)"
    done
}

sleep "$settle"
echo "over 30 s, from $settle s on:"
measure 30
for i in 0 1 2; do
    curl -fsS -m 5 "http://127.0.0.1:${http[i]}/metrics" | awk -v node="n$((i + 1))" '
        /^flotilla_elections_won_total/ { won = $2 } /^flotilla_quiet_replicas/ { quiet = $2 } /^flotilla_process_gc_heap_bytes/ { heap = $2 }
        /^flotilla_process_gc_collections_total\{generation="2"\}/ { full = $2 }
        END { printf "  %s: %d elections won, %d replicas quiet, %d MiB of managed memory, %d full collections\n", node, won, quiet, heap / 1048576, full }'
done
[ -z "${LONGER:-}" ] || { echo "over another $LONGER s:"; measure "$LONGER"; }

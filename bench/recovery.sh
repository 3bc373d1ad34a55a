#!/usr/bin/env bash
# How a cluster with a million records comes back: all three nodes are killed at once and started again; the time until the
# first write is served, and the memory and disk of each node.
#
#   bench/recovery.sh [RECORDS]                            (default: 1000000 records of 16 + 100 bytes, 5 rounds)
set -euo pipefail
cd "$(dirname "$0")/.."

records=${1:-1000000}
rounds=5
dotnet build -c Release -v q -nologo src/Flotilla.Cli >&2
flotilla=(dotnet src/Flotilla.Cli/bin/Release/net10.0/flotilla.dll)
work=$(mktemp -d)
http=(18411 18412 18413)
rpc=(18421 18422 18423)
pids=()

stop() {
    for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    pids=()
}
trap 'stop; rm -rf "$work"' EXIT

start() {
    local i
    for i in 0 1 2; do
        "${flotilla[@]}" node --node-id "n$((i + 1))" --http "127.0.0.1:${http[i]}" --rpc "127.0.0.1:${rpc[i]}" --data-dir "$work/n$((i + 1))" \
            --initial-cluster "n1=127.0.0.1:${rpc[0]},n2=127.0.0.1:${rpc[1]},n3=127.0.0.1:${rpc[2]}" >>"$work/n$((i + 1)).log" 2>&1 &
        pids+=($!)
    done
}

# A write to each shard through each node: curl is light enough not to disturb what is measured.
serving() {
    local key
    for key in a b c d e f; do
        curl -fsS -m 2 -X PUT "http://127.0.0.1:${http[0]}/kv/probe-$key" -d '{"value":"x"}' >/dev/null 2>&1 || return 1
    done
}

until_serving() {
    local began=$1
    until serving; do sleep 0.02; done
    echo "$(date +%s.%N) - $began" | bc
}

show_nodes() {
    local i
    for i in 0 1 2; do
        printf '  n%d: RSS %4d MiB, peak %4d MiB, disk %4d MiB (log %d, snapshots %d)\n' $((i + 1)) \
            "$(awk '/VmRSS/ {print int($2 / 1024)}' "/proc/${pids[i]}/status")" "$(awk '/VmHWM/ {print int($2 / 1024)}' "/proc/${pids[i]}/status")" \
            "$(du -sm "$work/n$((i + 1))" | cut -f1)" "$(du -sm "$work/n$((i + 1))/wal" | cut -f1)" "$(du -sm "$work/n$((i + 1))/snapshots" | cut -f1)"
    done
}

start
until_serving "$(date +%s.%N)" >/dev/null
awk -v n="$records" 'BEGIN { srand(7); for (i = 0; i < n; i++) { v = ""; for (j = 0; j < 10; j++) v = v sprintf("%010d", int(rand() * 1e10)); printf "key-%012d\t%s\n", i, v } }' >"$work/records.tsv"
"${flotilla[@]}" load "$work/records.tsv" --endpoint "http://127.0.0.1:${http[0]}" 2>&1 | tail -n 1
rm "$work/records.tsv"
echo "after the load:"
show_nodes

for round in $(seq "$rounds"); do
    stop
    began=$(date +%s.%N)
    start
    echo "round $round: all three killed and started; a write to every shard after $(until_serving "$began") s"
done

show_nodes
"${flotilla[@]}" status --endpoint "http://127.0.0.1:${http[0]}" | head -n 5

#!/usr/bin/env bash
# Writes at full speed for minutes on end, and shows that log and memory stay bounded: a line of figures every 15 seconds.
#
#   bench/soak.sh [MINUTES] [KEYS]                         (default: 10 minutes over 300000 keys of 16 + 100 bytes)
set -euo pipefail
cd "$(dirname "$0")/.."

minutes=${1:-10}
keys=${2:-300000}
dotnet build -c Release -v q -nologo src/Flotilla.Cli >&2
flotilla=(dotnet src/Flotilla.Cli/bin/Release/net10.0/flotilla.dll)
. bench/nodes.sh

start_nodes
until_serving "$(date +%s.%N)" >/dev/null
printf '%6s %10s   %-26s %-20s %-20s\n' "s" "puts/s" "RSS MiB (n1 n2 n3)" "log MiB" "snapshots MiB"
began=$SECONDS
while [ $((SECONDS - began)) -lt $((minutes * 60)) ]; do
    rate=$("${flotilla[@]}" bench --mix put --keys "$keys" --clients 64 --duration 14s --warm-up 1s --output json --seed $((SECONDS + 1)) \
        --endpoint "http://127.0.0.1:${http[0]}" 2>/dev/null | /usr/bin/python3 -c 'import json, sys; r = json.load(sys.stdin); print(round(r["perSecond"]), r["errors"] or "")')
    printf '%6d %10s   %-26s %-20s %-20s\n' $((SECONDS - began)) "$rate" "$(rss 0) $(rss 1) $(rss 2)" "$(disk 0 wal) $(disk 1 wal) $(disk 2 wal)" "$(disk 0 snapshots) $(disk 1 snapshots) $(disk 2 snapshots)"
done
show_nodes

#!/usr/bin/env bash
# What clients notice while a fourth node joins three that hold a million records, is brought up to date by snapshots, and is
# promoted to voter in every shard: percentiles of puts before, during and after.
#
#   bench/join.sh [RECORDS] [CLIENTS]                      (default: 1000000 records of 16 + 100 bytes, 16 clients)
set -euo pipefail
cd "$(dirname "$0")/.."

records=${1:-1000000}
clients=${2:-16}
dotnet build -c Release -v q -nologo src/Flotilla.Cli >&2
flotilla=(dotnet src/Flotilla.Cli/bin/Release/net10.0/flotilla.dll)
. bench/nodes.sh

# puts NAME DURATION
puts() {
    "${flotilla[@]}" bench --mix put --keys "$records" --clients "$clients" --duration "$2" --warm-up 2s --output json --op-timeout 5s --endpoint "http://127.0.0.1:${http[0]}" 2>/dev/null >"$work/$1.json"
}

show() {
    /usr/bin/python3 - "$work/$1.json" "$1" <<'P'
import json, sys
r = json.load(open(sys.argv[1]))
w = r["writes"]
print(f"{sys.argv[2]:8} {r['perSecond']:8.0f} puts/s  p50 {w['p50'] / 1000:7.2f} ms  p99 {w['p99'] / 1000:7.2f} ms  max {w['max'] / 1000:7.1f} ms  errors {r['errors'] or 'none'}")
P
}

start_nodes
until_serving "$(date +%s.%N)" >/dev/null
load_records "$records"
puts warm 5s
puts before 20s
began=$SECONDS
start_node 3 --join "127.0.0.1:${rpc[0]}"
puts during 20s &
load=$!
"${flotilla[@]}" add-node n4 "127.0.0.1:${rpc[3]}" --wait 3m --endpoint "http://127.0.0.1:${http[0]}" 2>&1 | tail -n 5
echo "n4 votes in every shard after $((SECONDS - began)) s"
wait $load
puts after 20s
for phase in before during after; do show $phase; done
show_nodes

#!/usr/bin/env bash
# How a cluster with a million records comes back: all three nodes are killed at once and started again; the time until the
# first write is served by every shard, and the memory and disk of each node.
#
#   bench/recovery.sh [RECORDS]                            (default: 1000000 records of 16 + 100 bytes, 5 rounds)
set -euo pipefail
cd "$(dirname "$0")/.."

records=${1:-1000000}
rounds=5
dotnet build -c Release -v q -nologo src/Flotilla.Cli >&2
flotilla=(dotnet src/Flotilla.Cli/bin/Release/net10.0/flotilla.dll)
. bench/nodes.sh

start_nodes
until_serving "$(date +%s.%N)" >/dev/null
load_records "$records"
echo "after the load:"
show_nodes

for round in $(seq "$rounds"); do
    stop_nodes
    began=$(date +%s.%N)
    start_nodes
    echo "round $round: all three killed and started; a write to every shard after $(until_serving "$began") s"
done

show_nodes
"${flotilla[@]}" status --endpoint "http://127.0.0.1:${http[0]}" | head -n 5

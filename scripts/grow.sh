#!/usr/bin/env bash
# A cluster of real processes grows from 3 shards to 6 and shrinks to 2, so many times, under 56 clients (of the nodes, of the leaders, of a
# router): once with nobody dying, once with a leader killed (-9) in the middle of each growth and of each shrinking. Prints throughput,
# latency and the longest time that the client of one key went without an answer, checks the whole history for linearizability, every
# version for going back, and every stored record; and that no slot ever has two owners, by samples of what each shard's log says (a line tells how many
# samples and slots were compared). Fails on any client error, and if nobody dies on a pause of 100 ms or more.
#
#   scripts/grow.sh [ROUNDS] [RECORDS]          (default: 5 rounds, 20000 records beside the keys that are written)
set -euo pipefail
cd "$(dirname "$0")/.."
dotnet build -c Release -v q -nologo tests/Flotilla.Cluster.Tests
export FLOTILLA_GROW_ROUNDS=${1:-5} FLOTILLA_GROW_RECORDS=${2:-20000} FLOTILLA_GROW_PAUSES=1
exec dotnet run -c Release --no-build --project tests/Flotilla.Cluster.Tests -- -class Flotilla.Cluster.Tests.GrowTests -showliveoutput -parallel none

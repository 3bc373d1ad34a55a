#!/usr/bin/env bash
# Kills (-9) and pauses (SIGSTOP, 5 s) the leader of a shard under 64 clients, ten times each, checks the whole history for
# linearizability, and prints how long each shard went without a successful write. Takes about four minutes.
#
#   scripts/faults.sh [ROUNDS]
set -euo pipefail
cd "$(dirname "$0")/.."
dotnet build -c Release -v q -nologo tests/Flotilla.Cluster.Tests
export FLOTILLA_FAULT_ROUNDS=${1:-10} FLOTILLA_FAULT_GAPS=1
exec dotnet run -c Release --no-build --project tests/Flotilla.Cluster.Tests -- -class Flotilla.Cluster.Tests.FaultTests -showliveoutput -parallel none

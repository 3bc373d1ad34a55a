#!/usr/bin/env bash
# Puts and linearizable gets per second, Flotilla beside etcd: three nodes each, fsync on, one machine, one run, the same
# gRPC client on the same cores. Prints a table and the ratios. Needs etcd: apt-get install etcd-server.
#
#   bench/compare.sh [SECONDS_PER_POINT] [CLIENTS…]        (default: 8 seconds; 1 64 256 clients)
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-8}
shift || true
clients=("${@:-}")
[ -n "${clients[0]}" ] || clients=(1 64 256)
command -v etcd >/dev/null || { echo "etcd is not installed: apt-get install -y etcd-server" >&2; exit 1; }

dotnet build -c Release -v q -nologo bench/Flotilla.Compare >&2
dotnet build -c Release -v q -nologo src/Flotilla.Cli >&2
load=(dotnet bench/Flotilla.Compare/bin/Release/net10.0/Flotilla.Compare.dll)
flotilla=(dotnet src/Flotilla.Cli/bin/Release/net10.0/flotilla.dll)
work=$(mktemp -d)
pids=()

stop() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    pids=()
}
trap 'stop; rm -rf "$work"' EXIT

start_etcd() {
    local cluster="" i
    for i in 1 2 3; do cluster+="e$i=http://127.0.0.1:$((23800 + i)),"; done
    for i in 1 2 3; do
        etcd --name "e$i" --data-dir "$work/e$i" --log-level error --logger zap \
            --listen-client-urls "http://127.0.0.1:$((23790 + i))" --advertise-client-urls "http://127.0.0.1:$((23790 + i))" \
            --listen-peer-urls "http://127.0.0.1:$((23800 + i))" --initial-advertise-peer-urls "http://127.0.0.1:$((23800 + i))" \
            --initial-cluster "${cluster%,}" >"$work/e$i.log" 2>&1 &
        pids+=($!)
    done
    endpoints=127.0.0.1:23791,127.0.0.1:23792,127.0.0.1:23793
    wait_for "curl -fsS http://127.0.0.1:23791/health | grep -q true"
}

start_flotilla() {
    local cluster="" i
    for i in 1 2 3; do cluster+="c$i=127.0.0.1:$((25050 + i)),"; done
    for i in 1 2 3; do
        "${flotilla[@]}" node --node-id "c$i" --http "127.0.0.1:$((28000 + i))" --rpc "127.0.0.1:$((25050 + i))" \
            --data-dir "$work/c$i" --initial-cluster "${cluster%,}" >"$work/c$i.log" 2>&1 &
        pids+=($!)
    done
    endpoints=127.0.0.1:25051,127.0.0.1:25052,127.0.0.1:25053
    wait_for "for p in 28001 28002 28003; do curl -fsS http://127.0.0.1:\$p/readyz || exit 1; done"
}

wait_for() {
    local i
    for i in $(seq 300); do
        (eval "$1") >/dev/null 2>&1 && return 0
        sleep 0.1
    done
    echo "the cluster did not become ready; its logs:" >&2
    tail -n 20 "$work"/*.log >&2
    exit 1
}

measure() {
    local system=$1 n
    "start_$system"
    # Both systems are warm before the first figure: caches filled, and code compiled where there is a compiler.
    "${load[@]}" "$system" "$endpoints" put 64 8 "$(IFS=,; echo "${pids[*]}")" >/dev/null
    "${load[@]}" "$system" "$endpoints" get 64 4 "$(IFS=,; echo "${pids[*]}")" >/dev/null
    for n in "${clients[@]}"; do
        "${load[@]}" "$system" "$endpoints" put "$n" "$seconds" "$(IFS=,; echo "${pids[*]}")" | tee -a "$work/results" >&2
    done
    for n in "${clients[@]}"; do
        "${load[@]}" "$system" "$endpoints" get "$n" "$seconds" "$(IFS=,; echo "${pids[*]}")" | tee -a "$work/results" >&2
    done
    stop
}

measure etcd
measure flotilla

awk -F '\t' '
    BEGIN { printf "| operation | clients | etcd/s | p50 ms | p99 ms | Flotilla/s | p50 ms | p99 ms | ratio | etcd CPU µs/op (3 nodes) | Flotilla CPU µs/op (3 nodes) |\n|---|---|---|---|---|---|---|---|---|---|---|\n" }
    $1 == "etcd" { e[$2, $3] = $0; order[++count] = $2 SUBSEP $3 }
    $1 == "flotilla" { f[$2, $3] = $0 }
    END {
        for (i = 1; i <= count; i++) {
            split(e[order[i]], a, "\t"); split(f[order[i]], b, "\t")
            printf "| %s | %s | %s | %s | %s | %s | %s | %s | %.2f | %s | %s |\n", a[2], a[3], a[4], a[5], a[6], b[4], b[5], b[6], b[4] / a[4], a[7], b[7]
        }
    }' "$work/results"

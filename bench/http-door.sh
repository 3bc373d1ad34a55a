#!/usr/bin/env bash
# What the HTTP door costs: requests per second of wrk against the door in front of a gateway that does nothing, beside a
# bare Kestrel that answers "hello", one after the other in the same run. Needs wrk (Debian: apt-get install wrk).
# Usage: bench/http-door.sh [SECONDS] [CONNECTIONS]
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-8}; connections=${2:-64}; port=${PORT:-18999}
command -v wrk >/dev/null || { echo "wrk is missing: apt-get install wrk" >&2; exit 1; }
dotnet build -c Release bench/Flotilla.Server.Bench -v q -nologo >/dev/null
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cat > "$work/put.lua" <<'LUA'
wrk.method = "PUT"
wrk.body = '{"value":"' .. string.rep("v", 100) .. '"}'
wrk.headers["Content-Type"] = "application/json"
request = function() return wrk.format(nil, "/kv/key-" .. math.random(1, 1000000)) end
LUA
cat > "$work/get.lua" <<'LUA'
request = function() return wrk.format(nil, "/kv/key-" .. math.random(1, 1000000)) end
LUA

run() { # name server script
    mkfifo "$work/in"; : > "$work/out"
    dotnet bench/Flotilla.Server.Bench/bin/Release/net10.0/Flotilla.Server.Bench.dll "$2" "$port" <"$work/in" >"$work/out" &
    local pid=$!
    exec 7>"$work/in"
    until grep -q ready "$work/out"; do kill -0 "$pid"; sleep 0.1; done
    wrk -t1 -c"$connections" -d4s -s "$work/$3.lua" "http://127.0.0.1:$port" >/dev/null   # warm: the JIT is not what is measured
    echo >&7
    local result; result=$(wrk -t1 -c"$connections" -d"${seconds}s" --latency -s "$work/$3.lua" "http://127.0.0.1:$port")
    echo >&7; exec 7>&-; wait "$pid"; rm "$work/in"
    awk -v name="$1" -v marks="$(tail -2 "$work/out" | tr '\n' ' ')" '
        /Requests\/sec/ {rate = $2} /50%/ {p50 = $2} /99%/ {p99 = $2} /requests in/ {n = $1} /Non-2xx|Socket errors/ {bad = $0}
        END {split(marks, m, " "); printf "%-26s %9.0f req/s  p50 %-8s p99 %-8s CPU %5.1f µs and %5.0f bytes allocated a request, RSS %d MiB%s\n", name, rate, p50, p99, (m[4]-m[1])/n, (m[5]-m[2])/n, m[6], bad}' <<<"$result"
}

echo "$connections connections, $seconds s each"
run "hello, bare, GET" hello get
run "hello, slim host, GET" hello-slim get
run "hello, bare, PUT" hello put
run "door, GET" door get
run "door, PUT" door put
run "door, answers later, GET" door-async get
run "door, answers later, PUT" door-async put

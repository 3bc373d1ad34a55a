#!/usr/bin/env bash
# What clients notice while a cluster of three nodes and three shards gets three more shards: puts and gets a second with percentiles before,
# while slots move, and after, and how long the growth took. The load goes on all the time; each phase is a part of it.
#
#   bench/handoff.sh [RECORDS] [CLIENTS]                      (default: 200000 records of 16 + 100 bytes, 16 clients)
set -euo pipefail
cd "$(dirname "$0")/.."

records=${1:-200000}
clients=${2:-16}
dotnet build -c Release -v q -nologo src/Flotilla.Cli >&2
flotilla=(dotnet src/Flotilla.Cli/bin/Release/net10.0/flotilla.dll)
. bench/nodes.sh
endpoint=http://127.0.0.1:${http[0]}

# load NAME DURATION
load() {
    "${flotilla[@]}" bench --mix mixed --no-fill --keys "$records" --clients "$clients" --duration "$2" --warm-up 2s --output json --op-timeout 5s --endpoint "$endpoint" 2>/dev/null >"$work/$1.json"
}

# grow: three shards more, one after the other, each until its share has come; how long is left in $work/grow.json, in seconds since the epoch.
grow() {
    /usr/bin/python3 - "$endpoint" >"$work/grow.json" <<'P'
import json, sys, time, urllib.request
def get(path): return json.load(urllib.request.urlopen(sys.argv[1] + path, timeout=10))
times = [time.time()]
for shard in (4, 5, 6):
    get(f"/addshard?shardID={shard}")
    last, still = None, 0
    # Its share has come when nothing moves and no shard's slots have changed for a while: the other nodes hear of a move within a second.
    while still < 3:
        time.sleep(0.5)
        shards = get("/config")["shards"]
        slots = {s["id"]: s["slots"] for s in shards}
        still = still + 1 if slots == last and slots.get(shard, 0) > 0 and not any(s.get("moves") for s in shards) else 0
        last = slots
    times.append(time.time() - 1.5)
    print(f"shard {shard} has its {slots[shard]} slots after {times[-1] - max(times[-2], times[0]):.1f} s", file=sys.stderr)
print(json.dumps(times))
P
}

start_nodes
until_serving "$(date +%s.%N)" >/dev/null
load_records "$records"
load warm 20s
load before 15s
grow &
growth=$!
load during 45s
wait $growth
load after 15s
/usr/bin/python3 - "$work" <<'P'
import json, sys
def of(name): return json.load(open(f"{sys.argv[1]}/{name}.json"))
def line(name, rate, r):
    w, g = r["writes"], r["reads"]
    ms = lambda x: f"{x / 1000:6.2f}"
    print(f"{name:9} {rate:8.0f} operations/s  puts p50 {ms(w['p50'])} p99 {ms(w['p99'])} max {w['max'] / 1000:6.1f} ms  gets p50 {ms(g['p50'])} p99 {ms(g['p99'])} max {g['max'] / 1000:6.1f} ms  errors {r['errors'] or 'none'}")
times = of("grow")
took = times[-1] - times[0]
before, during, after = of("before"), of("during"), of("after")
line("before", before["perSecond"], before)
# The load's warm-up of 2 s is not in its seconds, and the growth began with it.
seconds = during["perSecondLines"]
moving = [s["operations"] for s in seconds if s["second"] + 2 <= took] or [seconds[0]["operations"]]
print("operations in each second while slots moved:", *moving)
line("during", during["perSecond"], during)
line("after", after["perSecond"], after)
rate = sum(moving) / len(moving)
print(f"three shards more in {took:.1f} s; while slots moved {rate:.0f} operations/s, {100 * rate / before['perSecond']:.0f} % of before")
P
show_nodes

# For the scripts beside this one: three nodes in a folder of their own, on ports that nothing else here uses.
# Needs $flotilla (an array: the command) and sets work, http, rpc, pids; ends what it started when the script ends.
work=$(mktemp -d)
http=(18411 18412 18413 18414)
rpc=(18421 18422 18423 18424)
pids=()

stop_nodes() {
    for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    pids=()
}
trap 'stop_nodes; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# start_node I FLAG...
start_node() {
    local i=$1
    shift
    "${flotilla[@]}" node --node-id "n$((i + 1))" --http "127.0.0.1:${http[i]}" --rpc "127.0.0.1:${rpc[i]}" --data-dir "$work/n$((i + 1))" "$@" >>"$work/n$((i + 1)).log" 2>&1 &
    pids+=($!)
}

start_nodes() {
    local i
    for i in 0 1 2; do
        start_node $i --initial-cluster "n1=127.0.0.1:${rpc[0]},n2=127.0.0.1:${rpc[1]},n3=127.0.0.1:${rpc[2]}"
    done
}

# A write to each shard through the first node: curl is light enough not to disturb what is measured.
serving() {
    local key
    for key in a b c d e f; do
        curl -fsS -m 2 -X PUT "http://127.0.0.1:${http[0]}/kv/probe-$key" -d '{"value":"x"}' >/dev/null 2>&1 || return 1
    done
}

# until_serving BEGAN: waits, for two minutes at most, and prints how long it took since BEGAN (seconds of `date +%s.%N`).
until_serving() {
    local began=$1 give_up=$((SECONDS + 120))
    until serving; do
        [ $SECONDS -lt $give_up ] || { echo "the nodes don't serve after two minutes:" >&2; tail -n 5 "$work"/n?.log >&2; return 1; }
        sleep 0.02
    done
    echo "$(date +%s.%N) - $began" | bc
}

# rss I, peak I: MiB.
rss() { awk '/VmRSS/ {print int($2 / 1024)}' "/proc/${pids[$1]}/status"; }
peak() { awk '/VmHWM/ {print int($2 / 1024)}' "/proc/${pids[$1]}/status"; }
# disk I PART: MiB of a node's folder.
disk() { du -sm "$work/n$(($1 + 1))/$2" | cut -f1; }

show_nodes() {
    local i
    for i in "${!pids[@]}"; do
        printf '  n%d: RSS %4d MiB, peak %4d MiB, disk %4d MiB (log %d, snapshots %d)\n' $((i + 1)) "$(rss "$i")" "$(peak "$i")" "$(disk "$i" .)" "$(disk "$i" wal)" "$(disk "$i" snapshots)"
    done
}

# load_records N: so many records of 16 + 100 bytes.
load_records() {
    awk -v n="$1" 'BEGIN { srand(7); for (i = 0; i < n; i++) { v = ""; for (j = 0; j < 10; j++) v = v sprintf("%010d", int(rand() * 1e10)); printf "key-%012d\t%s\n", i, v } }' >"$work/records.tsv"
    "${flotilla[@]}" load "$work/records.tsv" --endpoint "http://127.0.0.1:${http[0]}" 2>&1 | tail -n 1
    rm "$work/records.tsv"
}

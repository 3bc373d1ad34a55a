#!/usr/bin/env bash
# Puts known bugs back, one at a time, into a scratch copy, and runs the simulator until it fails: prints how many seeds
# each took. A bug that is not found is a hole in the simulator; a patch that no longer applies is mended with the code
# that it follows.
#
#   scripts/seeded-bugs.sh              all of tests/Flotilla.Simulation/bugs
#   scripts/seeded-bugs.sh 01 30        only those whose names begin so
#   scripts/seeded-bugs.sh --median 5 … from five ranges of 200 seeds each, and the median of what they took
#
# Seeds are tried from 1 on, or from where a patch says in a line above its first file, as those do whose bug needs slots
# that move: "Seeds from 10001". FLOTILLA_SEEDS=1..50 tries these with every patch.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
scratch=$root/artifacts/seeded-bugs
range_count=1
if [ "${1:-}" = --median ]; then
    range_count=$2
    shift 2
fi
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1

# The copy keeps its build output from one run to the next, so that only what a patch touches is compiled again.
mkdir -p "$scratch"
rm -rf "${scratch:?}/expected" && mkdir "$scratch/expected"
git ls-files -z --cached --others --exclude-standard -- src tests '*.props' '.editorconfig' global.json |
    while IFS= read -r -d '' file; do [ -f "$file" ] && printf '%s\0' "$file"; done |
    tar --null -T - -cf - | tar -xf - -C "$scratch/expected"
sync_copy() {
    (cd "$scratch/expected" && find . -type f -print0) | while IFS= read -r -d '' file; do
        if ! cmp -s "$scratch/expected/$file" "$scratch/tree/$file"; then
            mkdir -p "$(dirname "$scratch/tree/$file")"
            cp "$scratch/expected/$file" "$scratch/tree/$file"
        fi
    done
}

found=0 missed=0
for patch in "$root"/tests/Flotilla.Simulation/bugs/*.patch; do
    name=$(basename "$patch" .patch)
    if [ $# -gt 0 ]; then
        wanted=no
        for pick in "$@"; do
            [[ $name == "$pick"* ]] && wanted=yes
        done
        [ "$wanted" = yes ] || continue
    fi
    sync_copy
    if ! (cd "$scratch/tree" && patch -p1 -s --no-backup-if-mismatch <"$patch"); then
        echo "$name: the patch no longer applies"
        missed=$((missed + 1))
        find "$scratch/tree" -name '*.rej' -o -name '*.orig' | xargs -r rm -f
        continue
    fi
    if ! (cd "$scratch/tree" && dotnet build -c Release tests/Flotilla.Simulation -nologo -v quiet -p:TreatWarningsAsErrors=false </dev/null) >"$scratch/$name.log" 2>&1; then
        echo "$name: does not build ($scratch/$name.log)"
        missed=$((missed + 1))
        continue
    fi
    first=$(sed -nE 's/^Seeds from ([0-9]+)$/\1/p' "$patch")
    first=${first:-1}
    mapfile -t ranges < <(for ((i = 0; i < range_count; i++)); do echo "$((i * 1000 + first))..$((i * 1000 + first + 199))"; done)
    [ -z "${FLOTILLA_SEEDS:-}" ] || ranges=("$FLOTILLA_SEEDS")
    took=() reason=
    for range in "${ranges[@]}"; do
        if (cd "$scratch/tree" && dotnet exec tests/Flotilla.Simulation/bin/Release/net10.0/Flotilla.Simulation.dll "$range" --until-failure </dev/null) >"$scratch/$name.log" 2>&1; then
            took+=(none)
        else
            took+=("$(sed -nE '1s/^seed [0-9]+ \(after ([0-9]+)\).*/\1/p' "$scratch/$name.log")")
            [ -n "${took[-1]}" ] || took[-1]=crash
            reason=${reason:-$(head -n 1 "$scratch/$name.log" | cut -c1-160)}
        fi
    done
    # Words count as more than any number.
    median=$(printf '%s\n' "${took[@]}" | sed 's/[a-z].*/999999/' | sort -n | sed -n "$(((${#took[@]} + 1) / 2))p")
    if [ "$median" = 999999 ]; then
        echo "$name: NOT FOUND on the median of ${ranges[*]} (${took[*]}) $reason"
        missed=$((missed + 1))
    else
        echo "$name: found, median $median of ${took[*]}: $reason"
        found=$((found + 1))
    fi
done
echo "$found found, $missed not"
[ "$missed" -eq 0 ]

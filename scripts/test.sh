#!/usr/bin/env bash
# Runs everything: installs what the tests need, builds the solution once, and runs every test project, one after the
# other, so that suites which measure time or load both cores have the machine to themselves.
# The last line is always "N passed, N failed" over all suites; a suite that crashes or runs no test counts as a failure.
#
#   scripts/test.sh                     everything
#   scripts/test.sh Raft Storage        only tests/Flotilla.Raft.Tests and tests/Flotilla.Storage.Tests
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 DOTNET_SKIP_FIRST_TIME_EXPERIENCE=1 MSBUILDDISABLENODEREUSE=1 NO_COLOR=1
suite_limit_s=600
passed=0 failed=0

finish() {
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ] && exit 0
    exit 1
}

# A failure outside any test (no SDK, a build error) still ends with the summary line, and counts as one.
give_up() {
    echo "test.sh: $1" >&2
    failed=$((failed + 1))
    finish
}

# What tests need beyond the SDK: a command that succeeds where it is there, and Debian's package that brings it.
needs=(
    "/usr/bin/python3 -c 'import grpc'|python3-grpcio"
    "command -v strace|strace"
    "command -v ip|iproute2"
    "command -v unshare|util-linux"
    "command -v curl|curl"
    "command -v make|make"
)

install_needs() {
    local need missing=()
    for need in "${needs[@]}"; do
        bash -c "${need%|*}" >/dev/null 2>&1 || missing+=("${need#*|}")
    done
    [ ${#missing[@]} -eq 0 ] && return
    local sudo=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || give_up "missing: ${missing[*]}. Install them as root: apt-get install ${missing[*]}"
        sudo=(sudo -n)
    fi
    command -v apt-get >/dev/null || give_up "missing: ${missing[*]} (Debian's package names), and there is no apt-get to install them with"
    echo "installing ${missing[*]}"
    if ! { "${sudo[@]}" apt-get update -qq && "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}"; } </dev/null >artifacts/apt.log 2>&1; then
        tail -n 20 artifacts/apt.log >&2
        give_up "could not install ${missing[*]}. Install them by hand: apt-get install ${missing[*]}"
    fi
}

run_suite() {
    local name=$1 dll=$2 log=$3 started=$SECONDS code ran total bad
    echo "== $name"
    timeout --kill-after=10 "$suite_limit_s" dotnet exec "$dll" </dev/null 2>&1 | tee "$log"
    code=${PIPESTATUS[0]}
    # Both summaries that xunit.v3 can print: "Total: 5, Errors: 0, Failed: 0, …" and Microsoft.Testing.Platform's lines.
    total=$(sed -nE 's/^.*Total: ([0-9]+), Errors: ([0-9]+), Failed: ([0-9]+), Skipped: ([0-9]+).*$/\1 \2 \3 \4/p; s/^ *total: ([0-9]+).*$/\1/p' "$log" | tail -n 1)
    if [[ "$total" == *' '* ]]; then
        read -r total errors bad skipped <<<"$total"
        bad=$((bad + errors))
    else
        bad=$(sed -nE 's/^ *failed: ([0-9]+).*$/\1/p' "$log" | tail -n 1)
        skipped=$(sed -nE 's/^ *skipped: ([0-9]+).*$/\1/p' "$log" | tail -n 1)
    fi
    total=${total:-0} bad=${bad:-0} skipped=${skipped:-0}
    ran=$((total - skipped))
    if [ "$code" -eq 124 ] || [ "$code" -eq 137 ]; then
        echo "test.sh: $name did not end within $suite_limit_s s" >&2
        bad=$((bad + 1))
    elif [ "$ran" -le 0 ]; then
        echo "test.sh: $name ran no test (exit code $code): a suite without tests proves nothing" >&2
        bad=$((bad + 1))
    elif [ "$code" -ne 0 ] && [ "$bad" -eq 0 ]; then
        echo "test.sh: $name crashed with exit code $code" >&2
        bad=1
    fi
    [ "$ran" -gt "$bad" ] && passed=$((passed + ran - bad))
    failed=$((failed + bad))
    [ "$bad" -gt 0 ] && broken+=("$name")
    echo "-- $name: $((SECONDS - started)) s"
}

mkdir -p artifacts/tests
command -v dotnet >/dev/null || give_up "the .NET 10 SDK is missing: https://dotnet.microsoft.com/download/dotnet/10.0"
dotnet --version >/dev/null 2>&1 || give_up "no .NET SDK that global.json accepts: $(dotnet --list-sdks | tr '\n' ' ')"
install_needs

echo "building Flotilla.slnx"
started=$SECONDS
if ! dotnet build Flotilla.slnx -c Release -nologo -v quiet </dev/null >artifacts/build.log 2>&1; then
    grep -E 'error|Error' artifacts/build.log | sort -u | head -n 40 >&2
    give_up "the build failed (artifacts/build.log)"
fi
echo "built in $((SECONDS - started)) s"

broken=()
for project in tests/*.Tests/*.csproj; do
    name=$(basename "$project" .csproj)
    if [ $# -gt 0 ]; then
        wanted=no
        for pick in "$@"; do
            [ "$name" = "Flotilla.$pick.Tests" ] && wanted=yes
        done
        [ "$wanted" = yes ] || continue
    fi
    run_suite "$name" "tests/$name/bin/Release/net10.0/$name.dll" "artifacts/tests/$name.log"
done
[ ${#broken[@]} -eq 0 ] || echo "failed suites: ${broken[*]} (logs in artifacts/tests/)" >&2
[ $((passed + failed)) -gt 0 ] || give_up "no suite matches: $*"
finish

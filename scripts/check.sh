#!/usr/bin/env bash
# The quick check before a commit: style, build, fast tests; under a minute once built. Never changes the work tree.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 NO_COLOR=1
started=$SECONDS

# Layout rules by dotnet format; naming, usings and every other style rule are compiler warnings, and warnings are errors.
echo "== format"
dotnet format whitespace Flotilla.slnx --verify-no-changes --no-restore </dev/null ||
    { echo "check.sh: mend the layout with: dotnet format whitespace Flotilla.slnx" >&2; exit 1; }
for script in scripts/*.sh .ci/run flotilla; do
    [ ! -f "$script" ] || bash -n "$script"
done

echo "== build"
dotnet build Flotilla.slnx -c Release -nologo -v quiet </dev/null | { grep -E 'error|warning' | sort -u || true; }

# Suites that need seconds, not minutes; scripts/test.sh runs them all.
for name in Tidy Data Topology Raft Shards Wire Linearizability; do
    dll=tests/Flotilla.$name.Tests/bin/Release/net10.0/Flotilla.$name.Tests.dll
    [ -f "$dll" ] || continue
    echo "== Flotilla.$name.Tests"
    dotnet exec "$dll" </dev/null | tail -n 3
done
echo "check.sh: all good in $((SECONDS - started)) s"

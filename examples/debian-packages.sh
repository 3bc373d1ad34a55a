#!/usr/bin/env bash
# Prints Debian's package index as JSON lines, name -> description, for `flotilla load`:
#
#   examples/debian-packages.sh | ./flotilla load -
#   ./flotilla get bash
#   ./flotilla scan --prefix python3- --limit 10
#
# --prefix TEXT puts a text before each name. Needs apt-cache, so Debian or a child of it; an
# empty list is filled by `apt-get update`.
set -euo pipefail

prefix=
case ${1:-} in
    --prefix) prefix=${2?"--prefix needs a text"} ;;
    "") ;;
    *) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac

if ! command -v apt-cache > /dev/null; then
    echo "debian-packages.sh: there is no apt-cache here: this example needs Debian or a child of it" >&2
    exit 1
fi

# Bytes are taken as they are (LC_ALL=C), and what JSON doesn't allow in a text is written as it wants it.
apt-cache dumpavail | LC_ALL=C awk -v prefix="$prefix" '
    function text(s) {
        gsub(/\\/, "\\\\\\\\", s)
        gsub(/"/, "\\\"", s)
        gsub(/\t/, "\\t", s)
        gsub(/[\001-\037\177]/, " ", s)
        return "\"" s "\""
    }
    function flush() {
        if (name != "" && description != "") {
            print "{\"key\":" text(prefix name) ",\"value\":" text(description) "}"
            count++
        }
        name = description = ""
    }
    /^Package: /     { flush(); name = substr($0, 10) }
    /^Description: / { description = substr($0, 14) }
    END {
        flush()
        if (count == 0) {
            print "debian-packages.sh: the package index is empty: run apt-get update" > "/dev/stderr"
            exit 1
        }
    }'

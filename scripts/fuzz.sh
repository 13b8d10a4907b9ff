#!/usr/bin/env bash
# Runs every fuzz target of the repository, one after the other.
#
#   scripts/fuzz.sh [TIME]    how long each runs; default 10s
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

time=${1:-10s}
while IFS=: read -r file _ code; do
	name=${code#func }
	name=${name%%(*}
	printf '== %s in %s\n' "$name" "$(dirname "$file")"
	go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" "$(dirname "$file")" </dev/null
done < <(grep -rn --include='*_test.go' --exclude-dir=.cache '^func Fuzz[A-Z_0-9]' . | sort)

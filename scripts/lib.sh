# shellcheck shell=bash
# Sourced by the scripts beside it: where things are, how a step reports.

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=$root/.cache       # everything make installs or records; gitignored, removed by `make clean`
tools=$cache/bin         # what scripts/tools builds
counts=$cache/counts     # one file per step: "NAME: N passed, N failed, N skipped"
cd "$root"

# A command run by an npm or go step finds no terminal to ask on.
export CI=${CI:-} NO_UPDATE_NOTIFIER=1 NPM_CONFIG_FUND=false NPM_CONFIG_AUDIT=false

say() { printf '%s: %s\n' "${0##*/}" "$*"; }
die() { say "$*" >&2; exit 1; }

# The directories with npm tests of their own.
# shellcheck disable=SC2034 # used by scripts/deps
suites=(conformance cmd/weir/internal/demo/pagetest)

# browser prints the path of a Chromium: the caller's own choice in CHROMIUM, or what is installed; else nothing.
browser() {
  [[ -z ${CHROMIUM:-} ]] || { echo "$CHROMIUM"; return; }
  command -v chromium || command -v chromium-browser || command -v google-chrome || true
}

# record STEP PASSED FAILED SKIPPED keeps a step's test counts for the end of `make test`.
record() {
  mkdir -p "$counts"
  printf '%s: %d passed, %d failed, %d skipped\n' "$@" >"$counts/$1"
}

# What all Go tests are, those that take longest first: they wait more than they compute, so the others run beside them.
# shellcheck disable=SC2034 # used by scripts/unit and scripts/race
everything=(./internal/systemtest ./cluster/... ./...)

# go_test STEP ARGS…: go test with ARGS; prints its closing line per package and every failure in full.
go_test() {
  local step=$1 json=$cache/$1.json status=0
  shift
  mkdir -p "$cache"
  "$tools/gotestsum" --format standard-quiet --hide-summary skipped --jsonfile "$json" -- "$@" || status=$?
  record "$step" "$(outcomes pass "$json")" "$(outcomes fail "$json")" "$(outcomes skip "$json")"
  cat "$counts/$step"
  return "$status"
}

# outcomes ACTION FILE counts the tests (subtests and fuzz seeds included) that ended so in a test2json file.
outcomes() { grep -c "\"Action\":\"$1\".*\"Test\":" "$2" || true; }

# npm_test STEP DIR: `npm test` in DIR; fails when no test ran.
npm_test() {
  local step=$1 log=$cache/$1.log status=0
  mkdir -p "$cache"
  (cd "$2" && npm test --silent </dev/null) 2>&1 | tee "$log" || status=$?
  record "$step" "$(summary pass "$log")" "$(summary fail "$log")" "$(summary skipped "$log")"
  cat "$counts/$step"
  ((status == 0)) || return "$status"
  (($(summary tests "$log") > 0)) || die "$2: npm test ran no test"
}

# summary FIELD FILE reads one figure of node's closing lines ("# pass 12" or "ℹ pass 12").
summary() { sed -nE "s/^[^a-z0-9]* ?$1 ([0-9]+)\$/\\1/p" "$2" | tail -n 1 | grep . || echo 0; }

#!/bin/sh
# Makes `.venv` ready for what is named: any of base, viz, data, test, lint, bench; or `.venv-bench` for
# `rivals`, named alone. Quick when there is nothing to do.
# PYTHON=... and CXX=... choose the interpreter and the compiler.

set -u
cd "$(dirname "$0")/.." || exit 1

venv=.venv
[ "${1:-}" = rivals ] && venv=.venv-bench

# Nothing changed since the last time: the environment's own Python says so.
if [ -z "${PYTHON:-}" ] && [ -x $venv/bin/python ] &&
    $venv/bin/python -E tools/environment.py --is-ready "$@" 2> /dev/null; then
    exit 0
fi

# Only steps that compile need a compiler; `lint` or `rivals` alone does without.
needs=--python-only
for part in "$@"; do
    case $part in lint | rivals) ;; *) needs= ;; esac
done
found=$(sh tools/check.sh $needs) || exit $?
python=$(printf '%s\n' "$found" | sed -n 1p)
cxx=$(printf '%s\n' "$found" | sed -n 2p)
[ -n "$cxx" ] && export CXX="$cxx"
exec "$python" -E tools/environment.py "$@"

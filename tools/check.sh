#!/bin/sh
# Looks for what striate needs to be built: Python 3.11+ with venv and headers, make, a C++20 compiler.
# Finds all of it: prints the Python to use, then the compiler, one a line. Otherwise says on stderr everything that is
# missing and how to install it, and leaves with 1. `--python-only` leaves the compiler, the headers and make out.
# PYTHON=... and CXX=... name the ones to use. Needs no working Python itself.

set -u
only_python=no
[ "${1:-}" = "--python-only" ] && only_python=yes

problems=""
apt=""
dnf=""
brew=""
xcode=""

problem() { # text, apt packages, dnf packages, brew packages
    problems="$problems
  - $1"
    apt="$apt $2"
    dnf="$dnf $3"
    brew="$brew $4"
}

scratch=$(mktemp -d "${TMPDIR:-/tmp}/striate-check.XXXXXX") || exit 1
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# One line per fact: a shim on the PATH that cannot start says nothing and is passed over.
cat > "$scratch/facts.py" <<'PYTHON'
import os, sys
if sys.version_info >= (3, 11):
    import sysconfig
    include = sysconfig.get_path("include")
    print(sys.executable)
    print("%d.%d" % sys.version_info[:2])
    try:
        import ensurepip, venv
        print("venv")
    except ImportError:
        print("no-venv")
    print("headers" if os.path.exists(os.path.join(include, "Python.h")) else "no-headers")
PYTHON

line() { sed -n "$1p" "$scratch/facts"; }

# The first Python that is complete wins; failing that, the first that is new enough, so that its gaps can be named.
python=""
find_python() {
    if [ -n "${PYTHON:-}" ]; then set -- "$PYTHON"; else set -- python3.13 python3.12 python3.11 python3 python; fi
    for candidate in "$@"; do
        command -v "$candidate" > /dev/null 2>&1 || continue
        "$candidate" "$scratch/facts.py" > "$scratch/facts.new" 2> /dev/null < /dev/null || continue
        [ -s "$scratch/facts.new" ] || continue
        if ! grep -q '^no-' "$scratch/facts.new"; then
            mv "$scratch/facts.new" "$scratch/facts"
            break
        fi
        [ -s "$scratch/facts" ] || mv "$scratch/facts.new" "$scratch/facts"
    done
    [ -s "$scratch/facts" ] && python=$(line 1)
}

check_python() {
    find_python
    if [ -z "$python" ]; then
        if [ -n "${PYTHON:-}" ]; then
            found="PYTHON=$PYTHON is not a Python 3.11 or newer that runs"
        else
            found="Python 3.11 or newer (looked for python3.13, python3.12, python3.11, python3 and python)"
        fi
        problem "$found" "python3 python3-venv python3-dev" "python3 python3-devel" "python"
        return
    fi
    version=$(line 2)
    # The distribution's own python3 has packages without a minor version; another one beside it names its version.
    name="python$version"
    case $(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2> /dev/null) in
        "$version") name="python3" ;;
    esac
    if [ "$(line 3)" = "no-venv" ]; then
        problem "the venv module of Python $version ($python)" "$name-venv" "$name" "python@$version"
    fi
    if [ "$only_python" = no ] && [ "$(line 4)" = "no-headers" ]; then
        problem "the headers of Python $version (Python.h for $python)" "$name-dev" "$name-devel" "python@$version"
    fi
}

cat > "$scratch/probe.cpp" <<'CPP'
#include <concepts>
auto twice = []<std::integral T>(T x) { return x + x; };
int main() { return twice(21) == 42 ? 0 : 1; }
CPP

# CXX may hold a launcher and options ("ccache g++ -m64"), hence the unquoted $1.
# shellcheck disable=SC2086
compiles() {
    set -- $1
    command -v "$1" > /dev/null 2>&1 || return 1
    "$@" -std=c++20 "$scratch/probe.cpp" -o "$scratch/probe" > "$scratch/compiler.log" 2>&1
}

cxx=""
check_compiler() {
    if [ -n "${CXX:-}" ]; then
        if compiles "$CXX"; then
            cxx=$CXX
        else
            problem "CXX=$CXX does not compile a C++20 program (GCC 11, Clang 14 or Apple Clang 15 do)" "g++" "gcc-c++" ""
            xcode=yes
        fi
        return
    fi
    for candidate in c++ g++ clang++; do
        if compiles "$candidate"; then
            cxx=$candidate
            return
        fi
    done
    problem "a C++20 compiler (tried c++, g++ and clang++; GCC 11, Clang 14, Apple Clang 15 or newer)" "g++" "gcc-c++" ""
    xcode=yes
}

check_make() {
    command -v make > /dev/null 2>&1 || { problem "make" "make" "make" ""; xcode=yes; }
}

# Each word once, in order.
unique() { printf '%s\n' "$1" | tr ' ' '\n' | awk 'NF && !seen[$0]++' | tr '\n' ' ' | sed 's/ $//'; }

report() {
    {
        echo "striate needs, and does not find here:$problems"
        echo
        echo "To install it:"
        echo "  Debian, Ubuntu:  sudo apt install $(unique "$apt")"
        echo "  Fedora:          sudo dnf install $(unique "$dnf")"
        mac=""
        [ -n "$xcode" ] && mac="xcode-select --install"
        if [ -n "$(unique "$brew")" ]; then
            [ -n "$mac" ] && mac="$mac; "
            mac="${mac}brew install $(unique "$brew")"
        fi
        echo "  macOS:           $mac"
        echo
        echo "Then run the same command again. Another Python or compiler: make ... PYTHON=/path/to/python3 CXX=/path/to/c++"
    } >&2
    exit 1
}

check_python
if [ "$only_python" = no ]; then
    check_compiler
    check_make
fi
[ -n "$problems" ] && report
printf '%s\n%s\n' "$python" "$cxx"

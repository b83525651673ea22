#!/bin/sh
# Writes the linker's list of the shared library's public symbols: those of namespace mica whose class, function or inner
# namespace a public header names (a declaration without a body names nothing yet). All else stays inside.
#   exported_symbols.sh NM ARCHIVE OUTPUT HEADER...
set -eu
export LC_ALL=C
nm=$1 archive=$2 output=$3
shift 3

# Names of inner namespaces that public headers mention in another sense (the device called cpu).
internal=' cpu '

{
  cat "$@" | sed -E -e 's://.*::' -e '/^ *(friend )?(class|struct) [A-Za-z_]+;/d' | grep -oE '[A-Za-z_][A-Za-z0-9_]*' | sort -u
  echo '--'
  "$nm" --extern-only --defined-only --format=posix "$archive" | cut -d ' ' -f 1 | grep -E '^_Z.*4mica' | sort -u
} | awk -v internal="$internal" '
  BEGIN { print "{\n  global:" }
  !symbols && $0 == "--" { symbols = 1; next }
  !symbols { named[$0] = 1; next }
  # Functions and data, virtual tables, type information, thunks, and variables that live in functions.
  match($0, /^_Z(TV|TI|TS|TT|Thn?[0-9]+_|Tv0_n?[0-9]+_|GVZ|GV|Z)?N[KVRO]*4mica/) {
    rest = substr($0, RLENGTH + 1)
    if (rest ~ /^[a-z]/) { print "    " $0 ";"; next }  # an operator
    if (!match(rest, /^[0-9]+/)) next
    name = substr(rest, RLENGTH + 1, substr(rest, 1, RLENGTH) + 0)
    if (substr(rest, RLENGTH + 1 + length(name)) ~ /^4Impl/) next  # what a handle hides
    if ((name in named) && !index(internal, " " name " ")) print "    " $0 ";"
  }
  END { print "  local:\n    *;\n};" }
' >"$output.part"
mv "$output.part" "$output"

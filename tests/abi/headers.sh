#!/bin/sh
# headers.sh INCLUDE_DIR HEADER COMPILER FLAG...: the header compiles alone, without a warning.
set -eu
include=$1 header=$2 compiler=$3
shift 3
printf '#include <weir/%s>\n#include <weir/%s>\n' "$header" "$header" |
    "$compiler" "$@" -I"$include" -Wall -Wextra -Wpedantic -Werror -fsyntax-only -

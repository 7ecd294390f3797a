#!/bin/sh
# outside.sh CMAKE BUILD_DIR OUTSIDE_DIR RUNNER COMPILER FLAGS
#
# Installs the SDK of BUILD_DIR to a fresh prefix, builds the plugin of OUTSIDE_DIR against nothing
# but that, installs it, and runs it through the loader.
set -eu
cmake=$1 build=$2 outside=$3 runner=$4 compiler=$5 flags=$6
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
prefix=$work/prefix

quietly() {
    "$@" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
}
quietly "$cmake" --install "$build" --prefix "$prefix" --component sdk
cp -R "$outside" "$work/source"
quietly "$cmake" -S "$work/source" -B "$work/build" -DCMAKE_PREFIX_PATH="$prefix" \
    -DCMAKE_C_COMPILER="$compiler" -DCMAKE_C_FLAGS="-Wall -Wextra -Werror $flags" \
    -DCMAKE_BUILD_TYPE=Release
quietly "$cmake" --build "$work/build"
quietly "$cmake" --install "$work/build" --prefix "$prefix"

plugin=$(find "$prefix" -name tally.so)
sidecar=${plugin%.so}.plugin.json
expected=$(sha256sum "$plugin" | cut -d' ' -f1)
grep -q "\"sha256\": \"$expected\"" "$sidecar" ||
    { echo "$sidecar does not hold the hash of the installed file"; exit 1; }
test -f "$work/build/docs/options/tally.md" || { echo "no options page"; exit 1; }
symbols=$(nm -D --defined-only "$plugin" | awk '{print $3}')
test "$symbols" = weir_plugin_entry_1 || { echo "exports: $symbols"; exit 1; }
"$runner" "$plugin"

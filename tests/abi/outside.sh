#!/bin/sh
# outside.sh CMAKE BUILD_DIR OUTSIDE_DIR RUNNER COMPILER FLAGS sdk|all
#
# Installs BUILD_DIR to a fresh prefix (its SDK only, or all of it), builds the plugin of OUTSIDE_DIR
# against nothing but that, installs it, and runs it through the loader; with "all" in a pipeline of
# the installed program, too.
set -eu
cmake=$1 build=$2 outside=$3 runner=$4 compiler=$5 flags=$6 what=$7
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
prefix=$work/prefix

quietly() {
    "$@" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
}
if [ "$what" = all ]; then
    quietly "$cmake" --install "$build" --prefix "$prefix"
else
    quietly "$cmake" --install "$build" --prefix "$prefix" --component sdk
fi
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

[ "$what" = all ] || exit 0
cat >"$work/pipeline.yaml" <<'YAML'
weir: 1
name: outside
sources:
  numbers: {type: generator, shape: ticker, count: 1000}
sinks:
  sum: {type: tally, input: numbers, member: price}
YAML
unset WEIR_PLUGIN_PATH
test -f "$(dirname "$plugin")/cloud.so" || { echo "no plugin with the AWS layer"; exit 1; }
export WEIR_STATE="$work/state" HOME="$work" XDG_DATA_HOME="$work/data"
"$prefix/bin/weir" plugins inspect cloud >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
grep -q "credentials.secret_access_key: secret" "$work/log" || { cat "$work/log"; exit 1; }
quietly "$prefix/bin/weir" run --once "$work/pipeline.yaml"
grep -q "1,000 records in, 1,000 out, 0 failed" "$work/log" || { cat "$work/log"; exit 1; }
echo "and takes 1,000 records of a pipeline"

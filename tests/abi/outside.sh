#!/bin/sh
# outside.sh CMAKE BUILD_DIR OUTSIDE_DIR RUNNER COMPILER FLAGS sdk|all
#
# Installs BUILD_DIR to a fresh prefix (its SDK only, or all of it), builds the plugin of OUTSIDE_DIR
# against nothing but that, installs it, and runs it through the loader. With "all" also in a pipeline
# of the installed program, and then the same with the installed example of docs/guide/aws.md, which
# has to read from weir-local.
set -eu
cmake=$1 build=$2 outside=$3 runner=$4 compiler=$5 flags=$6 what=$7
work=$(mktemp -d)
local_pid=
finish() {
    [ -z "$local_pid" ] || kill "$local_pid"
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' INT TERM
prefix=$work/prefix

quietly() {
    "$@" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
}
if [ "$what" = all ]; then
    quietly "$cmake" --install "$build" --prefix "$prefix"
else
    quietly "$cmake" --install "$build" --prefix "$prefix" --component sdk
fi
# build_plugins SOURCE NAME: as their author would, into the same prefix.
build_plugins() {
    cp -R "$1" "$work/$2-source"
    quietly "$cmake" -S "$work/$2-source" -B "$work/$2" -DCMAKE_PREFIX_PATH="$prefix" \
        -DCMAKE_C_COMPILER="$compiler" -DCMAKE_C_FLAGS="-Wall -Wextra -Werror $flags" \
        -DCMAKE_BUILD_TYPE=Release
    quietly "$cmake" --build "$work/$2"
    quietly "$cmake" --install "$work/$2" --prefix "$prefix"
}
build_plugins "$outside" build

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

# ---- the example ----
for file in LICENSE README.md examples/ticks.yaml; do
    test -f "$prefix/share/doc/weir/$file" || { echo "share/doc/weir/$file is not installed"; exit 1; }
done
build_plugins "$prefix/share/doc/weir/examples/plugins/kinesis-streams" example
"$prefix/bin/weir-local" --port-file "$work/port" --stream orders:1 --stream clicks:1 \
    --stream views:1 >"$work/local.log" 2>&1 &
local_pid=$!
until [ -s "$work/port" ]; do
    kill -0 "$local_pid" || { cat "$work/local.log"; exit 1; }
    sleep 0.05
done
AWS_ENDPOINT_URL=http://127.0.0.1:$(cat "$work/port")
export AWS_ENDPOINT_URL AWS_REGION=us-east-1 AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=secret
cat >"$work/names.yaml" <<YAML
weir: 1
name: names
settings: {restart: {strategy: none}}
sources:
  names: {type: kinesis_streams, page: 2}
sinks:
  out: {type: file, input: names, path: $work/names.txt}
YAML
fault() {
    quietly curl -sS --fail-with-body -d "{\"rules\": [$1]}" "$AWS_ENDPOINT_URL/_weir/faults"
}
# Two pages, and a failure that is tried again.
fault '{"operation": "ListStreams", "count": 1, "status": 503, "exception": "ServiceUnavailable"}'
quietly "$prefix/bin/weir" run --once "$work/names.yaml"
names=$(cat "$work"/names*.txt | tr '\n' ' ')
test "$names" = "clicks orders views " || { cat "$work/log"; echo "names: $names"; exit 1; }
# A refusal has the service's words.
fault '{"operation": "ListStreams", "exception": "AccessDeniedException", "message": "not you"}'
status=0
"$prefix/bin/weir" run --once --from none "$work/names.yaml" >"$work/log" 2>&1 || status=$?
test "$status" = 1 && grep -q "cannot list the streams: AccessDeniedException: not you" "$work/log" ||
    { cat "$work/log"; echo "exit status $status"; exit 1; }
# No answer comes: poll returns by its deadline all the same, so a checkpoint is taken and the run
# ends in order, long before the call would give up.
fault '{"operation": "ListStreams", "latency_ms": 300000}'
quietly timeout 25 "$prefix/bin/weir" run --for 1s --from none "$work/names.yaml"
grep -q "0 records in" "$work/log" || { cat "$work/log"; exit 1; }
echo "and the example lists the streams of weir-local"

#!/usr/bin/env bash
# Every directed configuration with all rules on: what a mutation is caught by must not be there
# without it. sweep.sh SIM COUNT [FROM]
set -euo pipefail
sim=$1 count=$2 from=${3:-0}
status=0
while IFS= read -r config; do
    "$sim" --from "$from" --count "$count" --config "$config" || {
        echo "in configuration: $config"
        status=1
    }
done < <("$sim" --configurations)
exit $status

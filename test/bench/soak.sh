#!/bin/sh
# soak.sh [MINUTES [FOLDER [CONFIG]...]]: watches a node's collector for long (60 minutes) on a node of 200 containers and 5,000
# processes, where processes, containers, connections and names come and go, and tells what grows. FOLDER keeps logs, samples and heap
# profiles. CONFIGs are added to the configuration. Needs root, gcc, and what `make build` made.
#
# What has a bound must have reached it in the first half. An entity is remembered for 10 minutes and a finding for an hour: for a shorter
# soak, 'yaml:processors::correlation: {entity_ttl: 2m, max_findings: 300}'.
set -eu
minutes=${1:-60} folder=${2:-}
[ $# -lt 1 ] || shift
[ $# -lt 1 ] || shift
exec "$(dirname "$0")/node.sh" -soak "${minutes}m" -out "$folder" "$@"

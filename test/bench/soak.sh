#!/bin/sh
# soak.sh [MINUTES [FOLDER [CONFIG]...]]: watches a node's collector for long (60 minutes) on a node of 200 containers and 5,000
# processes, where processes, containers, connections and names come and go, and tells what grows. FOLDER keeps logs, samples and heap
# profiles. CONFIGs are added to the configuration. Needs root, gcc, and what `make build` made.
#
# What has a bound must have reached it in the first half. A finding that is over is kept for an hour, so that a soak with what is default
# takes two and a half; for one of an hour, 'yaml:processors::correlation: {retention: 15m}' 'yaml:exporters::findings: {retention: 15m}'.
set -eu
minutes=${1:-60} folder=${2:-}
[ $# -lt 1 ] || shift
[ $# -lt 1 ] || shift
exec "$(dirname "$0")/node.sh" -soak "${minutes}m" -out "$folder" "$@"

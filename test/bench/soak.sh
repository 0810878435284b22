#!/bin/sh
# soak.sh [MINUTES [FOLDER]]: watches a node's collector for long (60 minutes) on a node of 200 containers and 5,000 processes, where
# processes, containers, connections and names come and go, and tells what grows. FOLDER keeps logs, samples and heap profiles.
# Needs root, gcc, and what `make build` made.
set -eu
cd "$(dirname "$0")/../.."
test/bench/node.sh -soak "${1:-60}m" -out "${2:-}"

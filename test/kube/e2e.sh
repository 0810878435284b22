#!/bin/sh
# e2e.sh runs the tests that need a real node (root): a kubelet and containerd in namespaces of their own. `make e2e` builds the
# programs first; arguments are those of the test binary.
set -eu
cd "$(dirname "$0")"
TAPIO_KUBE_BINARY=$(./build.sh)
export TAPIO_KUBE_BINARY
CGO_ENABLED=0 go build -o ../../bin/ ../workload
go test -c -o ../../bin/kube.test .
exec ./node.sh ../../bin/kube.test -test.run '^TestNode$' -test.timeout 10m "$@"

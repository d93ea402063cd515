#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# Gets the test peers that Debian does not have into build/peers: gRPC clients for Node.js,
# buf and otplib (npm), a gRPC client in Go (built from tests/peers/go), the Go programs below, and
# mongo-java-server, which speaks MongoDB's protocol (Maven, tests/peers/mongo). And promtool and nginx
# out of Debian's packages, which are not installed: those would start services. A part that cannot
# be had is left out, its tests are skipped then. With arguments: only those of the Go programs.
set -uo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
peers=$top/build/peers # one for all builds
patience=300 # seconds for one part
# Name in build/peers, and the package. All but connectconformance build with Debian's Go.
declare -A programs=(
    [mailpit]=github.com/axllent/mailpit@v1.27.11
    [connectconformance]=connectrpc.com/conformance/cmd/connectconformance@v1.0.5
    [grpcurl]=github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.8.9
    [grpc-health-probe]=github.com/grpc-ecosystem/grpc-health-probe@v0.4.19
    [interop-client]=google.golang.org/grpc/interop/client@v1.62.2
    [h2spec]=github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible
    [ghz]=github.com/bojand/ghz/cmd/ghz@v0.117.0
)

mkdir -p "$peers/node"
log=$(mktemp)
trap 'rm -f "$log"' EXIT

skipped() { echo "skipped: $1"; }
# What a tool said last before it spoke of its own log.
last_words() { grep -v -e '^[[:space:]]*$' -e '[Ll]og' "$log" | tail -n 1 | cut -c 1-160; }
# Maven says what it is first, and then how to ask it for more.
first_error() { sed -n '/\[ERROR\]/ { s/.*\[ERROR\] //p; q }' "$log" | cut -c 1-160; }

node_peers() {
    local package=$top/tests/peers/node/package.json
    if ! command -v npm >/dev/null || ! command -v node >/dev/null; then
        skipped "node: there is no npm"
        return
    fi
    # The copy of package.json is made last: it says that everything of it is there.
    cmp -s "$package" "$peers/node/installed.json" && return
    cp "$package" "$peers/node/package.json"
    if (cd "$peers/node" && timeout "$patience" npm install --no-audit --no-fund --ignore-scripts \
        --no-package-lock) >"$log" 2>&1; then
        cp "$package" "$peers/node/installed.json"
    else
        skipped "node: npm install: $(last_words)"
    fi
}

go_peer() {
    local source=$top/tests/peers/go
    if ! command -v go >/dev/null; then
        skipped "go: there is no go"
        return
    fi
    if [ ! -f "$source/go.mod" ]; then
        skipped "go: there is no tests/peers/go"
        return
    fi
    # The Go that is here, not one that go.mod could make it download.
    (cd "$source" && GOTOOLCHAIN=local timeout "$patience" go build -buildvcs=false -o "$peers/go-peer" .) \
        >"$log" 2>&1 || skipped "go: go build: $(last_words)"
}

# The file with the version is made last: it says that the program is that one. Each program is
# built with the Go that is here, and is left out when that is too old for it.
go_program() {
    local name=$1 package=${programs[$1]} fresh
    command -v go >/dev/null || return 0 # said already
    [ -x "$peers/$name" ] && [ "$(cat "$peers/$name.version" 2>/dev/null)" = "$package" ] && return
    fresh=$(mktemp -d)
    if GOTOOLCHAIN=local GOBIN=$fresh timeout "$patience" go install "$package" >"$log" 2>&1; then
        mv "$fresh"/* "$peers/$name"
        echo "$package" >"$peers/$name.version"
    else
        skipped "$name: go install: $(last_words)"
    fi
    rm -rf "$fresh"
}

mongo_server() {
    local source=$top/tests/peers/mongo mongo=$peers/mongo part
    for part in mvn javac java; do
        command -v "$part" >/dev/null || { skipped "mongo: there is no $part"; return; }
    done
    # The stamp is made last: it says that all of these sources is there.
    cat "$source/pom.xml" "$source/Launcher.java" | cmp -s - "$mongo/installed" && return
    rm -rf "$mongo"
    mkdir -p "$mongo/target"
    cp "$source/pom.xml" "$mongo/target/pom.xml" # Maven writes beside it
    if ! (cd "$mongo/target" && timeout "$patience" mvn -B -q -Dstyle.color=never dependency:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$mongo/lib") >"$log" 2>&1; then
        skipped "mongo: mvn: $(first_error)"
    elif ! javac -cp "$mongo/lib/*" -d "$mongo" "$source/Launcher.java" >"$log" 2>&1; then
        skipped "mongo: javac: $(last_words)"
    else
        cat "$source/pom.xml" "$source/Launcher.java" >"$mongo/installed"
    fi
}

# PACKAGE PROGRAM: the program out of a package that is not installed.
unpacked() {
    local package=$1 program=$2 name=${2##*/} folder
    [ -f "$peers/$name" ] && return
    if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
        skipped "$name: this is no Debian"
        return
    fi
    folder=$(mktemp -d)
    if (cd "$folder" && timeout "$patience" apt-get -qq download "$package" &&
        dpkg-deb --fsys-tarfile "$package"_*.deb | tar -x "./$program") >"$log" 2>&1; then
        mv "$folder/$program" "$peers/$name"
    else
        skipped "$name: apt-get download $package: $(last_words)"
    fi
    rm -rf "$folder"
}

if [ $# -gt 0 ]; then
    command -v go >/dev/null || skipped "$*: there is no go"
    for name; do go_program "$name"; done
    exit
fi
node_peers
go_peer
for name in "${!programs[@]}"; do go_program "$name"; done
mongo_server
unpacked prometheus usr/bin/promtool
unpacked nginx usr/sbin/nginx

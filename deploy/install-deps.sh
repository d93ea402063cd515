#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# Installs the Debian 12 packages that building (build) or testing (test, with those of
# building) needs and that are not there yet. Quick and silent when nothing is missing.
set -euo pipefail

build=(gcc make pkg-config libc6-dev
    libprotobuf-c-dev protobuf-c-compiler protobuf-compiler libprotobuf-dev
    libevent-dev libsodium-dev libqrencode-dev libnghttp2-dev libssl-dev libsqlite3-dev libmongoc-dev
    libpng-dev zlib1g-dev libconfuse-dev libjansson-dev libcurl4-openssl-dev libseccomp-dev)
test=(libcmocka-dev
    python3 python3-pytest python3-grpcio python3-protobuf protobuf-compiler-grpc
    python3-h2 python3-pyotp python3-aiosmtpd oathtool zbar-tools librsvg2-bin
    python3-bson python3-pymongo python3-yaml python3-prometheus-client
    grpc-proto nghttp2-client strace bubblewrap procps gdb sqlite3 faketime openssl
    clang libclang-rt-14-dev clang-format shellcheck universal-ctags)

has() { command -v "$1" >/dev/null 2>&1; }

case "${1:-build}" in
build)
    wanted=("${build[@]}")
    ;;
test)
    wanted=("${build[@]}" "${test[@]}")
    # A Node.js, Go or Java from elsewhere does as well, and Debian's may not stand beside it.
    { has node && has npm; } || wanted+=(nodejs npm)
    has go || wanted+=(golang-go)
    { has java && has javac; } || wanted+=(openjdk-17-jdk-headless)
    has mvn || wanted+=(maven)
    ;;
*)
    echo "usage: $0 [build|test]" >&2
    exit 64
    ;;
esac

if ! has dpkg-query || ! has apt-get; then
    echo "$0: this is no Debian; what is needed goes by these names there: ${wanted[*]}" >&2
    exit 0
fi

declare -A installed
# shellcheck disable=SC2016 # the format is dpkg-query's
while read -r status package; do
    [ "$status" != installed ] || installed[$package]=1
done < <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null || true)

missing=()
for package in "${wanted[@]}"; do
    [ -n "${installed[$package]:-}" ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! has sudo; then
        echo "$0: not root and no sudo here; as root, run: apt-get install ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
fi

echo "installing: ${missing[*]}"
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0)
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends "${missing[@]}"; } \
    >"$log" 2>&1; then
    cat "$log" >&2
    echo "$0: apt-get failed, see above" >&2
    exit 1
fi

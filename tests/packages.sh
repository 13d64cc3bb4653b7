#!/bin/sh
# Prints the Debian packages given as arguments that are missing and installs them (as root, or through sudo). Quiet when all are there.
set -eu
missing=
for package in "$@"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
echo "weir needs these Debian packages, installing them now:$missing"
run=
[ "$(id -u)" -eq 0 ] || run=sudo
# A server package must not start a server of its own on this machine: tests start theirs on ports of their own.
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
$run env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 update -q >/dev/null
# shellcheck disable=SC2086
$run env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -q --no-install-recommends $missing >/dev/null

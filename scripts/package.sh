#!/usr/bin/env bash
# package.sh [BUILD_DIR]: makes the Debian package in build/package.
#
# Prints the name of the file. Without BUILD_DIR, a finished build whose program
# it takes, it builds the release preset first. Installs nothing but what the
# build needs.

set -eu
. "$(dirname "$0")/lib.sh"

case ${1:-} in
--help) help_text && exit ;;
-*) usage_error "unknown option '$1'" ;;
esac
[ $# -le 1 ] || usage_error "one BUILD_DIR at most"

build=${1:-$top/build/release}
to=$top/build/package
has dpkg-shlibdeps || "$top/scripts/setup.sh" package
if [ $# = 0 ]; then
    "$top/scripts/setup.sh" build
    (cd "$top" && cmake --preset release && cmake --build --preset release) >&2
fi
[ -e "$build/CPackConfig.cmake" ] || die "$build: no build of ours"

rm -rf "$to"
mkdir -p "$to"
cpack -G DEB --config "$build/CPackConfig.cmake" -B "$to" >&2 ||
    die "cpack failed"
rm -rf "$to/_CPack_Packages"
printf '%s\n' "$to"/*.deb

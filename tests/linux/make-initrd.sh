#!/usr/bin/env bash
# make-initrd.sh FILE: the initramfs of the Linux guests, for every kernel that
# the lab has. busybox, guest-init.sh, and the modules that it loads.

set -eu
. "$(dirname "$0")/../../scripts/lib.sh"

[ $# = 1 ] || usage_error "no file given"
busybox=$(command -v busybox) || skip "busybox-static is missing"
root=$(mktemp -d "${TMPDIR:-/tmp}/axvm-initrd.XXXXXX")
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{bin,dev,proc,sys,lib/modules}
cp "$busybox" "$root/bin/busybox"
cp "$top/tests/linux/guest-init.sh" "$root/init"
chmod +x "$root/init"
for kernel in "$lab_cache"/{cloud,generic}-*; do
    [ -e "$kernel/release" ] || continue
    modules=$root/lib/modules/$(cat "$kernel/release")
    mkdir -p "$modules"
    for module in pvpanic pvpanic-mmio button evdev; do
        [ ! -e "$kernel/modules/$module.ko" ] ||
            cp "$kernel/modules/$module.ko" "$modules/"
    done
done
(cd "$root" && find . -print0 | cpio --null -o -H newc -R 0:0 --quiet) >"$1"

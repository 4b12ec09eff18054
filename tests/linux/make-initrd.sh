#!/usr/bin/env bash
# make-initrd.sh [--virtio] FILE [PROGRAM...]: the initramfs of the Linux guests,
# for every kernel that the lab has. busybox, guest-init.sh, the modules that it
# loads, and the programs, which are static. --virtio: the other guest-*.sh as
# well, and all modules of virtio.

set -eu
. "$(dirname "$0")/../../scripts/lib.sh"

virtio=
[ "${1:-}" != --virtio ] || { virtio=1 && shift; }
[ $# -ge 1 ] || usage_error "no file given"
out=$1
shift
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
    [ -z "$virtio" ] || cp -r "$kernel/tree/lib/modules/." "$root/lib/modules/"
done
if [ "$virtio" ]; then
    cp "$top"/tests/linux/guest-*.sh "$root/"
    rm "$root/guest-init.sh"
    mv "$root/guest-virtio.sh" "$root/virtio.sh"
fi
for program; do
    cp "$program" "$root/bin/"
done
(cd "$root" && find . -print0 | cpio --null -o -H newc -R 0:0 --quiet) >"$out"

# shellcheck shell=bash disable=SC2154,SC2034
# virtio-parts.sh - what run.sh --virtio takes along into the lab and into its
# guests. Read by run.sh alone, which has $work, $here and the arrays initrd and
# options.

# A program at the ends of sockets, for both sides.
"${CC:-cc}" -O2 -static -Wall -Wextra -Werror -o "$work/peer" "$here/peer.c" ||
    die "the lab's peer does not compile"
initrd=(--virtio "$work/initrd" "$work/peer")
limit=120 # seconds of a guest, as a loaded machine may take that long
options+=(--memory 2048 --timeout 400 --file "$work/peer")
for cases in virtio vsock share pci; do # those about the network need more
    options+=(--file "$here/$cases-cases.sh")
done

# A file system to lose power on, and the program that looks for damage.
truncate -s 64M "$work/disk.img"
PATH=$PATH:/usr/sbin mke2fs -q -F -t ext4 "$work/disk.img"
options+=(--file "$work/disk.img")
take_tool() {
    mkdir -p "$2/lib"
    cp -L "$(PATH=$PATH:/usr/sbin command -v "$1")" "$2/$1"
    ldd "$2/$1" | grep -o '/[^ ]*' | while IFS= read -r library; do
        cp -L "$library" "$2/lib/"
    done
}
take_tool e2fsck "$work/tools"
options+=(--file "$work/tools")

# fio brings so many libraries that a disk takes them into the guest.
case "$* " in
*-disk-fio\ *)
    has fio || skip "fio is missing"
    take_tool fio "$work/fio"
    truncate -s 160M "$work/fio.img"
    PATH=$PATH:/usr/sbin mke2fs -q -F -t ext4 -O ^has_journal -d "$work/fio" \
        "$work/fio.img"
    options+=(--file "$work/fio.img")
    ;;
esac

# The modules of the generic kernel, whose 9p the cloud kernel does not have.
for tree in "$lab_cache"/generic-*/tree/lib/modules/*; do
    [ ! -d "$tree" ] || options+=(--file "$tree=modules")
done

# For vhost: modules of the lab's own kernel.
lab_kernel=$("$top/scripts/lab-kernel.sh" cloud)
modules=lib/modules/$(cat "$lab_kernel/release")
options+=(--file "$lab_kernel/tree/$modules=/$modules")

case " $*" in
*-share*) . "$here/share-parts.sh" ;;
esac

# shellcheck shell=dash
# guest-share.sh - what a guest of share-cases.sh does. Read by guest-virtio.sh.

# Shares: one to work on, in each of Linux's ways to cache, and one to look at.
share() {
    mkdir -p "$2"
    mount -t 9p -o "trans=virtio,version=9p2000.L,msize=512000$3" "$1" "$2"
}
case_share() {
    for cache in none mmap loose; do
        share work /mnt ",cache=$cache" || return
        with=mmap
        [ $cache != none ] || with=
        files /mnt/$cache $with share 2>&1 | sed "s/^/ax: $cache /"
        echo "ax: $cache left $(ls -A /mnt/$cache)"
        umount /mnt
    done
    share work /mnt "" || return
    echo "ax: type $(stat -f -c %t /mnt)"
    echo "ax: sum $(md5sum </mnt/from-host)"
    dd if=/dev/urandom of=/mnt/from-guest bs=100k count=30 2>/dev/null
    echo "ax: sent $(md5sum </mnt/from-guest)"
    # Links lead where they lead in here.
    echo "ax: inner" >/etc-secret
    ln -s /etc-secret /mnt/absolute
    cat /mnt/absolute /mnt/../etc-secret | grep -c inner | sed 's/^/ax: inner /'
    { wc -c </mnt/upwards; } 2>/dev/null | sed 's/^/ax: outer /'
    umount /mnt
    share look /mnt "" || return
    touch /mnt/from-host /mnt/new 2>/dev/null && echo "ax: written"
    cmp /mnt/from-host /mnt/from-host && echo "ax: read"
    umount /mnt
}

# The host's tree as the root; what is to be built is in a share of its own.
case_share_build() {
    share root /root ",ro,cache=loose" || return
    share work /root/work ",cache=mmap" || return
    mount -t tmpfs tmp /root/tmp
    mount -o move /dev /root/dev
    mount -o move /proc /root/proc
    exec switch_root /root /bin/sh /build.sh
}

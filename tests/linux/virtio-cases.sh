# shellcheck shell=dash
# virtio-cases.sh - the cases of virtio.sh, which reads it.

rng() {
    echo | guest rng
    start
    finish
    [ "$(value rng)" = virtio_rng.0 ] || echo "no virtio-rng: $(value rng)"
    # What is random cannot be made smaller.
    value random | awk '$1 != 65536 || $2 < 65000 {print "not random: " $0}'
}

# What was synced is there when the process is killed; nothing is damaged.
disk_crash() {
    guest disk_write <<END
[[disk]]
path = "disk.img"
END
    start
    heard synced
    kill -9 "$(cat pid)"
    until [ -s status ]; do :; done
    sums=$(value sums)
    [ -n "$sums" ] || echo "no sums"
    guest disk_check <<END
[[disk]]
path = "disk.img"
cache = "none"
END
    start
    finish
    [ "$(value sums)" = "$sums" ] || echo "sums '$(value sums)', not '$sums'"
    [ "$(value good)" = 8 ] || echo "$(value good) of 8 files are good"
    tools/lib/ld-linux-x86-64.so.2 --library-path tools/lib tools/e2fsck -fn \
        disk.img >fsck 2>&1 || cat fsck
}

disk_two() {
    dd if=/dev/urandom of=second.img bs=4k count=100 2>/dev/null
    truncate -s 2M third.img
    before=$(md5sum <second.img)
    guest disk_two <<END
[[disk]]
path = "disk.img"
overlay = true
[[disk]]
path = "second.img"
readonly = true
serial = "second"
[[disk]]
path = "third.img"
END
    whole=$(md5sum <disk.img)
    start
    heard ready
    axvm disk resize linux 2 4M >/dev/null || echo "no resize"
    finish
    [ "$(said grown)" = 1 ] || echo "it does not grow"
    [ "$(value second)" = "$before" ] || echo "it reads '$(value second)'"
    [ "$(value readonly)" = 1 ] || echo "it can be written"
    [ "$(value serial)" = second ] || echo "serial '$(value serial)'"
    [ "$(said written)" = 0 ] || echo "it was written"
    [ "$(md5sum <second.img)" = "$before" ] || echo "a read-only image changed"
    [ "$(md5sum <disk.img)" = "$whole" ] || echo "an image below changed"
}

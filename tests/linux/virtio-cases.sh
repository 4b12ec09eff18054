# shellcheck shell=dash disable=SC2154
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
    before=$(md5sum <second.img)
    guest disk_two <<END
[[disk]]
path = "disk.img"
overlay = true
[[disk]]
path = "second.img"
readonly = true
serial = "second"
END
    whole=$(md5sum <disk.img)
    start
    finish
    [ "$(value second)" = "$before" ] || echo "it reads '$(value second)'"
    [ "$(value readonly)" = 1 ] || echo "it can be written"
    [ "$(value serial)" = second ] || echo "serial '$(value serial)'"
    [ "$(said written)" = 0 ] || echo "it was written"
    [ "$(md5sum <second.img)" = "$before" ] || echo "a read-only image changed"
    [ "$(md5sum <disk.img)" = "$whole" ] || echo "an image below changed"
}

# A directory of the host: what it holds, what is made in it, and that there is
# no way out of it.
share() {
    mkdir -p shared/deep
    echo secret >outside
    echo hello >shared/file
    ln -s ../outside shared/out
    guest share <<END
[[share]]
tag = "work"
path = "shared"
END
    start
    finish
    [ "$(value file)" = hello ] || echo "it reads '$(value file)'"
    [ "$(said secret)" = 0 ] || echo "it gets out"
    [ "$(cat shared/deep/made)" = "by the guest" ] || echo "nothing was made"
    [ "$(value sum)" = "$(md5sum <shared/large)" ] || echo "sums differ"
}

# One command, with this machine's root as its own.
run() {
    : >console
    : >log
    $axvm_run --timeout "$limit" --kernel "vmlinuz-$kernel" --modules modules \
        --run "uname -r; cat /lab/release-$kernel; touch /lab/gone; exit 3" \
        >out 2>log </dev/null
    status=$?
    [ $status = 3 ] || echo "status $status"
    [ "$(sed -n 1p out)" = "$(cat "release-$kernel")" ] || cat out
    [ "$(sed -n 2p out)" = "$(cat "release-$kernel")" ] || echo "no root"
    [ ! -e gone ] || echo "it has changed its root"
}

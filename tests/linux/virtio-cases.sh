# shellcheck shell=dash disable=SC2154,SC2034
# virtio-cases.sh - the cases of virtio.sh, which reads it.

rng() {
    echo | guest rng
    start
    finish
    [ "$(value rng)" = virtio_rng.0 ] || echo "no virtio-rng: $(value rng)"
    # What is random cannot be made smaller.
    value random | awk '$1 != 65536 || $2 < 65000 {print "not random: " $0}'
}

# undamaged IMAGE: says what e2fsck finds, if there is anything.
undamaged() {
    tools/lib/ld-linux-x86-64.so.2 --library-path tools/lib tools/e2fsck -fn \
        "$1" >fsck 2>&1 || cat fsck
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
    await [ -s status ]
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
    undamaged disk.img
}

# Its devices are as new after a reset: the guest's own, and one in full swing.
disk_reset() {
    cp disk.img reset.img # the guest counts its starts on it
    base='on_reboot = "restart"'
    guest disk_reset <<END
[[disk]]
path = "reset.img"
END
    start
    heard "start 2"
    axvm reset linux >/dev/null || echo "it cannot be reset"
    finish
    for n in 1 2 3; do
        [ "$(said "start $n")" = 1 ] || echo "$(said "start $n") starts with $n"
    done
    undamaged reset.img
    rm reset.img
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

# What fio wrote, many requests in flight and on several queues, it finds again.
disk_fio() {
    truncate -s 32M scratch.img
    cpus=2 memory=256M
    guest disk_fio <<END
[[disk]]
path = "scratch.img"
queues = 2
[[disk]]
path = "fio.img"
readonly = true
END
    start
    finish
    [ "$(value fio)" = "status 0" ] || echo "fio says $(value fio)"
    [ "$(value verified)" = 2 ] || echo "$(value verified) jobs are verified"
}

# It grows under a guest that has it mounted, whose file system then does, too.
disk_resize() {
    bytes=$(stat -c %s disk.img)
    guest disk_resize <<END
[[disk]]
path = "disk.img"
serial = "data"
END
    start
    heard "sectors $((bytes / 512))"
    bytes=$((bytes + 33554432))
    axvm disk resize linux data "$bytes" >/dev/null || echo "it cannot be resized"
    heard "sectors $((bytes / 512))"
    finish
    [ "$(stat -c %s disk.img)" = "$bytes" ] || echo "the image: $(stat -c %s disk.img)"
    [ "$(value late)" = kept ] || echo "its end: '$(value late)'"
}

# attach PORT: types to that console of the guest through descriptor 9, and what
# it prints is in the file PORT, until detach.
attach() {
    trap '' PIPE # a guest that is gone is told of by other means
    rm -f keys
    mkfifo keys
    # shellcheck disable=SC2094 # a console and a file of its name
    axvm console linux "$1" <keys >"$1" 2>&1 &
    client=$!
    exec 9>keys
}
detach() {
    exec 9>&-
    kill "$client" 2>/dev/null
    rm keys
}

# printed FILE TEXT: waits for it.
printed() {
    await grep -q "$2" "$1" || echo "$1 does not print '$2'"
}

# A login and a shell on one console, and a port that no terminal is on.
console() {
    guest console <<END
[[console]]
mode = "none"
[[console]]
mode = "none"
[[console]]
mode = "none"
name = "org.axvm.test"
END
    start
    heard ready
    attach hvc1
    printed hvc1 'login:'
    echo root >&9
    printed hvc1 '# ' # login throws away what is typed before
    # shellcheck disable=SC2016 # the guest shall count
    echo 'echo $((6 * 7)) is it' >&9
    printed hvc1 '42 is it'
    # shellcheck disable=SC2016
    echo 'seq 3000; echo $((5 + 5)) more' >&9
    printed hvc1 '10 more'
    [ "$(tr -d '\r' <hvc1 | grep -c '^[0-9][0-9]*$')" = 3000 ] ||
        echo "lines are lost"
    echo exit >&9
    heard left # or the client would be gone before it has sent that
    detach
    attach org.axvm.test
    echo hello >&9
    printed org.axvm.test 'you said hello'
    finish
    detach
}

# order WORD: tells the guest, and waits until it has done it.
order() {
    done_before=$(said "did $1")
    echo "$1" >&9
    await has_done "$1" "$done_before" || echo "it does not $1"
}
has_done() { [ "$(said "did $1")" -gt "$2" ]; }
rss() { awk '/^VmRSS:/ { print int($2 / 1024) }' "/proc/$(cat pid)/status"; }

# falls MB: waits until that much memory is this process's at most.
falls() {
    await is_below "$1" || echo "it has $(rss) MiB, not $1"
}
is_below() { [ "$(rss)" -le "$1" ]; }

# has MB: waits until the guest says that it has so much.
has() {
    await is_sized "$1" || axvm balloon linux
}
is_sized() { axvm balloon linux | grep -q "^linux: $1.0 MiB"; }

memory_guest() {
    guest memory <<END
[balloon]
enabled = true
free_page_reporting = $1
[[console]]
mode = "none"
END
    start
    heard ready
    attach hvc0
}

balloon() {
    memory_guest false
    order use
    order drop
    full=$(rss)
    axvm balloon linux 90M >/dev/null || echo "no target"
    has 90
    falls $((full - 25))
    axvm balloon linux >statistics
    grep -q '^  available  *[1-9]' statistics || cat statistics
    low=$(rss)
    axvm balloon linux 128M >/dev/null
    has 128
    order use
    [ "$(rss)" -ge $((low + 20)) ] || echo "it has $(rss) MiB after $low"
    order check
    [ "$(said kept)" = 1 ] || echo "memory has changed"
    echo "rss=$full-$low-$(rss)MiB" >figure
    echo end >&9
    finish
    detach
}

balloon_report() {
    memory=256M # or its file system in memory is full before it has used 40 MiB
    memory_guest true
    order use
    full=$(rss)
    order drop
    falls $((full - 25))
    order check
    [ "$(said kept)" = 1 ] || echo "memory has changed"
    echo end >&9
    finish
    detach
}

# switches: how often threads that are not vCPUs have slept.
switches() {
    for thread in "/proc/$(cat pid)"/task/*; do
        case $(cat "$thread/comm") in
        *vcpu*) ;;
        *) cat "$thread/status" ;;
        esac
    done | awk '/^voluntary_ctxt/ { n += $2 } END { print n }'
}

# Nobody here wakes up for a guest that has nothing to do. What starts may still
# be under way for a while; then, seconds pass in which nothing happens.
are_still() {
    before=$(switches)
    usleep 3000000
    [ "$before" -gt 0 ] && [ "$(switches)" = "$before" ]
}
idle() {
    mkdir -p shared
    guest idle <<END
[[disk]]
path = "disk.img"
overlay = true
[[net]]
mode = "socket"
path = "cable"
[[console]]
mode = "none"
[[share]]
tag = "work"
path = "shared"
[vsock]
cid = 3
uds = "vsock"
[balloon]
enabled = true
END
    start
    heard ready
    await are_still || echo "threads wake up: $before, then $(switches)"
    attach hvc0
    echo end >&9
    finish
    detach
}

# One command, with this machine's root as its own.
run() {
    : >console
    : >log
    $axvm_run --timeout "$limit" --kernel "vmlinuz-$kernel" --modules modules \
        --virtio "$transport" --run "uname -r; cat /lab/release-$kernel
            readlink -f /sys/bus/virtio/devices/virtio0; touch /lab/gone; exit 3" \
        >out 2>log </dev/null
    status=$?
    [ $status = 3 ] || echo "status $status"
    [ "$(sed -n 1p out)" = "$(cat "release-$kernel")" ] || cat out
    [ "$(sed -n 2p out)" = "$(cat "release-$kernel")" ] || echo "no root"
    case $(sed -n 3p out) in
    */pci0000:*) bus=pci ;;
    */LNRO0005:*) bus=mmio ;;
    *) bus=none ;;
    esac
    [ "$bus" = "$transport" ] || echo "virtio over $bus: $(sed -n 3p out)"
    [ ! -e gone ] || echo "it has changed its root"
}

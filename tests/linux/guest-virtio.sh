# shellcheck shell=dash
# guest-virtio.sh - what a guest of virtio.sh does: ax.case= on its command line
# names a function here. Read by guest-init.sh. Says "ax: KEY VALUE" lines.

for module in virtio_pci virtio_mmio virtio_blk virtio_net virtio_console virtio-rng \
    virtio_balloon vmw_vsock_virtio_transport ext4 9p 9pnet_virtio; do
    modprobe -q "$module" 2>/dev/null
done

# How its devices are reached, and how many of their interrupts are messages.
transport() {
    bus=$(readlink -f /sys/bus/virtio/devices/virtio0)
    case $bus in
    */pci0000:00/*) bus=pci ;;
    */LNRO0005:*) bus=mmio ;;
    esac
    echo "ax: transport $bus messages $(grep -c 'PCI-MSI.* virtio' /proc/interrupts)"
}
transport

case_rng() {
    echo "ax: rng $(cat /sys/class/misc/hw_random/rng_current)"
    dd if=/dev/hwrng bs=4096 count=16 of=/random 2>/dev/null
    echo "ax: random $(stat -c %s /random) $(gzip -c /random | wc -c)"
}

# Everything up to "synced" must be there after the power is gone.
case_disk_write() {
    mount -t ext4 /dev/vda /mnt || return
    for i in 1 2 3 4 5 6 7 8; do
        dd if=/dev/urandom of=/mnt/file$i bs=64k count=4 2>/dev/null
    done
    (cd /mnt && md5sum file?) >/mnt/sums
    sync
    echo "ax: sums $(md5sum </mnt/sums)"
    echo "ax: synced"
    while :; do # until the power goes
        dd if=/dev/urandom of=/mnt/late bs=64k count=8 2>/dev/null
    done
}
case_disk_check() {
    mount -t ext4 /dev/vda /mnt || return
    echo "ax: sums $(md5sum </mnt/sums)"
    (cd /mnt && md5sum -c sums) | grep -c OK$ | sed 's/^/ax: good /'
    umount /mnt
}
# Starts again by itself, then while it writes.
case_disk_reset() {
    mount -t ext4 /dev/vda /mnt || return
    echo again >>/mnt/starts
    sync
    starts=$(grep -c again /mnt/starts)
    echo "ax: start $starts"
    [ "$starts" != 1 ] || reboot -f
    while [ "$starts" = 2 ]; do # until it is reset
        dd if=/dev/urandom of=/mnt/late bs=64k count=8 conv=fsync 2>/dev/null
    done
    umount /mnt
}
# The second disk is there to be read only.
case_disk_two() {
    echo "ax: second $(md5sum </dev/vdb)"
    echo "ax: readonly $(cat /sys/block/vdb/ro)"
    echo x >/dev/vdb 2>/dev/null && echo "ax: written"
    echo "ax: serial $(cat /sys/block/vdb/serial)"
}

case_disk_fio() {
    mount -t ext4 -o ro /dev/vdb /mnt || return
    /mnt/lib/ld-linux-x86-64.so.2 --library-path /mnt/lib /mnt/fio \
        --filename=/dev/vda --direct=1 --ioengine=libaio --iodepth=16 \
        --verify=crc32c --verify_fatal=1 --bsrange=4k-64k --rw=randwrite \
        --name=low --size=8M --name=high --size=8M --offset=16M >/fio 2>&1
    echo "ax: fio status $?"
    # Each job has read back what it wrote.
    echo "ax: verified $(grep -c '^  read: .*(8192KiB/' /fio)"
    cat /fio
}

# What bench/disk.sh measures.
case_bench_disk() { disk /dev/vda; }

# Goes on when the disk has another size, and keeps something at its new end.
case_disk_resize() {
    mount -t ext4 /dev/vda /mnt || return
    was=$(cat /sys/block/vda/size)
    echo "ax: sectors $was"
    until [ "$(cat /sys/block/vda/size)" != "$was" ]; do usleep 50000; done
    last=$(($(cat /sys/block/vda/size) - 1))
    echo "ax: sectors $((last + 1))"
    echo kept | dd of=/dev/vda bs=512 seek=$last conv=notrunc 2>/dev/null
    sync
    echo 3 >/proc/sys/vm/drop_caches
    echo "ax: late $(dd if=/dev/vda bs=512 skip=$last 2>/dev/null | tr -d '\0')"
    umount /mnt
}

# can_open FILE: waits until it is there and leads somewhere.
can_open() { until (: <>"$1") 2>/dev/null; do usleep 10000; done; }

# A login on the second virtio console, and a port that answers.
case_console() {
    port=''
    until [ "$port" ]; do # the driver finds its ports in its own time
        usleep 10000
        port=$(grep -ls org.axvm.test /sys/class/virtio-ports/*/name)
    done
    port=${port%/name}
    port=/dev/${port##*/}
    can_open "$port"
    can_open /dev/hvc1
    mkdir -p /etc
    echo root::0:0:root:/:/bin/sh >/etc/passwd
    {
        setsid getty -L hvc1 115200 vt100
        echo "ax: left"
    } &
    echo "ax: ready"
    read -r line <"$port"
    echo "you said $line" >"$port"
    wait
}

# Has every device and nothing to do, until it is told so.
case_idle() {
    mount -t ext4 /dev/vda /mnt
    can_open /dev/hvc0
    echo "ax: ready"
    read -r line </dev/hvc0
    umount /mnt
}

# Does what it is told on the first virtio console.
case_memory() {
    dd if=/dev/urandom of=/kept bs=64k count=64 2>/dev/null
    sum=$(md5sum </kept)
    can_open /dev/hvc0
    echo "ax: ready"
    while read -r line; do
        case $line in
        use) dd if=/dev/zero of=/large bs=1M count=40 2>/dev/null ;;
        drop) rm /large ;;
        check) [ "$(md5sum </kept)" = "$sum" ] && echo "ax: kept" ;;
        end) break ;;
        esac
        echo "ax: did $line"
    done </dev/hvc0
}

for part in /guest-*.sh; do
    # shellcheck source=/dev/null
    . "$part"
done
mkdir -p /mnt
read -r line </proc/cmdline
name=${line##*ax.case=}
"case_${name%% *}"
echo "ax: end"
poweroff -f

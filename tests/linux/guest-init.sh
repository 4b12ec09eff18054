#!/bin/busybox sh
# shellcheck shell=dash
# guest-init.sh - /init of the Linux guests: says what it sees, one "ax: KEY
# VALUE" line each, then ends the way that ax.end= on its command line asks.

/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys

for module in pvpanic pvpanic-mmio button evdev; do
    insmod "/lib/modules/$(uname -r)/$module.ko" 2>/dev/null
done
pvpanic=no
ls -d /sys/bus/platform/drivers/pvpanic-mmio/QEMU0001:* >/dev/null 2>&1 &&
    pvpanic=yes

# RAM as the firmware's map has it, in bytes: the ranges' lengths, summed.
ram=0
while read -r range _ name; do
    [ "$name" = "System RAM" ] || continue
    ram=$((ram + 0x${range#*-} - 0x${range%-*} + 1))
done </proc/iomem

echo "ax: kernel $(uname -r)"
echo "ax: cpus $(nproc)"
echo "ax: ram $ram"
echo "ax: memtotal $(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo)"
echo "ax: rtc $(cat /sys/class/rtc/rtc0/since_epoch)"
echo "ax: rtc-proc $(sed -n 's/^rtc_date.*: //p' /proc/driver/rtc)"
echo "ax: hwclock $(hwclock -u)"
echo "ax: pvpanic $pvpanic"
echo "ax: uptime $(cut -d ' ' -f 1 /proc/uptime)"

read -r line </proc/cmdline
end=${line##*ax.end=}
end=${end%% *}
echo "ax: end $end"

# Ticks, and obeys its console and its power button, until one of them ends it.
live() {
    echo "ax: banner $(sed -n 's/ . linux_banner$//p' /proc/kallsyms)"
    {
        dd if=/dev/input/event0 of=/dev/null bs=24 count=1 2>/dev/null &&
            echo "ax: power button" && poweroff -f
    } &
    while read -r line; do
        case $line in
        reboot) reboot -f ;;
        poweroff) poweroff -f ;;
        panic) echo c >/proc/sysrq-trigger ;;
        hostname) echo "ax: hostname $(hostname)" ;;
        esac
    done </dev/console & # or it would read nothing, in the background
    while read -r uptime _ </proc/uptime; do
        echo "ax: tick $uptime"
        sleep 0.2
    done
}

case $end in
live) live ;;
poweroff) poweroff -f ;;
reboot) reboot -f ;;
panic) echo c >/proc/sysrq-trigger ;;
virtio) . /virtio.sh ;;
shell) setsid -c sh </dev/console >/dev/console 2>&1 && poweroff -f ;;
esac

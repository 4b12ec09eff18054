#!/bin/busybox sh
# shellcheck shell=dash
# cases.sh SECONDS CASE...: boots Linux guests under axvm-run, each for SECONDS
# at most, and judges what they say. Runs in the lab (scripts/lab.sh), beside
# vmlinuz-cloud, vmlinuz-generic and initrd; run.sh starts it. A CASE is
# KERNEL-CPUS-END, for example cloud-2-poweroff; -axvisor behind it takes a file
# like AxVisor's. Prints "ok CASE ..." or
# "not ok CASE: reason" for each.

memory_mib=256

# value KEY: what the guest said about it.
value() { sed -n "s/\r*\$//; s/.*ax: $1 //p" console | head -n 1; }

fail() { reason="${reason:+$reason; }$*"; }

between() { [ -n "$2" ] && [ "$1" -le "$2" ] && [ "$2" -le "$3" ]; }

judge() {
    case $end in
    poweroff) want=0 ;;
    reboot) want=0 ;;
    panic)
        want=0
        [ "$(value pvpanic)" = yes ] && want=6
        grep -q 'Kernel panic - not syncing: sysrq' console ||
            fail "no panic on the console"
        ;;
    esac
    [ "$status" = "$want" ] || fail "status $status instead of $want"
    [ "$(value end)" = "$end" ] || fail "init did not get to its end"
    [ "$(value kernel)" = "$(cat "release-$kernel")" ] ||
        fail "kernel '$(value kernel)'"
    [ "$(value cpus)" = "$cpus" ] || fail "nproc '$(value cpus)'"

    # All but what the firmware keeps below 1 MiB; and most of that is free.
    ram=$(value ram)
    between $(((memory_mib - 1) << 20)) "$ram" $((memory_mib << 20)) ||
        fail "RAM '$ram'"
    total=$(value memtotal)
    between $((memory_mib * 1024 * 3 / 4)) "$total" $((memory_mib * 1024)) ||
        fail "MemTotal '$total'"

    rtc=$(value rtc)
    between $((before - 2)) "$rtc" $((after + 2)) ||
        fail "RTC '$rtc' outside of $before..$after"
    [ "$(value rtc-proc)" = "$(date -u -d "@${rtc:-0}" +%F)" ] ||
        fail "/proc/driver/rtc '$(value rtc-proc)'"
    [ -n "$(value hwclock)" ] || fail "hwclock says nothing"

    [ "$end" != reboot ] || grep -qiE 'reset|reboot' log ||
        fail "no word of the reboot in the log"
}

our_file() {
    cat <<END
[base]
cpu_num = $cpus
memory = "${memory_mib}M"

[kernel]
kernel_path = "vmlinuz-$kernel"
initrd = "initrd"
cmdline = "$cmdline"
END
}

# As AxVisor's own file for Linux on x86_64: its addresses, rows and modes.
axvisor_file() {
    cat <<END
[base]
id = 1
name = "linux-x86_64-qemu"
vm_type = 1
cpu_num = $cpus
phys_cpu_sets = [1]

[kernel]
entry_point = 0x8000
image_location = "fs"
kernel_path = "vmlinuz-$kernel"
kernel_load_addr = 0x20_0000
enable_bios = false
ramdisk_path = "initrd"
ramdisk_load_addr = 0x0c00_0000
cmdline = "$cmdline"
memory_regions = [
  [0x0000_0000, $((memory_mib << 20)), 0x7, 1],
  [0x0000_0000, 0x0010_0000, 0x7, 0],
]

[devices]
interrupt_mode = "passthrough"
emu_devices = [
  ["x86-com1", 0x3f8, 0x8, 0x0, 0x2, []],
  ["x86-ioapic", 0xfec0_0000, 0x1000, 0x0, 0x23, []],
  ["x86-pit", 0x40, 0x22, 0x0, 0x24, []],
]
passthrough_devices = [["HPET", 0xfed0_0000, 0xfed0_0000, 0x1000, 0x1]]
END
}

limit=$1 failed=0
shift
for name; do
    IFS=- read -r kernel cpus end form <<END
$name
END
    cmdline="console=ttyS0 quiet panic=-1 ax.end=$end"
    if [ "$form" = axvisor ]; then axvisor_file; else our_file; fi >guest.toml
    reason='' before=$(date +%s)
    axvm-run --timeout "$limit" --log-level info guest.toml \
        </dev/null >console 2>log
    status=$?
    after=$(date +%s)
    judge
    if [ -z "$reason" ]; then
        echo "ok $name status=$status seconds=$((after - before))" \
            "init=$(value uptime) pvpanic=$(value pvpanic)"
    else
        failed=1
        echo "not ok $name: $reason"
        sed 's/\r*$//; s/^/# console: /' console
        sed 's/^/# log: /' log
    fi
done
exit $failed

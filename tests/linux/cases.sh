#!/bin/busybox sh
# shellcheck shell=dash
# cases.sh SECONDS CASE...: boots Linux guests under axvm-run, each for SECONDS
# at most, and judges what they say. Runs in the lab (scripts/lab.sh), beside
# vmlinuz-cloud, vmlinuz-generic and initrd; run.sh starts it. A CASE is
# KERNEL-CPUS-END, for example cloud-2-poweroff. Prints "ok CASE ..." or
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

limit=$1 failed=0
shift
for name; do
    IFS=- read -r kernel cpus end <<END
$name
END
    cat >guest.toml <<END
[base]
cpu_num = $cpus
memory = "${memory_mib}M"

[kernel]
kernel_path = "vmlinuz-$kernel"
initrd = "initrd"
cmdline = "console=ttyS0 quiet panic=-1 ax.end=$end"
END
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

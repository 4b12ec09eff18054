#!/bin/busybox sh
# shellcheck shell=dash
# life.sh SECONDS CASE...: one Linux guest under axvm-run, controlled with axvm
# from outside; each CASE begins with the guest ticking and leaves it so, but for
# the last, stop. Runs in the lab (scripts/lab.sh) beside vmlinuz-cloud, initrd
# and gdb/; run.sh starts it. Prints "ok CASE" or "not ok CASE: reason" for each.

limit=$1 failed=0
shift
: >console

# said TEXT: how often the guest has said it.
said() { grep -c "ax: $1" console; }

# last KEY: what it said about it last.
last() { sed -n "s/\r*\$//; s/.*ax: $1 //p" console | tail -n 1; }

# more TEXT COUNT: waits until it was said more than COUNT times.
more() {
    end=$(($(date +%s) + limit))
    until [ "$(said "$1")" -gt "$2" ]; do
        [ "$(date +%s)" -lt $end ] || {
            echo "no '$1'"
            return 1
        }
        usleep 50000 # the processor is the guest's, too
    done
}

starts() { axvm show linux --json | sed -n 's/.*"starts": *\([0-9]*\).*/\1/p'; }

# lives_again BOOTS: another boot, which ticks.
lives_again() { more "end live" "$1" && more tick "$(said tick)"; }

# Host seconds pass, guest seconds do not: so there is nothing to wait for.
cloud_suspend() {
    axvm suspend linux >/dev/null || echo "suspend fails"
    before=$(said tick) uptime=$(last tick)
    axvm list | grep -q suspended || echo "the list does not say so"
    sleep 4
    [ "$(said tick)" = "$before" ] || echo "it ticks while suspended"
    axvm resume linux >/dev/null || echo "resume fails"
    more tick $((before + 2))
    echo "$uptime $(last tick)" | awk '$2 - $1 > 3 {
        print "the time of its suspension has passed for the guest: " $0 }'
    grep -iE 'soft lockup|rcu.*stall|clocksource.*unstable' console
}
cloud_reboot() {
    boots=$(said "end live")
    { echo reboot | axvm console linux >/dev/null 2>&1; } &
    lives_again "$boots"
    kill $! 2>/dev/null
    [ "$(starts)" = $((boots + 1)) ] || echo "started $(starts) times"
}
cloud_restart() {
    boots=$(said "end live") pressed=$(said "power button")
    axvm restart linux >/dev/null || echo "restart fails"
    [ "$(said "power button")" = $((pressed + 1)) ] || echo "it was not asked"
    lives_again "$boots"
}
cloud_reset() {
    boots=$(said "end live") pressed=$(said "power button")
    axvm reset linux >/dev/null || echo "reset fails"
    [ "$(said "power button")" = "$pressed" ] || echo "it was asked"
    lives_again "$boots"
}
# By the address that the kernel itself uses, whatever KASLR has made of it.
cloud_dump() {
    axvm dump linux core >/dev/null || echo "dump fails"
    LD_LIBRARY_PATH=gdb/lib gdb/lib/ld-linux-x86-64.so.2 gdb/gdb -nx -batch \
        -ex 'info threads' -ex "x/s 0x$(last banner)" -c core >gdb.log 2>&1
    grep -q 'Linux version' gdb.log || echo "no banner at $(last banner)"
    [ "$(grep -c LWP gdb.log)" -ge 2 ] || echo "not every vCPU is a thread"
    [ ! -s gdb.log ] || sed 's/^/# gdb: /' gdb.log >&2
    more tick "$(said tick)"
}
cloud_stop() {
    pressed=$(said "power button")
    axvm stop linux >/dev/null || echo "stop fails"
    [ "$(said "power button")" = $((pressed + 1)) ] || echo "it was not asked"
    end=$(($(date +%s) + limit))
    until [ -s status ] || [ "$(date +%s)" -ge "$end" ]; do :; done
    [ "$(cat status)" = 0 ] || echo "status $(cat status)"
}

cat >guest.toml <<END
[base]
name = "linux"
cpu_num = 2
memory = "128M"
on_reboot = "restart"
stop_timeout = $limit

[kernel]
kernel_path = "vmlinuz-cloud"
initrd = "initrd"
cmdline = "console=ttyS0 quiet panic=-1 nopti ax.end=live"
END
{
    axvm-run --console file:console --pidfile pid guest.toml 2>log
    echo $? >status
} &
reason=$(more tick 2)
for name; do
    function=$(echo "$name" | tr - _)
    [ -n "$reason" ] || reason=$($function)
    if [ -z "$reason" ]; then
        echo "ok $name at=$(last tick)"
    else
        failed=1
        echo "not ok $name: $(echo "$reason" | tr '\n' ';')"
        sed 's/\r*$//; s/^/# console: /' console | tail -n 40
        sed 's/^/# log: /' log
        reason=''
    fi
done
[ ! -e pid ] || kill "$(cat pid)"
exit $failed

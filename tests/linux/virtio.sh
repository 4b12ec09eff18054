#!/bin/busybox sh
# shellcheck shell=dash
# virtio.sh SECONDS CASE...: Linux guests with Debian's virtio drivers under
# axvm-run. Runs in the lab (scripts/lab.sh) beside what virtio-parts.sh has
# brought; run.sh starts it. A CASE is KERNEL-NAME: the function NAME of one of
# *-cases.sh, which says what is wrong, and nothing if all is well. Prints
# "ok CASE" or "not ok CASE: reason" for each.

limit=$1 failed=0
shift

# said TEXT: how often the guest has said it; value KEY: what, the first time.
said() { grep -c "ax: $1" console; }
value() { sed -n "s/\r*\$//; s/.*ax: $1 //p" console | head -n 1; }

# await COMMAND...: until it succeeds, which is looked at with rests between, as
# the one processor is the guest's, too. Fails at the limit.
await() {
    stop=$(($(date +%s) + limit))
    until "$@"; do
        [ "$(date +%s)" -lt "$stop" ] || return 1
        usleep 50000
    done
}

# heard TEXT: waits until the guest says it, or is gone.
has_said() { [ "$(said "$1")" -gt 0 ]; }
has_said_or_ended() { has_said "$1" || [ -s status ]; }
heard() {
    await has_said_or_ended "$1"
    has_said "$1" || echo "it does not say '$1'"
}

# guest CASE: its file; the devices come on standard input.
guest() {
    cat >guest.toml <<END
[base]
name = "linux"
cpu_num = $cpus
memory = "$memory"
$base
[kernel]
kernel_path = "vmlinuz-$kernel"
initrd = "initrd"
cmdline = "console=ttyS0 quiet panic=-1 nopti ax.end=virtio ax.case=$1"
[virtio]
transport = "$transport"
END
    cat >>guest.toml
}

# start: in the background; its status will be in the file of that name.
start() {
    rm -f status
    : >console
    {
        $axvm_run --timeout "$limit" --pidfile pid --console file:console \
            guest.toml 2>log </dev/null
        echo $? >status
    } &
}

# finish: waits for its end, which has to be a power-off.
finish() {
    await [ -s status ]
    [ "$(cat status)" = 0 ] || echo "status $(cat status)"
}

axvm_run=axvm-run
for cases in ./*-cases.sh; do
    # shellcheck source=/dev/null
    . "$cases"
done
for name; do
    kernel=${name%%-*} memory=128M cpus=1 base='' transport=mmio
    began=$(date +%s)
    reason=$("$(echo "${name#*-}" | tr - _)" 2>&1)
    if [ -z "$reason" ]; then
        echo "ok $name seconds=$(($(date +%s) - began)) $(cat figure 2>/dev/null)"
    else
        failed=1
        echo "not ok $name: $(echo "$reason" | tr '\n' ';')"
        sed 's/\r*$//; s/^/# console: /' console | tail -n 40
        sed 's/^/# log: /' log
        [ ! -e pid ] || kill -9 "$(cat pid)" 2>/dev/null
    fi
    rm -f pid figure
done
exit $failed

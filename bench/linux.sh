#!/bin/busybox sh
# shellcheck shell=dash
# linux.sh ROUNDS: how long Debian's kernel takes from exec to /init, under each
# monitor that bench.sh put beside this script in the lab. Prints lines
# "linux: VMM MICROSECONDS ...".

. ./lab-parts.sh
write_guest 'console=ttyS0 quiet panic=-1 ax.end=poweroff'

measure() {
    vmm=$1
    shift
    echo "linux: $vmm $(./stopwatch 'ax: kernel' '' "$@" </dev/null)"
}

run_axvm() { measure axvm axvm-run --log-level error guest.toml; }
run_axvm_pci() {
    measure axvm-pci axvm-run --log-level error --set virtio.transport=pci \
        guest.toml
}
run_microvm() { lab_qemu microvm microvm,isa-serial=on; }
run_pc() { lab_qemu pc pc; }
run_lkvm() {
    measure lkvm ./lkvm run -m 256 -c 1 -k vmlinuz -i initrd --console serial \
        -p "$cmdline"
}

vmms='axvm axvm_pci'
[ ! -d qemu ] || vmms="$vmms microvm pc"
[ ! -f lkvm ] || vmms="$vmms lkvm"
round=0
while [ "$round" -lt "$1" ]; do
    # shellcheck disable=SC2086 # a list
    for vmm in $(in_turn "$round" $vmms); do
        "run_$vmm"
    done
    round=$((round + 1))
done

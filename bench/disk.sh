#!/bin/busybox sh
# shellcheck shell=dash
# disk.sh ROUNDS: how long a guest's disk takes for a request, under each
# monitor that bench.sh put beside this script in the lab; the same kernel,
# initramfs and image. Prints lines "disk: VMM PHASE WALL_US CPU_US".

. ./lab-parts.sh
write_guest 'console=ttyS0 quiet panic=-1 ax.end=virtio ax.case=bench_disk'
cat >>guest.toml <<END
[[disk]]
path = "disk.img"
END

measure() {
    vmm=$1
    shift
    ./stopwatch --phases "$@" </dev/null | sed "s/^/disk: $vmm /"
}

# qemu_disk VMM MACHINE DEVICE [OPTION...]
qemu_disk() {
    vmm=$1 machine=$2 device=$3
    shift 3
    lab_qemu "$vmm" "$machine" -drive if=none,id=disk,format=raw,file=disk.img \
        -device "$device,drive=disk" "$@"
}

run_axvm() { measure axvm axvm-run --log-level error guest.toml; }
run_axvm_pci() {
    measure axvm-pci axvm-run --log-level error --set virtio.transport=pci \
        guest.toml
}
run_microvm() {
    qemu_disk microvm microvm,isa-serial=on virtio-blk-device
}
run_pc() { qemu_disk pc pc virtio-blk-pci; }
run_pc_iothread() {
    qemu_disk pc-iothread pc virtio-blk-pci,iothread=own \
        -object iothread,id=own
}

dd if=/dev/zero of=disk.img bs=1M count=128 2>/dev/null
vmms='axvm axvm_pci'
[ ! -d qemu ] || vmms="$vmms microvm pc pc_iothread"
round=0
while [ "$round" -lt "$1" ]; do
    # shellcheck disable=SC2086 # a list
    for vmm in $(in_turn "$round" $vmms); do
        "run_$vmm"
    done
    round=$((round + 1))
done

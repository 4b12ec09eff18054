#!/bin/busybox sh
# shellcheck shell=dash
# disk.sh ROUNDS: how long a guest's disk takes for a request, under each
# monitor that bench.sh put beside this script in the lab; the same kernel,
# initramfs and image. Prints lines "disk: VMM PHASE WALL_US CPU_US".

cmdline='console=ttyS0 quiet panic=-1 ax.end=virtio ax.case=bench_disk'
cat >guest.toml <<END
[base]
memory = "256M"
[kernel]
kernel_path = "vmlinuz"
initrd = "initrd"
cmdline = "$cmdline"
[[disk]]
path = "disk.img"
END

# phases VMM COMMAND...
phases() {
    vmm=$1
    shift
    ./stopwatch --phases "$@" </dev/null | sed "s/^/disk: $vmm /"
}

# qemu VMM MACHINE DEVICE [OPTION...]
qemu() {
    vmm=$1 machine=$2 device=$3
    shift 3
    phases "$vmm" qemu/lib/ld-linux-x86-64.so.2 \
        --library-path qemu/lib qemu/qemu -L qemu/share -M "$machine" \
        -accel kvm -cpu host -m 256 -nodefaults -no-user-config -display none \
        -no-reboot -serial stdio -kernel vmlinuz -initrd initrd \
        -append "$cmdline" -drive if=none,id=disk,format=raw,file=disk.img \
        -device "$device,drive=disk" "$@"
}

dd if=/dev/zero of=disk.img bs=1M count=128 2>/dev/null
round=0
while [ "$round" -lt "$1" ]; do
    round=$((round + 1))
    phases axvm axvm-run --log-level error guest.toml
    [ -d qemu ] || continue
    qemu microvm microvm,isa-serial=on virtio-blk-device
    qemu pc pc virtio-blk-pci
    qemu pc-iothread pc virtio-blk-pci,iothread=own -object iothread,id=own
done

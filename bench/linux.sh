#!/bin/busybox sh
# shellcheck shell=dash
# linux.sh ROUNDS: how long Debian's kernel takes from exec to /init, under each
# monitor that bench.sh put beside this script in the lab. Prints lines
# "linux: VMM MICROSECONDS ...".

cmdline='console=ttyS0 quiet panic=-1 ax.end=poweroff'
cat >guest.toml <<END
[base]
memory = "256M"
[kernel]
kernel_path = "vmlinuz"
initrd = "initrd"
cmdline = "$cmdline"
END

# time_to_init VMM COMMAND...
time_to_init() {
    vmm=$1
    shift
    echo "linux: $vmm $(./stopwatch 'ax: kernel' '' "$@" </dev/null)"
}

qemu() {
    machine=$1
    time_to_init "${machine%%,*}" qemu/lib/ld-linux-x86-64.so.2 \
        --library-path qemu/lib qemu/qemu -L qemu/share -M "$machine" \
        -accel kvm -cpu host -m 256 -nodefaults -no-user-config -display none \
        -no-reboot -serial stdio -kernel vmlinuz -initrd initrd \
        -append "$cmdline"
}

round=0
while [ "$round" -lt "$1" ]; do
    round=$((round + 1))
    time_to_init axvm axvm-run --log-level error guest.toml
    [ ! -d qemu ] || qemu microvm,isa-serial=on
    [ ! -d qemu ] || qemu pc
    [ ! -f lkvm ] || time_to_init lkvm ./lkvm run -m 256 -c 1 -k vmlinuz \
        -i initrd --console serial -p "$cmdline"
done

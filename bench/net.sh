#!/bin/busybox sh
# shellcheck shell=dash
# net.sh ROUNDS: TCP between a guest and its host under each monitor that
# bench.sh put beside this script in the lab; the same kernel and initramfs, in
# user mode and through a tap. Prints lines "net: VMM MODE-PHASE WALL_US CPU_US".

cmdline='console=ttyS0 quiet panic=-1 ax.end=virtio ax.case=bench_net'

# phases VMM MODE COMMAND...
phases() {
    head="net: $1 $2-"
    shift 2
    ./stopwatch --phases "$@" </dev/null | sed "s/^/$head/"
}

# axvm MODE [KEY...]: as in [[net]].
axvm() {
    mode=$1
    shift
    cat >guest.toml <<END
[base]
memory = "256M"
[kernel]
kernel_path = "vmlinuz"
initrd = "initrd"
cmdline = "$cmdline"
[[net]]
END
    for key; do
        echo "$key" >>guest.toml
    done
    phases axvm "$mode" dynamic/lib/ld-linux-x86-64.so.2 \
        --library-path dynamic/lib dynamic/axvm-run --log-level error guest.toml
}

# qemu MODE MACHINE DEVICE NETDEV
qemu() {
    [ -d qemu ] || return 0
    phases "${2%%,*}" "$1" qemu/lib/ld-linux-x86-64.so.2 \
        --library-path qemu/lib qemu/qemu -L qemu/share -M "$2" \
        -accel kvm -cpu host -m 256 -nodefaults -no-user-config -display none \
        -no-reboot -serial stdio -kernel vmlinuz -initrd initrd \
        -append "$cmdline" -netdev "$4,id=net" -device "$3,netdev=net"
}
qemus() {
    qemu "$1" microvm,isa-serial=on virtio-net-device "$2"
    qemu "$1" pc virtio-net-pci,romfile= "$2"
}

modprobe tun
modprobe vhost_net
tunctl -t tap0 >/dev/null
ifconfig tap0 10.0.2.2 netmask 255.255.255.0 up
./net serve 5001 >/dev/null 2>&1 &
tap=tap,ifname=tap0,script=no,downscript=no
round=0
while [ "$round" -lt "$1" ]; do
    round=$((round + 1))
    axvm user 'mode = "user"'
    qemus user user
    axvm tap 'mode = "tap"' 'ifname = "tap0"' 'vhost = "off"'
    qemus tap $tap,vhost=off
    axvm vhost 'mode = "tap"' 'ifname = "tap0"' 'vhost = "on"'
    qemus vhost $tap,vhost=on
done

#!/bin/busybox sh
# shellcheck shell=dash
# net.sh ROUNDS: TCP between a guest and its host under each monitor that
# bench.sh put beside this script in the lab; the same kernel and initramfs, in
# user mode and through a tap. Prints lines "net: VMM MODE-PHASE WALL_US CPU_US".

. ./lab-parts.sh

# In the mode that is measured now.
measure() {
    head="net: $1 $mode-"
    shift
    ./stopwatch --phases "$@" </dev/null | sed "s/^/$head/"
}

# The mode as in [[net]], and as QEMU names it.
use_mode() {
    mode=$1
    write_guest 'console=ttyS0 quiet panic=-1 ax.end=virtio ax.case=bench_net'
    echo '[[net]]' >>guest.toml
    if [ "$mode" = user ]; then
        echo 'mode = "user"' >>guest.toml
        netdev=user
        return
    fi
    vhost=off
    [ "$mode" != vhost ] || vhost=on
    cat >>guest.toml <<END
mode = "tap"
ifname = "tap0"
vhost = "$vhost"
END
    netdev=tap,ifname=tap0,script=no,downscript=no,vhost=$vhost
}

# qemu_net VMM MACHINE DEVICE
qemu_net() {
    lab_qemu "$1" "$2" -netdev "$netdev,id=net" -device "$3,netdev=net"
}

# axvm NAME TRANSPORT
axvm() {
    measure "$1" dynamic/lib/ld-linux-x86-64.so.2 --library-path dynamic/lib \
        dynamic/axvm-run --log-level error --set "virtio.transport=$2" guest.toml
}
run_axvm() { axvm axvm mmio; }
run_axvm_pci() { axvm axvm-pci pci; }
run_microvm() {
    qemu_net microvm microvm,isa-serial=on virtio-net-device
}
run_pc() { qemu_net pc pc virtio-net-pci,romfile=; }

modprobe tun
modprobe vhost_net
tunctl -t tap0 >/dev/null
ifconfig tap0 10.0.2.2 netmask 255.255.255.0 up
./net serve 5001 >/dev/null 2>&1 &
vmms='axvm axvm_pci'
[ ! -d qemu ] || vmms="$vmms microvm pc"
round=0
while [ "$round" -lt "$1" ]; do
    for kind in user tap vhost; do
        use_mode "$kind"
        # shellcheck disable=SC2086 # a list
        for vmm in $(in_turn "$round" $vmms); do
            "run_$vmm"
        done
    done
    round=$((round + 1))
done

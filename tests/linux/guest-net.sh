# shellcheck shell=dash
# guest-net.sh - what a guest of net-cases.sh does: it takes shell commands, a
# line each, on its first virtio console. Read by guest-virtio.sh. What follows
# "ax: did N" was said behind the end of command N.

modprobe -q af_packet 2>/dev/null

# What udhcpc runs.
mkdir -p /etc
cat >/lease <<'END'
#!/bin/sh
[ "$1" = bound ] || exit 0
ifconfig "$interface" "$ip" netmask "$subnet"
route add default gw "$router"
echo "nameserver $dns" >/etc/resolv.conf
echo "ax: lease $ip $subnet $router $dns"
END
chmod +x /lease

case_net() {
    ifconfig lo 127.0.0.1 up
    echo "ax: driver $(readlink /sys/class/net/eth0/device/driver)"
    echo "ax: ready"
    did=0
    while read -r line && [ "$line" != end ]; do
        sh -c "$line" </dev/null
        did=$((did + 1))
        echo "ax: did $did"
    done </dev/hvc0
}

# For bench/net.sh, whose host is at the same place in every mode.
case_bench_net() {
    ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up
    net 10.0.2.2 5001
}

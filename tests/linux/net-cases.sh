# shellcheck shell=dash disable=SC2154,SC2034
# net-cases.sh - the cases of virtio.sh about network cards, which reads it. A
# case tells its guest what to do, line by line (guest-net.sh).

axvm_run="$PWD/dynamic/lib/ld-linux-x86-64.so.2 \
    --library-path $PWD/dynamic/lib $PWD/dynamic/axvm-run"
vm=linux bytes=104857600 host=files.axvm.test

# net_guest: its file, with a console for what it shall do; cards come on
# standard input.
net_guest() {
    {
        cat
        printf '[[console]]\nmode = "none"\n'
    } | guest net
    sed -i "s/^name = \"linux\"/name = \"$vm\"/" guest.toml
}

# net_start: until it takes orders.
net_start() {
    start
    heard ready
    [ "$(basename "$(value driver)")" = virtio_net ] || echo "no virtio_net"
    rm -f keys
    mkfifo keys
    # shellcheck disable=SC2094 # a console of that name
    axvm console "$vm" hvc0 <keys >/dev/null 2>&1 &
    echo $! >helpers
    # Or the first command would be the last, or one would find no reader and
    # wait for it for ever: longer than any guest.
    sleep 1000 <>keys >/dev/null 2>&1 &
    echo $! >>helpers
    echo 0 >orders
}
obeyed() { [ -s status ] || grep -q "ax: did $(cat orders)[^0-9]*\$" console; }

# tell COMMAND: the guest does it.
tell() {
    echo $(($(cat orders) + 1)) >orders
    echo "$1" >keys
    await obeyed || echo "it does not do: $1"
    [ ! -s status ] || echo "it ended before: $1"
}

# ask KEY COMMAND: what the command prints in the guest is then in the file
# answer.
ask() {
    tell "echo \"ax: $1 \$($2)\""
    sed -n "s/\r*\$//; s/.*ax: $1 //p" console | tail -n 1 >answer
}

net_finish() {
    echo end >keys
    finish
    xargs kill <helpers 2>/dev/null
    rm -f keys
}

# beside COMMAND...: with the guest in the directory other.
beside() { (cd other && vm=other && "$@"); }

# clock WHAT: how long it took since the clock before, for the line that says
# that all went well.
clock() {
    now=$(cut -d ' ' -f 1 /proc/uptime)
    [ "$1" = start ] || echo "$1 $now $began_at" |
        awk '{ printf "%s=%.1fs ", $1, $2 - $3 }' >>figure
    began_at=$now
}

# served: a file of this machine's, and its sum.
served() {
    mkdir -p www
    [ -e www/file ] || ./netpeer pattern $bytes >www/file
    httpd -p 8000 -h www 2>/dev/null # one for all cases
    sum=$(md5sum <www/file)
}

# transferred FROM TO: the file comes into the guest from the web server at FROM,
# and back out of the guest's own at TO, as this machine has it.
transferred() {
    served
    clock start
    tell "mkdir -p /www; wget -q -O /www/file http://$1/file"
    clock in
    ask sum 'md5sum </www/file'
    [ "$(cat answer)" = "$sum" ] || echo "it got '$(cat answer)', not '$sum'"
    tell "httpd -p 80 -h /www"
    clock start
    [ "$(wget -q -O - "http://$2/file" | md5sum)" = "$sum" ] ||
        echo "what it sends differs"
    clock out
}

user() {
    memory=384M limit=240
    echo nameserver 127.0.0.1 >/etc/resolv.conf
    ./netpeer dns $host 10.0.2.2 >/dev/null 2>&1 &
    dns=$!
    net_guest <<END
[[net]]
mode = "user"
hostfwd = ["tcp::8080-80"]
END
    net_start
    tell "ifconfig eth0 up; udhcpc -q -n -i eth0 -s /lease"
    [ "$(value lease)" = "10.0.2.15 255.255.255.0 10.0.2.2 10.0.2.3" ] ||
        echo "lease '$(value lease)'"
    ask name "nslookup $host"
    grep -q "^Address.*10\.0\.2\.2[^0-9]*\$" console || echo "no $host"
    transferred $host:8000 127.0.0.1:8080
    net_finish
    kill $dns
}

# carried VALUE: what the guest has to say of its cable, sooner or later.
carried() {
    tell "until grep -q $1 /sys/class/net/eth0/carrier; do usleep 50000; done"
}

# pinged ADDRESS: from the guest.
pinged() {
    ask ping "ping -c 5 -w $limit $1 | grep packets"
    grep -q ' 5 packets received' answer || echo "ping: $(cat answer)"
}

# Two guests and nothing but a cable between them.
pair() {
    mkdir -p other
    for file in vmlinuz-* initrd; do
        ln -sf "../$file" other/
    done
    card="[[net]]
mode = \"socket\"
path = \"$PWD/cable\""
    echo "$card" | net_guest
    echo "$card" | beside net_guest
    net_start
    beside net_start
    tell "ifconfig eth0 10.8.0.1 netmask 255.255.255.0 up"
    beside tell "ifconfig eth0 10.8.0.2 netmask 255.255.255.0 up"
    carried 1
    pinged 10.8.0.2
    beside pinged 10.8.0.1
    tell "mkdir -p /www; netpeer pattern 20000000 >/www/file"
    tell "httpd -p 80 -h /www"
    beside ask sum "wget -q -O - http://10.8.0.1/file | md5sum"
    [ "$(cat other/answer)" = "$(./netpeer pattern 20000000 | md5sum)" ] ||
        echo "the other got '$(cat other/answer)'"
    beside net_finish
    carried 0
    net_finish
}

# tap_with VHOST COUNTED: and what axvm then says of the frames to the guest.
tap_with() {
    memory=384M limit=240
    tunctl -t tap0 >/dev/null
    ifconfig tap0 10.9.0.1 netmask 255.255.255.0 up
    net_guest <<END
[[net]]
mode = "tap"
ifname = "tap0"
vhost = "$1"
END
    net_start
    tell "ifconfig eth0 10.9.0.2 netmask 255.255.255.0 up"
    pinged 10.9.0.1
    ping -c 5 -w "$limit" 10.9.0.2 >out
    grep -q ' 5 packets received' out || cat out
    transferred 10.9.0.1:8000 10.9.0.2
    axvm net linux >card
    grep -q "to guest  *$2 frames" card || cat card
    net_finish
    tunctl -d tap0 >/dev/null
}
tap() {
    modprobe tun
    tap_with off '[1-9][0-9]*'
}
tap_vhost() {
    modprobe tun
    modprobe vhost_net
    tap_with on 0
    grep -q 'counted by the kernel' card || cat card
}

# The cable of a running guest.
link() {
    net_guest <<END
[[net]]
mode = "user"
END
    net_start
    tell "ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up"
    pinged 10.0.2.2
    axvm net linux down >card
    grep -q 'link down, unplugged' card || cat card
    carried 0
    ask ping "ping -c 1 -w 1 10.0.2.2 2>&1 | grep ' 0 packets received'"
    grep -q . answer || echo "it reaches the host without a cable"
    axvm net linux up >card
    grep -q 'link up' card || cat card
    carried 1
    pinged 10.0.2.2
    net_finish
}

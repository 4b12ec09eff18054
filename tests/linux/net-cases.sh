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
    client=$!
    sleep "$limit" >keys 2>/dev/null & # or the first command would be the last
    keeper=$!
    orders=0
}
obeyed() { [ -s status ] || grep -q "ax: did ${orders}[^0-9]*\$" console; }

# tell COMMAND: the guest does it.
tell() {
    orders=$((orders + 1))
    echo "$1" >keys
    await obeyed || echo "it does not do: $1"
    [ ! -s status ] || echo "it ended before: $1"
}
# ask KEY COMMAND: what the command prints in the guest becomes $answer.
ask() {
    tell "echo \"ax: $1 \$($2)\""
    answer=$(sed -n "s/\r*\$//; s/.*ax: $1 //p" console | tail -n 1)
}

net_finish() {
    echo end >keys
    finish
    kill "$keeper" "$client" 2>/dev/null
    rm -f keys
}

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
    [ "$answer" = "$sum" ] || echo "it got '$answer', not '$sum'"
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

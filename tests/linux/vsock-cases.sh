# shellcheck shell=dash disable=SC2154,SC2034
# vsock-cases.sh - the cases of virtio.sh about vsock, which reads it.

# vsock_streams HERE THERE: both ways at once, and again with the driver loaded
# anew. The peer listens at HERE and a port, and sends to THERE and one.
vsock_streams() {
    bytes=104857600
    # shellcheck disable=SC2086  # several words
    timeout "$limit" ./peer echo ${1}52 >echoes &
    start
    heard ready
    # shellcheck disable=SC2086
    timeout "$limit" ./peer send $2 99 $bytes >sent || echo "not to the guest"
    grep -qx "same $bytes" sent || echo "sent: $(cat sent)"
    heard again
    # shellcheck disable=SC2086
    timeout "$limit" ./peer echo ${1}53 >again &
    finish
    wait
    [ "$(value cid)" = 3 ] || echo "its CID is $(value cid)"
    [ "$(value sent)" = "same $bytes" ] || echo "guest sent: $(value sent)"
    [ "$(value echoed)" = $bytes ] || echo "guest echoed: $(value echoed)"
    grep -qx "echoed $bytes" echoes || echo "echoed: $(cat echoes)"
    [ "$(value reloaded)" = "same 1000" ] || echo "again: $(value reloaded)"
    [ "$(value nobody)" = 1 ] || echo "nobody listens, and it connects"
    value rate >figure
}
vsock() {
    guest vsock <<END
[vsock]
cid = 3
uds = "v.sock"
END
    vsock_streams "unix v.sock_" "unix v.sock"
    [ ! -e v.sock ] || echo "the socket is left"
}
vsock_vhost() {
    modprobe vhost_vsock || echo "no vhost_vsock"
    guest vsock <<END
[vsock]
cid = 3
END
    vsock_streams "vsock " "vsock 3"
}

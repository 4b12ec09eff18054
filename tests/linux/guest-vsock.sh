# shellcheck shell=dash
# guest-vsock.sh - what a guest of vsock-cases.sh does. Read by guest-virtio.sh.

case_vsock() {
    echo "ax: cid $(peer cid)"
    peer send vsock 2 51 1000 2>/dev/null || echo "ax: nobody 1"
    peer echo vsock 99 >/echo &
    until grep -q listening /echo; do usleep 50000; done
    echo "ax: ready"
    began=$(cut -d' ' -f1 /proc/uptime)
    echo "ax: sent $(peer send vsock 2 52 104857600)"
    ended=$(cut -d' ' -f1 /proc/uptime)
    wait
    echo "ax: rate vsock_seconds=$(echo "$began $ended" | awk '{print $2 - $1}')"
    sed -n 's/echoed/ax: echoed/p' /echo
    rmmod vmw_vsock_virtio_transport && modprobe vmw_vsock_virtio_transport
    echo "ax: again"
    until peer send vsock 2 53 1000 >/again 2>/dev/null; do usleep 50000; done
    echo "ax: reloaded $(cat /again)"
}

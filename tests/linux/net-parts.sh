# shellcheck shell=bash disable=SC2154,SC2034
# net-parts.sh - what run.sh --net takes along into the lab and into its guests.
# Read by run.sh and bench.sh, which have $work, $here, $dynamic and the arrays
# initrd and options.

# Its own beside busybox, for both sides.
"${CC:-cc}" -O2 -static -Wall -Wextra -Werror -o "$work/netpeer" \
    "$here/netpeer.c" || die "the lab's netpeer does not compile"
initrd=(--virtio "$work/initrd" "$work/netpeer")
limit=120 # seconds of a guest, as a loaded machine may take that long
options+=(--memory 2048 --timeout 480 --file "$work/netpeer")
for cases in net pci; do
    options+=(--file "$here/$cases-cases.sh")
done

# User mode opens libslirp, which no static program does well: so this one is
# linked dynamically, and its libraries and libslirp's come with it.
[ -x "$dynamic" ] || die "$dynamic is not there: build it, or name it with --net"
slirp=$(PATH=$PATH:/usr/sbin ldconfig -p | sed -n 's/.*libslirp\.so\.0.* => //p' |
    head -n 1)
ldd "$dynamic" >/dev/null 2>&1 || skip "$dynamic is linked statically"
[ -n "$slirp" ] || skip "libslirp0 is missing"
mkdir -p "$work/dynamic/lib"
cp "$dynamic" "$work/dynamic/axvm-run"
cp -L "$slirp" "$work/dynamic/lib/libslirp.so.0"
ldd "$dynamic" "$slirp" | grep -o '[[:space:]]/[^ ]*so[^ ]*' |
    while IFS= read -r library; do
        cp -L "${library#?}" "$work/dynamic/lib/"
    done
options+=(--file "$work/dynamic")

# The tap and vhost of the lab's own kernel.
kernel=$("$top/scripts/lab-kernel.sh" cloud) || skip "no kernel"
for tree in "$kernel"/tree/lib/modules/*; do
    options+=(--file "$tree=/lib/modules/$(basename "$tree")")
done

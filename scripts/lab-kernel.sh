#!/usr/bin/env bash
# lab-kernel.sh cloud|generic: prints a directory that holds Debian's kernel.
#
# In it: vmlinuz, config, release (what uname -r will say), modules/*.ko, those
# that the lab and its guests load, and tree/lib/modules/RELEASE, those of virtio
# and what they need, with an index for modprobe. The package is fetched with apt-get
# download and unpacked with dpkg, never installed; without a network the
# newest one that was fetched before serves.

set -eu
. "$(dirname "$0")/lib.sh"

case ${1:-} in
cloud) meta=linux-image-cloud-amd64 ;;
generic) meta=linux-image-amd64 ;;
--help) help_text && exit ;;
*) usage_error "which kernel?" ;;
esac
flavour=$1
has apt-get || skip "kernels come from Debian packages, and apt-get is missing"

mkdir -p "$lab_cache"
exec 9>"$lab_cache/lock"
flock 9

# The metapackage depends on exactly one real package.
package=$(apt-cache depends --no-recommends "$meta" 2>/dev/null |
    sed -n 's/^ *Depends: //p' | head -n 1)
version=$(apt-cache policy "${package:-none}" |
    sed -n 's/^ *Candidate: //p')
kernel=$lab_cache/$flavour-${package#linux-image-}_${version//[^a-zA-Z0-9.+-]/-}

# What a guest may want of its kernel for virtio devices; modprobe's names.
wanted='virtio.*|vhost.*|vsock|vmw_vsock_virtio.*|9p.*|netfs|fscache|overlay'
wanted+='|ext4|jbd2|mbcache|crc.*|libcrc32c|net_failover|failover|tun|tap'
wanted+='|af_packet|rng-core'

# index TREE: keeps only what is wanted, and says how it depends on each other.
index() {
    local release
    release=$(ls "$1/lib/modules")
    find "$1/lib/modules" -name '*.ko' -regextype posix-extended \
        ! -regex ".*/($wanted)\.ko" -delete
    PATH=$PATH:/usr/sbin:/sbin depmod -b "$1" "$release"
}

unpack() {
    (cd "$work" && apt-get -qq -o APT::Sandbox::User=root \
        download "$package=$version" >&2 && dpkg -x ./*.deb root &&
        mkdir -p kernel/modules &&
        mv root/boot/vmlinuz-* kernel/vmlinuz &&
        mv root/boot/config-* kernel/config &&
        ls root/lib/modules >kernel/release &&
        for module in irqbypass kvm kvm-amd kvm-intel ccp pvpanic pvpanic-mmio \
            button evdev; do
            find root/lib/modules -name "$module.ko" \
                -exec cp {} kernel/modules/ \;
        done && mkdir -p kernel/tree && mv root/lib kernel/tree/lib &&
        index kernel/tree && rm -rf "$kernel" && mv kernel "$kernel")
}

# tree: what was unpacked before that was wanted is unpacked again.
if [ -z "$package" ] || [ ! -d "$kernel/tree" ]; then
    work=$(mktemp -d "$lab_cache/fetch.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    if [ -z "$package" ] || ! unpack; then
        # shellcheck disable=SC2012  # our own names, newest first
        kernel=$(ls -td "$lab_cache/$flavour"-* 2>/dev/null | head -n 1)
        [ -n "$kernel" ] || skip "cannot download $meta, and none is cached"
        say "cannot download $meta, using ${kernel##*/}"
    fi
fi
printf '%s\n' "$kernel"

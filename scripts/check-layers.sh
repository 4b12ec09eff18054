#!/usr/bin/env bash
# check-layers.sh [BUILD_DIR]: do the files of src/ keep to their layers?
#
# The rules are those of docs/architecture.md: a file includes only what stands
# above it, and no sibling's private header; some system headers have one owner;
# only main.c ends the process. With BUILD_DIR, a finished build, also: no
# variable outlives a call but in main.c. Prints every breach; status 1 if any.

set -eu
. "$(dirname "$0")/lib.sh"

# One module per line, top to bottom; the first line that matches a file is its
# own. A file may include headers of lines above and of its own line.
layers='
base.h
log.[ch]
conf/toml.h conf/toml.cc
conf/hostconf.[ch]
memory/memory.[ch]
devices/wire.h
devices/clock.[ch]
devices/guestclock.[ch]
devices/device.[ch]
devices/bus.[ch]
devices/loop.[ch]
devices/iothread.[ch]
devices/unixsock.[ch]
devices/hostend.[ch]
devices/console.h devices/console_parts.h devices/console*.c
devices/conmux.[ch]
devices/virtio_conf.h
devices/balloon.h
devices/reset_control.h
devices/pci.[ch]
devices/pci_msix.[ch]
devices/virtqueue.[ch]
devices/virtio.h devices/virtio_parts.h devices/virtio.c devices/virtio_pci.c
devices/vhost.[ch]
devices/disk.h devices/disk_parts.h devices/disk*.c
devices/netlink.h devices/netlink_parts.h devices/netlink_user_parts.h devices/netlink*.c
devices/vsock.h devices/vsock_parts.h devices/vsock*.c
devices/share.h devices/share_parts.h devices/share*.c
devices/registry.h
devices/virtio_net_parts.h
devices/*.c
vcpu/exit.[ch]
backend/backend.[ch]
backend/kvm/*
backend/native/*
vcpu/lifecycle.[ch]
vcpu/vcpu.[ch]
arch/arch.h
debug/listen.[ch]
vmm/config.[ch] vmm/config_*.[ch]
vmm/lifecycle.[ch]
vmm/image.[ch] vmm/image_*.[ch]
vmm/fdt.[ch]
arch/x86_64/*
arch/aarch64/*
arch/riscv64/*
arch/registry.c
vmm/crash.[ch]
vmm/demo.h
vmm/vm.h
vmm/vm_debug.h
vmm/vm_parts.h vmm/vm.c vmm/vm_ops.c vmm/vm_build.c vmm/vm_consoles.c vmm/vm_debug.c
vmm/json.[ch]
vmm/stats.[ch]
vmm/sparse.[ch]
vmm/elfcore.[ch]
vmm/core.[ch]
vmm/fleet.[ch]
debug/packet.[ch] debug/agent.[ch]
debug/annex.[ch] debug/files.[ch]
debug/target.h
debug/breakpoints.[ch]
debug/target_parts.h debug/target.c debug/target_*.c
control/*
debug/monitor.[ch] debug/monitor_*.[ch]
debug/session.h
debug/session_parts.h debug/session.c debug/session_*.c
debug/gdb.[ch]
debug/stubs.[ch]
host/*
initramfs.[ch]
kmodules.[ch]
oneliner.[ch]
cli.[ch]
onecommand.[ch]
run.[ch] run_*.[ch]
client/*
main.c
'

# HEADER: the files that may include it, of ours or of the system.
owners='
backend/kvm/kvm.h: backend/kvm/* arch/*/kvm*.[ch]
arch/x86_64/kvm_arch.h: arch/x86_64/kvm*.[ch]
backend/native/native.h: backend/native/* arch/*/native.c
vmm/config_impl.h: vmm/config.c vmm/config_*.c
vmm/image_parts.h: vmm/image.c vmm/image_*.c
vmm/vm_parts.h: vmm/vm.c vmm/vm_ops.c vmm/vm_build.c vmm/vm_consoles.c vmm/vm_debug.c
vmm/vm_debug.h: vmm/vm_parts.h vmm/vm_debug.c debug/target_parts.h
debug/breakpoints.h: debug/breakpoints.c debug/target_parts.h
debug/target_parts.h: debug/target.c debug/target_*.c
debug/session_parts.h: debug/session.c debug/session_*.c
debug/monitor_parts.h: debug/monitor.c debug/monitor_*.c
devices/share_parts.h: devices/share.c devices/share_*.c
control/command_parts.h: control/command.c control/command_*.c
run_parts.h: run.c run_*.c
control/execute_parts.h: control/execute.c control/execute_*.c
histedit.h: client/shell.c
devices/netlink_parts.h: devices/netlink*.c devices/netlink_user_parts.h
devices/virtio_net_parts.h: devices/virtio_net*.c
devices/reset_control.h: devices/reset_cf9.c devices/pci_host.c
devices/pci_msix.h: devices/pci_msix.c devices/virtio_pci.c
devices/virtio_parts.h: devices/virtio.c devices/virtio_pci.c
devices/hostend.h: devices/console_parts.h devices/hostend.c devices/conmux.c
devices/console_parts.h: devices/console.c devices/console_*.c
toml++/*: conf/toml.cc
ini.h: conf/hostconf.c
ev.h: devices/loop.c
liburing.h: devices/disk_ring.c
linux/nbd.h: devices/disk_nbd.c
devices/disk_parts.h: devices/disk.c devices/disk_*.c
linux/kvm.h: backend/kvm/* arch/*/kvm*.[ch]
asm/kvm.h: backend/kvm/* arch/*/kvm*.[ch]
libfdt.h: vmm/fdt.c
linux/vhost.h: devices/vhost.c
linux/vhost_types.h: devices/vhost.c
linux/if_tun.h: devices/netlink_tap.c
slirp/*: devices/netlink_user*
devices/netlink_user_parts.h: devices/netlink_user*
'

breaches=0
breach() {
    printf '%s\n' "$*"
    breaches=$((breaches + 1))
}

# matches PATH GLOB...
matches() {
    local path=$1 glob
    shift
    for glob; do
        # shellcheck disable=SC2053  # it is a pattern
        [[ $path != $glob ]] || return 0
    done
    return 1
}

# layer PATH: sets $found to the number of its line, 0 if there is none.
layer() {
    local line globs
    found=0 line=0
    while read -r -a globs; do
        line=$((line + 1))
        if matches "$1" ${globs[@]+"${globs[@]}"}; then
            found=$line
            return
        fi
    done <<<"$layers"
}

check_include() {
    local where=$1 file=$2 kind=$3 header=$4 own above pattern allowed

    while IFS=: read -r pattern allowed; do
        # shellcheck disable=SC2086  # a list of patterns
        if [ -n "$pattern" ] && matches "$header" $pattern &&
            ! matches "$file" $allowed; then
            breach "$where: $header belongs to$allowed"
        fi
    done <<<"$owners"
    [ "$kind" = '"' ] || return 0
    layer "$file"
    own=$found
    layer "$header"
    above=$found
    if [ "$above" = 0 ]; then
        breach "$where: $header is not in the table of check-layers.sh"
    elif [ "$above" -gt "$own" ]; then
        breach "$where: $header stands below $file"
    elif [[ $header == arch/*/* && $file == arch/*/* &&
        ${header%/*} != "${file%/*}" ]]; then
        breach "$where: $header is another architecture's"
    fi
}

build=${1:+$(cd "$1" && pwd)}
cd "$top/src"
set -f
while IFS= read -r file; do
    layer "$file"
    [ "$found" != 0 ] ||
        breach "src/$file: not in the table of check-layers.sh"
done < <(find . -name '*.[ch]' -o -name '*.cc' | sed 's|^\./||' | sort)

include='[ \t]*#[ \t]*include[ \t]*\(["<]\)\([^">]*\)[">].*'
while IFS=: read -r file line text; do
    file=${file#./}
    kind=${text%% *}
    check_include "src/$file:$line" "$file" "$kind" "${text#* }"
done < <(grep -rn --include='*.[ch]' --include='*.cc' '#[ \t]*include' . |
    sed "s/^\([^:]*:[0-9]*:\)$include/\1\2 \3/")

# Comments may speak of exit(); code may not, nor of its relatives.
while IFS= read -r hit; do
    breach "src/${hit#./}: only main.c ends the process"
done < <(grep -rnE --include='*.c' --include='*.cc' \
    '(^|[^a-zA-Z0-9_.>])(_?exit|_Exit|quick_exit|abort) *\(' . |
    grep -vE '^\./main\.c:|^[^:]*:[0-9]+: *(/?\*|//)')

# Sections tell a variable from a constant that the linker has to relocate.
if [ -n "$build" ]; then
    cd "$build"
    objects=$(find src/CMakeFiles/axvm.dir -name '*.o')
    [ -n "$objects" ] || die "$build: no objects of libaxvm, build it first"
    while IFS= read -r hit; do
        breach "$hit: a variable outside of main.c"
    done < <(for object in $objects; do
        objdump -t "$object" | awk -v file="${object#src/CMakeFiles/axvm.dir/}" '
            $3 == "O" && ($4 ~ /^\.t?(data|bss)/ || $4 == "*COM*") &&
            $4 !~ /^\.data\.rel\.ro/ {
                print "src/" file ": " $NF " in " $4
            }'
    done)
fi

[ $breaches = 0 ] || die "$breaches breaches"

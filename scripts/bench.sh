#!/usr/bin/env bash
# bench.sh [--rounds N] [--no-lab] [--axvm FILE]: how fast, how large, beside others.
#
# Measures axvm-run (the static build) against a bare loop around KVM_RUN that
# runs the same guests, and against QEMU where it is installed; in turn, each
# round beginning with another, and prints medians. In the lab, how long Debian's
# kernel takes to /init, and what its disk and its network card cost.
# Nothing here passes or fails: the ratios are for people to read. kvmtool has
# no column unless its lkvm is installed; Debian 12 does not package it.

set -eu
. "$(dirname "$0")/lib.sh"
. "$top/bench/lab-parts.sh"

rounds=5 lab=1 axvm=''
while [ $# -gt 0 ]; do
    case $1 in
    --help) help_text && exit ;;
    --rounds) rounds=$2 && shift 2 ;;
    --no-lab) lab='' && shift ;;
    --axvm) axvm=$2 && shift 2 ;;
    *) usage_error "unknown option '$1'" ;;
    esac
done

cd "$top"
mkdir -p build
"$top/scripts/setup.sh" build
targets=(bareloop stopwatch disk net bench_guests bench_control bench_gdb
    bench_vsock)
if [ -z "$axvm" ]; then
    axvm=$top/build/static/axvm-run
    targets+=(axvm-run)
fi
(cmake --preset static && cmake --build --preset static \
    --target "${targets[@]}") >build/static.log 2>&1 ||
    die "the build failed: see build/static.log"
bench=$top/build/static/bench
work=$(mktemp -d "${TMPDIR:-/tmp}/axvm-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 143' INT TERM HUP

# ---- the contestants; each gets an image and a word for its interrupt chip

vmm_bare() { command=("$bench/bareloop" "$1" 256); }

vmm_axvm() {
    cat >"$work/guest.toml" <<END
[base]
memory = "256M"
[kernel]
kernel_path = "$1"
[cpu]
irqchip = "$2"
END
    command=("$axvm" --log-level error "$work/guest.toml")
}

qemu() {
    command=(qemu-system-x86_64 -M "$1" -accel kvm -cpu host -m 256
        -nodefaults -no-user-config -display none -no-reboot -serial stdio
        -device "isa-debug-exit,iobase=0xf4,iosize=4" -kernel "$2")
}

chip() { [ "$1" = kernel ] && echo on || echo split; }

vmm_microvm() {
    qemu "microvm,isa-serial=on,rtc=on,kernel_irqchip=$(chip "$2")" "$1"
}

vmm_pc() { qemu "pc,kernel_irqchip=$(chip "$2")" "$1"; }

vmms=(bare axvm)
! has qemu-system-x86_64 || vmms+=(microvm pc)

# ---- measuring: numbers pile up in $work/ROW.VMM

# measure ROW FIELD LAST IMAGE IRQCHIP
measure() {
    local row=$1 field=$2 last=$3 image=$4 irqchip=$5 round vmm
    for ((round = 0; round < rounds; round++)); do
        for vmm in $(in_turn "$round" "${vmms[@]}"); do
            "vmm_$vmm" "$bench/$image.img" "$irqchip"
            "$bench/stopwatch" A "$last" "${command[@]}" 2>>"$work/errors" \
                </dev/null | cut -d ' ' -f "$field" >>"$work/$row.$vmm" || true
        done
    done
}

median() {
    [ ! -s "$1" ] || sort -n "$1" | awk '{ n[NR] = $1 }
        END { print (n[int((NR + 1) / 2)] + n[int(NR / 2) + 1]) / 2 }'
}

declare -A title=([bare]='bare loop' [axvm]=axvm-run
    [axvm-pci]='..., PCI'
    [microvm]='QEMU microvm' [pc]='QEMU pc' [pc-iothread]='pc, iothread'
    [lkvm]=kvmtool)

# header LABEL VMM...: what the columns of the rows below are.
header() {
    local vmm
    printf '\n%-31s' "$1"
    shift
    columns=("$@")
    for vmm; do
        printf ' %13s       ' "${title[$vmm]}"
    done
    printf '\n'
}

# row LABEL ROW DIVISOR UNIT: the medians, and how often the first column's.
row() {
    local label=$1 row=$2 divisor=$3 unit=$4 vmm first='' number
    printf '%-31s' "$label"
    for vmm in "${columns[@]}"; do
        number=$(median "$work/$row.$vmm")
        if [ -z "$number" ]; then
            printf ' %13s       ' -
        else
            first=${first:-$number}
            awk -v number="$number" -v first="$first" -v divisor="$divisor" \
                -v unit="$unit" 'BEGIN {
                    printf " %9.2f %-3s", number / divisor, unit
                    printf (number == first) ? "       " : " %5.*fx", \
                        number / first < 100 ? 2 : 0, number / first }'
        fi
    done
    printf '\n'
}

printf '%s; medians of %s rounds; x: times the first column\n' \
    "$("$axvm" --version 2>/dev/null | head -n 1)" "$rounds"
bench_host() {
    header "" "${vmms[@]}"
    measure pio 2 Z pio kernel
    row 'port read, a device answers' pio 100000 us
    measure mmio 2 Z mmio split
    row 'MMIO read, a device answers' mmio 100000 us
    measure serial 2 Z serial kernel
    row 'byte written to the UART' serial 100000 us
    measure first 1 '' pio kernel
    row 'exec to the first byte, 256 MiB' first 1000 ms
    measure resident 3 '' pio kernel
    row 'resident without guest RAM' resident 1024 MiB

    # ---- control: the library itself, beside a bare loop that is kicked

    for ((round = 0; round < rounds; round++)); do
        "$bench/control" 2>>"$work/errors" | while read -r name ns; do
            echo "$ns" >>"$work/control.$name"
        done
    done
    printf '\n%-31s' 'stopping and asking'
    for name in bare-kick suspend resume list-in-flood list-in-flood-99; do
        median "$work/control.$name" >"$work/$name"
    done
    awk -v kick="$(cat "$work/bare-kick")" -v suspend="$(cat "$work/suspend")" \
        -v resume="$(cat "$work/resume")" -v list="$(cat "$work/list-in-flood")" \
        -v most="$(cat "$work/list-in-flood-99")" 'BEGIN {
            if (!kick) { print " -"; exit }
            printf "\nkick of a bare loop             %9.2f us\n", kick / 1000
            printf "suspend                         %9.2f us %5.2fx\n",
                suspend / 1000, suspend / kick
            printf "resume                          %9.2f us %5.2fx\n",
                resume / 1000, resume / kick
            printf "list, 8 vCPUs flood exits       %9.2f ms, 99 of 100 within %.2f ms\n",
                list / 1e6, most / 1e6
        }'

    # ---- debugging: the stub, beside a bare loop that steps

    for ((round = 0; round < rounds; round++)); do
        "$bench/gdb" 2>>"$work/errors" | while read -r name ns; do
            echo "$ns" >>"$work/gdb.$name"
        done
    done
    printf '\n%-31s' 'debugging'
    for name in bare-step stepi access-alone access-attached memory-digits \
        memory-bytes; do
        median "$work/gdb.$name" >"$work/$name"
    done
    awk -v bare="$(cat "$work/bare-step")" -v step="$(cat "$work/stepi")" \
        -v alone="$(cat "$work/access-alone")" \
        -v attached="$(cat "$work/access-attached")" \
        -v digits="$(cat "$work/memory-digits")" \
        -v bytes="$(cat "$work/memory-bytes")" 'BEGIN {
            if (!bare) { print " -"; exit }
            printf "\nsingle step of a bare loop       %9.2f us\n", bare / 1000
            printf "stepi through the stub          %9.2f us %5.2fx\n",
                step / 1000, step / bare
            printf "port write, debugger attached   %9.2f us %5.2fx\n",
                attached / 1000, attached / alone
            printf "memory, digits (m packets)      %9.0f MB/s\n",
                16777.216 / (digits / 1e6)
            printf "memory, bytes (x packets)       %9.0f MB/s\n",
                16777.216 / (bytes / 1e6)
        }'

    # ---- vsock: the device and a driver, beside a socket alone

    "$bench/vsock" 2>>"$work/errors" | awk '
        { ns[$1] = $2 }
        function rate(label, mib) {
            printf "%-31s %9.0f MiB/s %5.2fx\n", label, 1e9 / mib,
                mib / ns["vsock_floor_mib"]
        }
        END {
            if (!NR) exit
            printf "\nvsock; x: times a socket alone\n"
            rate("from the guest, 64 KiB packets", ns["vsock_to_host_mib"])
            rate("to the guest, 4 KiB buffers", ns["vsock_to_guest_4k_mib"])
            rate("to the guest, 64 KiB buffers", ns["vsock_to_guest_64k_mib"])
            printf "%-31s %9.2f us    %5.2fx\n", "64 bytes there and back",
                ns["vsock_trip"] / 1000, ns["vsock_trip"] / ns["vsock_floor_trip"]
        }' || true
}
if [ -w /dev/kvm ]; then
    bench_host
else
    printf '\n/dev/kvm cannot be opened: only the lab is measured\n'
fi

strip -o "$work/stripped" "$axvm"
printf '\nstatic binary, stripped: %s bytes\n' "$(stat -c %s "$work/stripped")"
if [ -s "$work/errors" ]; then
    printf '\nwhat went wrong:\n'
    sort "$work/errors" | uniq -c | sort -rn | head -n 10
fi
[ "$lab" ] || exit 0

# ---- Debian's cloud kernel, in the lab

"$top/scripts/setup.sh" lab
kernel=$("$top/scripts/lab-kernel.sh" cloud) || {
    printf '\nno Linux: %s\n' "$kernel"
    exit 0
}
"$top/tests/linux/make-initrd.sh" "$work/initrd"
options=(--axvm "$axvm" --timeout 900 --file "$bench/stopwatch"
    --file "$work/initrd" --file "$kernel/vmlinuz"
    --file "$top/bench/lab-parts.sh" --file "$top/bench/linux.sh"
    --file "$top/bench/disk.sh")

# QEMU is linked dynamically: take its libraries and firmware along.
if has qemu-system-x86_64; then
    qemu=$(command -v qemu-system-x86_64)
    mkdir -p "$work/qemu/lib" "$work/qemu/share"
    cp "$qemu" "$work/qemu/qemu"
    ldd "$qemu" | grep -o '/[^ ]*' | while IFS= read -r library; do
        cp -L "$library" "$work/qemu/lib/"
    done
    for blob in bios-256k.bin bios-microvm.bin linuxboot_dma.bin kvmvapic.bin; do
        cp -L "$(find -L /usr/share/seabios /usr/share/qemu -name $blob \
            -print -quit)" "$work/qemu/share/"
    done
    options+=(--file "$work/qemu")
fi
! has lkvm || options+=(--file "$(command -v lkvm)")
# in_lab SCRIPT: runs it there with the number of rounds; its lines begin with
# its name, a VMM and what was measured, and pile up in $work/NAME.[PHASE.]VMM.
in_lab() {
    "$top/scripts/lab.sh" x86_64 "${options[@]}" --log "$work/log" -- \
        sh "$1.sh" "$rounds" </dev/null >"$work/lab" 2>&1 || {
        tail -n 20 "$work/lab"
        die "the lab failed"
    }
    sed -n "s/\r*\$//; s/^$1: //p" "$work/log"
}
while read -r vmm us _; do
    echo "$us" >>"$work/linux.$vmm"
done < <(in_lab linux)
header 'in the lab' axvm axvm-pci microvm pc lkvm
row 'Linux, exec to /init' linux 1000000 s

# ---- a disk, one request at a time; its time and the processor's

options+=(--memory 2048)
"$top/tests/linux/make-initrd.sh" --virtio "$work/initrd" "$bench/disk"
while read -r vmm phase wall_us cpu_us; do
    echo "$wall_us" >>"$work/disk-$phase.$vmm"
    echo "$cpu_us" >>"$work/disk-$phase-cpu.$vmm"
done < <(in_lab disk)
header 'a disk in the lab' axvm axvm-pci microvm pc pc-iothread lkvm
for what in 'read-4k 2000' 'write-4k 2000' 'read-1m 96' 'write-1m 96'; do
    read -r phase count <<<"$what"
    row "$phase, per request" "disk-$phase" "$count" us
    row "$phase, processor" "disk-$phase-cpu" "$count" us
done

# ---- TCP to the host; its time, and the processor's in the VMM (which does not
# count what vhost does in the kernel)

(cmake --preset release && cmake --build --preset release \
    --target axvm-run) >build/release.log 2>&1 ||
    die "the build failed: see build/release.log"
# shellcheck disable=SC2034 # for net-parts.sh
here=$top/tests/linux dynamic=$top/build/release/axvm-run
. "$top/tests/linux/net-parts.sh"
"$top/tests/linux/make-initrd.sh" --virtio "$work/initrd" "$bench/net"
options+=(--timeout 3600 --file "$bench/net" --file "$top/bench/net.sh")
while read -r vmm phase wall_us cpu_us; do
    echo "$wall_us" >>"$work/net-$phase.$vmm"
    echo "$cpu_us" >>"$work/net-$phase-cpu.$vmm"
done < <(in_lab net)
header 'TCP in the lab' axvm axvm-pci microvm pc
for mode in user tap vhost; do
    for what in 'trip 2000 trip' 'send 64 MiB' 'receive 64 MiB'; do
        read -r phase count unit <<<"$what"
        row "$mode: $phase, per $unit" "net-$mode-$phase" "$count" us
        row "$mode: $phase, processor" "net-$mode-$phase-cpu" "$count" us
    done
done

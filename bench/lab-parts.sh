# shellcheck shell=dash
# lab-parts.sh - what the benches of the lab share: the guest, QEMU, and who
# begins a round. Read by them there, and by bench.sh for the latter alone.
#
# A bench has a function measure VMM COMMAND..., which runs it and prints.

# write_guest CMDLINE: guest.toml, to which tables may be added.
write_guest() {
    cmdline=$1
    cat >guest.toml <<END
[base]
memory = "256M"
[kernel]
kernel_path = "vmlinuz"
initrd = "initrd"
cmdline = "$cmdline"
END
}

# lab_qemu VMM MACHINE [OPTION...]: measures the same guest in it.
lab_qemu() {
    vmm=$1 machine=$2
    shift 2
    measure "$vmm" qemu/lib/ld-linux-x86-64.so.2 \
        --library-path qemu/lib qemu/qemu -L qemu/share -M "$machine" \
        -accel kvm -cpu host -m 256 -nodefaults -no-user-config -display none \
        -no-reboot -serial stdio -kernel vmlinuz -initrd initrd \
        -append "$cmdline" "$@"
}

# in_turn ROUND NAME...: the names as they come in that round, counted from 0.
# Each begins with another one, so that what a place in the row gives or takes
# is shared out.
in_turn() {
    skip=$(($1 % ($# - 1)))
    shift
    while [ "$skip" -gt 0 ]; do
        skip=$((skip - 1))
        set -- "$@" "$1"
        shift
    done
    echo "$@"
}

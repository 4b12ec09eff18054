#!/usr/bin/env bash
# lab.sh ARCH [OPTIONS] [--] COMMAND...: runs COMMAND on a Linux host with KVM.
#
# The host is an emulated machine with virtualization extensions, a Debian
# kernel and a busybox initramfs in which axvm-run and axvm, linked statically, are
# on the PATH. COMMAND goes to its shell, as with ssh; its console is this
# terminal, and its exit status becomes ours.
#
#   ARCH              x86_64: QEMU with SVM, a second or three to start;
#                     x86_64-vtx: Bochs with VT-x, half a minute
#   --file PATH[=NAME]  put a file or directory there as NAME (default: its own
#                     name; in COMMAND's directory unless NAME is absolute).
#                     Repeatable.
#   --host            COMMAND finds the files of this computer instead, and runs in
#                     the directory that it has here; what it writes is gone
#                     at the end (x86_64 only; relative --files are in /lab)
#   --axvm FILE       the axvm-run to take, and the axvm beside it; default: build
#                     the static preset
#   --no-axvm         do without one
#   --timeout N       give up after N seconds (default 120): status 124
#   --memory MIB      of the machine (default 1024)
#   --cpus N          of the machine (default 1)
#   --log FILE        keep the console's output there, too
#
# Status 77 with a line "SKIP: reason" says that this computer cannot do it.

set -eu
. "$(dirname "$0")/lib.sh"

arch=
files=()
axvm=
host=
timeout=120
memory_mib=1024
cpus=1
keep=
case ${1:-} in
-*) ;;
?*) arch=$1 && shift ;;
esac
while [ $# -gt 0 ]; do
    case $1 in
    --help) help_text && exit ;;
    --file | --axvm | --timeout | --memory | --cpus | --log)
        [ $# -ge 2 ] || usage_error "$1 needs a value"
        case $1 in
        --file) files+=("$2") ;;
        --axvm) axvm=$2 ;;
        --timeout) timeout=$2 ;;
        --memory) memory_mib=$2 ;;
        --cpus) cpus=$2 ;;
        --log) keep=$2 ;;
        esac
        shift 2
        ;;
    --host) host=yes && shift ;;
    --no-axvm) axvm=none && shift ;;
    --) shift && break ;;
    -*) usage_error "unknown option '$1'" ;;
    *) break ;;
    esac
done
case $arch in
x86_64) needs=(qemu-system-x86) ;;
x86_64-vtx)
    needs=(bochs bochs-term bochsbios vgabios grub-pc-bin grub-common xorriso
        mtools)
    ;;
aarch64 | riscv64)
    die "$arch guests come with a later capability (the $arch engine);" \
        "only x86_64 and x86_64-vtx are there now"
    ;;
'') usage_error "no architecture given" ;;
*) usage_error "unknown architecture '$arch'" ;;
esac
[ $# -gt 0 ] || usage_error "no command given"
[ -z "$host" ] || [ "$arch" = x86_64 ] || usage_error "--host is for x86_64"
for package in "${needs[@]}" busybox-static cpio; do
    have_packages "$package" || skip "$arch lab: package $package is missing"
done

if [ -z "$axvm" ]; then
    axvm=$top/build/static/axvm-run
    mkdir -p "$top/build"
    (
        flock 9
        cd "$top" && cmake --preset static && cmake --build --preset static \
            --target axvm-run axvm-client
    ) 9>"$top/build/.static-lock" >"$top/build/static.log" 2>&1 ||
        die "the static build failed: see build/static.log"
fi

flavour=cloud
[ -z "$host" ] || flavour=generic # which has 9p
kernel=$("$top/scripts/lab-kernel.sh" $flavour) || {
    status=$?
    printf '%s\n' "$kernel"
    exit $status
}

work=$(mktemp -d "${TMPDIR:-/tmp}/axvm-lab.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
console=$work/console
: >"$console"

# ---- what the machine finds in its initramfs

root=$work/root
mkdir -p "$root"/{bin,dev,proc,sys,tmp,run,etc,lab,lib/modules}
cp "$(command -v busybox)" "$root/bin/busybox"
bin=$root/bin
if [ -n "$host" ]; then
    bin=$root/lab/bin
    mkdir "$bin"
    cp -r "$kernel/tree/lib/modules/." "$root/lib/modules"
fi
if [ "$axvm" != none ]; then
    cp "$axvm" "$bin/axvm-run"
    [ ! -e "$(dirname "$axvm")/axvm" ] ||
        cp "$(dirname "$axvm")/axvm" "$bin/axvm"
fi
for module in irqbypass kvm ccp kvm-amd kvm-intel; do
    [ ! -e "$kernel/modules/$module.ko" ] ||
        cp "$kernel/modules/$module.ko" "$root/lib/modules/"
done
for file in ${files[@]+"${files[@]}"}; do
    path=${file%%=*} name=${file#*=}
    [ "$name" != "$file" ] || name=$(basename "$path")
    case $name in
    /*) name=$root$name ;;
    *) name=$root/lab/$name ;;
    esac
    [ -e "$path" ] || die "--file $path: no such file"
    mkdir -p "$(dirname "$name")"
    cp -rL "$path" "$name"
done
printf '%s\n' "$*" >"$root/lab/.command"
onlcr=-onlcr # nobody's terminal needs the carriage returns
if [ -t 0 ] && [ -t 1 ]; then
    onlcr=onlcr
fi
cat >"$root/init" <<END
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin HOME=/lab TERM=${TERM:-dumb}
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmp /dev/shm
ln -s /proc/self/fd /dev/fd
ifconfig lo up
dmesg -n 1
insmod /lib/modules/irqbypass.ko
insmod /lib/modules/kvm.ko
if grep -qw vmx /proc/cpuinfo; then
    insmod /lib/modules/kvm-intel.ko
else
    [ ! -e /lib/modules/ccp.ko ] || insmod /lib/modules/ccp.ko
    insmod /lib/modules/kvm-amd.ko
fi
cd /lab
exec </dev/console >/dev/console 2>&1
END
# This computer's root as it is, below what the machine writes.
[ -z "$host" ] || cat >>"$root/init" <<'END'
modprobe -a virtio_pci 9pnet_virtio 9p overlay
mkdir -p /host /written /root
mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=500000,cache=loose \
    host /host
mount -t tmpfs written /written
mkdir /written/files /written/work
mount -t overlay -o lowerdir=/host,upperdir=/written/files,workdir=/written/work \
    root /root
mkdir -p /root/lab
mount --bind /lab /root/lab
for dir in dev proc sys; do
    mount --move /$dir /root/$dir
done
mount -t tmpfs run /root/run
export PATH=/lab/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
END
cat >>"$root/init" <<END
setsid -c ${host:+chroot /root} /bin/sh /lab/.session
poweroff -f
END
chmod +x "$root/init"
# The last stty waits for the line to run empty: what a session has not sent
# when it ends is lost.
cat >"$root/lab/.session" <<END
stty $onlcr
${host:+cd $(printf %q "$PWD")}
sh /lab/.command
echo "lab: exit status \$?"
stty $onlcr
END
(cd "$root" && find . -print0 | cpio --null -o -H newc -R 0:0 --quiet) \
    >"$work/initrd"
rm -rf "$root"

# ---- the machines: each writes its console to ours and to $console

# QEMU's processor changes its mask of pending interrupts at the end of each
# guest's turn without a lock, so that the timer's interrupt may be lost, which
# is then never started again: the machine stands still. A tick that comes by
# itself mends that 4 ms later.
append="console=ttyS0 quiet panic=-1 no_timer_check nohz=off highres=off"

run_qemu() {
    local disks=()

    [ -z "$host" ] || disks=(
        -fsdev "local,id=host,path=/,readonly=on,security_model=none,multidevs=remap"
        -device "virtio-9p-pci,fsdev=host,mount_tag=host")
    timeout --foreground -k 5 "$timeout" qemu-system-x86_64 \
        -accel tcg,thread=multi -cpu max -smp "$cpus" -m "$memory_mib" \
        -nodefaults -no-user-config -display none -no-reboot \
        ${disks[@]+"${disks[@]}"} \
        -chardev "stdio,id=console,signal=off,logfile=$console" \
        -serial chardev:console \
        -kernel "$kernel/vmlinuz" -initrd "$work/initrd" -append "$append"
}

# Bochs needs a terminal for its own screen, which nobody looks at, and its
# debugger waits for a "c". It can only start what a BIOS finds on a disk.
run_bochs() {
    local iso=$work/iso tee status=0

    mkdir -p "$iso/boot/grub"
    cp "$kernel/vmlinuz" "$iso/boot/vmlinuz"
    mv "$work/initrd" "$iso/boot/initrd"
    cat >"$iso/boot/grub/grub.cfg" <<END
linux /boot/vmlinuz $append
initrd /boot/initrd
boot
END
    grub-mkrescue -o "$work/lab.iso" "$iso" >"$work/mkrescue.log" 2>&1 || {
        cat "$work/mkrescue.log" >&2
        die "grub-mkrescue failed"
    }
    echo c >"$work/debugger"
    cat >"$work/bochsrc" <<END
cpu: model=corei5_arrandale_m520, ips=20000000
memory: guest=$memory_mib, host=$memory_mib
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
display_library: term
ata0-master: type=cdrom, path=$work/lab.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=$work/serial
clock: sync=none, time0=utc
log: $work/bochs.log
panic: action=fatal
speaker: enabled=0
END
    mkfifo "$work/serial"
    tee "$console" <"$work/serial" &
    tee=$!
    exec 8>"$work/serial" # the reader starts even if Bochs never opens it
    TERM=vt100 timeout --foreground -k 5 "$timeout" script -qfec \
        "bochs -q -f '$work/bochsrc' -rc '$work/debugger'" /dev/null \
        </dev/null >"$work/screen" 2>&1 8>&- || status=$?
    exec 8>&-
    wait "$tee"
    return $status
}

run() {
    case $arch in
    x86_64) run_qemu ;;
    x86_64-vtx) run_bochs ;;
    esac
}

status=0
if [ -t 0 ] && [ -t 1 ]; then
    run || status=$?
else
    run </dev/null || status=$?
fi
[ -z "$keep" ] || cp "$console" "$keep"
[ "$status" != 124 ] || {
    say "no end after $timeout s"
    exit 124
}
status=$(sed -n 's/\r*$//; s/^lab: exit status \([0-9][0-9]*\)$/\1/p' \
    "$console" | tail -n 1)
[ -n "$status" ] || die "the machine ended before the command did"
exit "$status"

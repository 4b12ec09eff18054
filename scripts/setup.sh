#!/usr/bin/env bash
# setup.sh ROLE...: installs the Debian packages of a role. Internal helper.
#
#   build  compile axvm-run            test  run every test and check
#   lab    nested Linux in QEMU        vtx   real VT-x in Bochs (slow tests)
#   fuzz   search for new inputs        package  make the Debian package
#
# Needs root or sudo, but only when something is missing.

set -eu
. "$(dirname "$0")/lib.sh"

packages() {
    case $1 in
    build)
        echo cmake ninja-build gcc g++ binutils libc6-dev linux-libc-dev \
            libtomlplusplus-dev libinih-dev libev-dev \
            libjansson-dev libcapstone-dev libedit-dev liburing-dev \
            libslirp-dev
        ;;
    test)
        echo libcriterion-dev clang clang-format clang-tidy cppcheck \
            shellcheck mandoc acpica-tools gdb python3 qemu-utils
        ;;
    fuzz) echo clang libclang-rt-14-dev ;;
    package) echo dpkg-dev file ;;
    lab)
        echo qemu-system-x86 busybox-static cpio kmod e2fsprogs fio \
            libslirp0 git make gcc libc6-dev
        ;;
    vtx)
        echo bochs bochs-term bochsbios vgabios grub-pc-bin grub-common \
            xorriso mtools busybox-static cpio kmod
        ;;
    *) usage_error "unknown role '$1'" ;;
    esac
}

case ${1:-} in
--help) help_text && exit ;;
'') usage_error "no role given" ;;
esac

wanted=()
for role; do
    for package in $(packages "$role"); do
        have_packages "$package" || wanted+=("$package")
    done
done
[ ${#wanted[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" != 0 ]; then
    has sudo || die "as root, install: ${wanted[*]}"
    as_root=(sudo)
fi
say "installing ${wanted[*]}"
export DEBIAN_FRONTEND=noninteractive
apt=("${as_root[@]}" apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0)
"${apt[@]}" update >&2 || say "apt-get update failed, trying what is known"
"${apt[@]}" install -y --no-install-recommends "${wanted[@]}" >&2 </dev/null

#!/usr/bin/env bash
# run.sh [--vtx] [--life] [--debug] [--virtio] [--net FILE] [--tap FILE]
#     [--axvm FILE] [--guests DIR] CASE...: Debian's kernels.
#
# Boots the lab once and runs every CASE in it (see cases.sh), with a line for
# each; the same as TAP in FILE. --vtx: on real VT-x, in Bochs, and slowly.
# --virtio: the cases of virtio.sh instead, with Debian's own drivers.
# --net: those of them that are about network cards; FILE is an axvm-run that is
# linked dynamically.
# --life: the cases of life.sh instead, which control one guest with axvm.
# --debug: those of debug.sh, or with --vtx of debug-vtx.sh, in which gdb has
# guests; some are those that the build has in DIR.

set -eu
. "$(dirname "$0")/../../scripts/lib.sh"

arch=x86_64 limit=60 tap='' script=cases.sh guests='' dynamic=''
options=(--timeout 300)
while [ $# -gt 0 ]; do
    case $1 in
    --help) help_text && exit ;;
    --vtx)
        # In there, time passes several times as fast as here.
        arch=x86_64-vtx limit=1500 options+=(--timeout 1000)
        shift
        ;;
    --life) script=life.sh && shift ;;
    --debug) script=debug.sh && shift ;;
    --virtio) script=virtio.sh && shift ;;
    --net) script=virtio.sh dynamic=$2 && shift 2 ;;
    --guests) guests=$2 && shift 2 ;;
    --tap) tap=$2 && shift 2 ;;
    --axvm) options+=(--axvm "$2") && shift 2 ;;
    -*) usage_error "unknown option '$1'" ;;
    *) break ;;
    esac
done
[ $# -gt 0 ] || usage_error "no case given"
here=$top/tests/linux
[ "$script $arch" != "debug.sh x86_64-vtx" ] || script=debug-vtx.sh
[ -z "$tap" ] || rm -f "$tap"

work=$(mktemp -d "${TMPDIR:-/tmp}/axvm-linux.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 143' INT TERM HUP
for flavour in cloud generic; do
    case "$script $*" in
    *" $flavour-"*) ;;
    debug-vtx.sh*) [ $flavour = cloud ] || continue ;;
    *) continue ;;
    esac
    kernel=$("$top/scripts/lab-kernel.sh" "$flavour") || {
        status=$?
        printf '%s\n' "$kernel"
        exit $status
    }
    options+=(--file "$kernel/vmlinuz=vmlinuz-$flavour"
        --file "$kernel/release=release-$flavour")
done
initrd=("$work/initrd")
case $script$dynamic in
virtio.sh) . "$here/virtio-parts.sh" ;;
virtio.sh*) . "$here/net-parts.sh" ;;
esac
"$here/make-initrd.sh" "${initrd[@]}"
options+=(--file "$here/$script" --file "$work/initrd")

# take PROGRAM: it is linked dynamically, so with its libraries, into gdb/.
take() {
    cp -L "$(command -v "$1")" "$work/gdb/$1"
    ldd "$work/gdb/$1" | grep -o '/[^ ]*' | while IFS= read -r library; do
        cp -L "$library" "$work/gdb/lib/"
    done
}

# gdb does not start without Python: take along as much as it looks for.
take_gdb() {
    local python
    has gdb || skip "gdb is missing"
    mkdir -p "$work/gdb/lib"
    take gdb
    options+=(--file "$work/gdb")
    python=$(find /usr/lib -maxdepth 1 -name 'python3.*' -print -quit)
    [ -n "$python" ] || return 0
    mkdir "$work/python"
    cp -r "$python"/{*.py,encodings,collections,importlib,re} "$work/python/"
    options+=(--file "$work/python=$python")
    [ ! -d /usr/share/gdb/python ] ||
        options+=(--file /usr/share/gdb/python=/usr/share/gdb/python)
}

case $script in
life.sh) take_gdb ;;
debug*.sh)
    take_gdb
    has as || skip "binutils, which make symbols, are missing"
    take as
    take ld.bfd
    options+=(--file "$here/gdb.sh")
    for name in ${guests:+own-debug realmode triplefault}; do
        for file in "$guests/$name".{toml,elf,bin}; do
            [ ! -e "$file" ] || options+=(--file "$file")
        done
    done
    ;;
esac

run_lab() {
    status=0
    "$top/scripts/lab.sh" "$arch" "${options[@]}" --log "$work/log" -- \
        sh $script $limit "$@" </dev/null || status=$?
}
run_lab "$@"
if [ $status = 124 ]; then
    # QEMU's machine itself stands still, about once in fifty boots under load:
    # not even axvm-run's --timeout fires in it. A guest that hangs is a
    # failure of its case, long before this.
    echo "lab: the machine stood still; starting it once more"
    run_lab "$@"
fi
[ $status != 77 ] || exit 77
if [ -n "$tap" ]; then
    {
        echo "1..$#"
        for name; do
            sed 's/\r*$//' "$work/log" 2>/dev/null |
                grep -E "^(not )?ok ${name}[: ]" ||
                echo "not ok $name: no result, the lab's status is $status"
        done
    } | sed -E 's/^((not )?ok) /\1 - /' >"$tap"
fi
exit $status

#!/usr/bin/env bash
# run.sh TAP AXVM_RUN GUESTS: the command line as a user meets it.
#
# Statuses, messages, bad input, signals and the terminal. Writes one line of
# TAP per case to TAP. GUESTS is the folder with the built guests.
# shellcheck disable=SC2016 # the shells of script(1) expand what is quoted here
set -u

tap=$1 axvm=$2 guests=$3
top=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/axvm-cli.XXXXXX")
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work" || exit 1
out=$work/out err=$work/err
. "$top/tests/cli/lib.sh"

# ---- words and statuses ----

help_and_version() {
    run 0 "$axvm" --help && said "Ctrl-a x" "--timeout" "Exit status" &&
        run 0 "$axvm" --version && said "axvm-run $(cat "$top/VERSION")"
}
usage_errors() {
    run 2 "$axvm" && said "no guest" &&
        run 2 "$axvm" --nonsense && said "--nonsense" &&
        run 2 "$axvm" --timeout abc x.toml && said "abc" &&
        run 2 "$axvm" --timeout -1 x.toml &&
        run 2 "$axvm" --trace=everything x.toml && said "everything" &&
        run 2 "$axvm" --log-level loud x.toml && said "loud" &&
        run 2 "$axvm" --set nonsense x.toml && said "TABLE.KEY=VALUE" &&
        run 2 "$axvm" --console tty --demo && said "tty" &&
        run 2 "$axvm" check && said "at least one" &&
        run 2 "$axvm" a.toml b.toml && said "a.toml" "b.toml" &&
        run 2 "$axvm" --console file:x a.toml b.toml && said "several" &&
        run 2 "$axvm" --shell --control none && said "control socket" &&
        run 2 "$axvm" --demo a.toml && said "a.toml"
}
gdb_usage() {
    printf '[kernel]\nkernel_path = "k"\n' >g.toml
    run 2 "$axvm" --gdb=nonsense g.toml && said "nonsense" "[HOST:]PORT" &&
        run 2 "$axvm" --gdb= g.toml && run 2 "$axvm" --gdb=70000 g.toml &&
        run 2 "$axvm" --gdb=::1:1234 g.toml && said "in brackets" &&
        run 2 "$axvm" --gdb-on=crash,panic g.toml && said "crash,panic" &&
        run 2 "$axvm" --gdb-on= g.toml && run 2 "$axvm" --gdb-on=crash, g.toml &&
        run 2 "$axvm" --gdb=unix:x g.toml g.toml && said "unix:x" "several" &&
        run 2 "$axvm" --gdb=65535 g.toml g.toml && said "more guests than ports" &&
        run 2 "$axvm" --demo --gdb-wait && said "--gdb-wait" "add --gdb"
}
gdb_configures() {
    printf '[kernel]\nkernel_path = "k"\n[debug]\ngdb = 7\n' >g.toml
    printf '[kernel]\nkernel_path = "k"\n' >h.toml
    run 0 "$axvm" --dump-config --gdb h.toml && said 'gdb = "1234"' \
        'gdb_wait = false' 'gdb_on = []' &&
        run 0 "$axvm" --dump-config --gdb='*:1234' --gdb-wait g.toml h.toml &&
        said 'gdb = "*:1234"' 'gdb = "*:1235"' 'gdb_wait = true' &&
        run 0 "$axvm" --dump-config --gdb=unix:x h.toml &&
        said "gdb = \"unix:$PWD/x\"" &&
        run 0 "$axvm" --dump-config --gdb-wait --gdb-on=poweroff,crash g.toml \
            h.toml &&
        said 'gdb = "7"' '# gdb: not given' 'gdb_on = ["crash", "poweroff"]'
}
missing_file() {
    run 2 "$axvm" nothing.toml && said "nothing.toml" "No such file" &&
        run 2 "$axvm" / && run 2 "$axvm" check /dev/zero
}
five_mistakes() {
    cat >five.toml <<'EOF'
[base]
cpu_num = 65
memory = "lots"
[kernel]
kernel_pth = "vmlinuz"
entry_point = "zero"
[device]
EOF
    run 2 "$axvm" check five.toml &&
        said "five.toml:2:11: error" "five.toml:3:10: error" \
            "five.toml:5:1: error" "five.toml:6:15: error" \
            "five.toml:7:" "kernel_path" "devices" "^"
}
axvisor_files() {
    run 0 "$axvm" check "$top"/tests/data/axvisor/*.toml &&
        said "for aarch64" "for riscv64" "for x86_64"
}
strict_check() {
    run 2 "$axvm" check --strict \
        "$top"/tests/data/axvisor/qemu_x86_64_linux-smp1.toml
}
lenient_check() {
    printf '[kernel]\nkernel_path = "k"\nnonsense = 1\n' >lenient.toml
    run 2 "$axvm" check lenient.toml && said "nonsense" &&
        run 0 "$axvm" check --lenient lenient.toml && said "warning"
}
dump_loads_again() {
    printf '[kernel]\nkernel_path = "k"\n' >dump.toml
    run 0 "$axvm" --dump-config --set base.cpu_num=3 dump.toml &&
        said "cpu_num = 3" && cp "$out" again.toml &&
        run 0 "$axvm" --dump-config again.toml &&
        cmp "$out" again.toml
}
other_architecture() {
    printf '[base]\narch = "aarch64"\n[kernel]\nkernel_path = "k"\n' >arm.toml
    echo "not really a kernel" >k
    run 4 "$axvm" arm.toml && said "aarch64"
}

one_line() {
    echo "not really a kernel" >k
    : >'a,b.img'
    run 0 "$axvm" --dump-config --kernel k --append 'a "b"' --cpus 3 \
        --memory 1G --disk a,,b.img,ro,serial=x --net user,hostfwd=tcp:1-2 \
        --net hostfwd=udp:1-2 --share .,tag=t --share . --vsock 3,uds=v &&
        said 'name = "guest"' 'cmdline = "a \"b\""' 'cpu_num = 3' \
            'memory = "1G"' "path = \"$PWD/a,b.img\"" 'readonly = true' \
            'serial = "x"' 'hostfwd = ["tcp:1-2"]' 'hostfwd = ["udp:1-2"]' \
            'tag = "t"' 'tag = "share1"' 'cid = 3' "uds = \"$PWD/v\"" &&
        cp "$out" again.toml && run 0 "$axvm" --dump-config again.toml &&
        cmp "$out" again.toml && run 0 "$axvm" --dump-config --kernel k \
        --virtio pci && said 'transport = "pci"'
}
one_line_mistakes() {
    echo "not really a kernel" >k
    run 2 "$axvm" --disk d.img && said "--kernel" &&
        run 2 "$axvm" --kernel k g.toml && said "g.toml" "--set" &&
        run 2 "$axvm" --kernel k --demo && said "--demo" &&
        run 2 "$axvm" check --kernel k && said "check" &&
        run 2 "$axvm" --kernel none && said "(command line)" "'none'" &&
        run 2 "$axvm" --kernel k --cpus many && said "cpu_num = \"many\"" &&
        run 2 "$axvm" --kernel k --memory 1Q && said "memory = \"1Q\"" &&
        run 2 "$axvm" --kernel k --disk none.img && said "none.img" &&
        run 2 "$axvm" --kernel k --disk k,cach=none &&
        said "did you mean 'cache'?" &&
        run 2 "$axvm" --kernel k --net usr && said 'did you mean "user"?' &&
        run 2 "$axvm" --kernel k --net user,hostfwd && said "hostfwd = true" &&
        run 2 "$axvm" --kernel k --share k && said "Not a directory" &&
        run 2 "$axvm" --kernel k --vsock 2 && said "out of range" &&
        run 2 "$axvm" --kernel k --virtio pc && said 'did you mean "pci"?' &&
        run 2 "$axvm" --virtio pci && said "--kernel" &&
        run 2 "$axvm" --kernel k --run true --initrd k && said "--initrd" &&
        run 2 "$axvm" --kernel k --root / && said "--run"
}

command_modules() { # of --run: a driver for its transport among them
    local dep="virtio_mmio virtio_console 9pnet_virtio 9p overlay" name
    set -- "$axvm" --dump-config --kernel k --run true --modules mods
    echo "not really a kernel" >k
    mkdir -p mods
    run 2 "$@" && said "mods holds no modules" || return 1
    for name in $dep; do
        echo "$name.ko:" && : >"mods/$name.ko"
    done >mods/modules.dep
    run 0 "$@" && run 0 "$@" --virtio mmio &&
        run 2 "$@" --set virtio.transport=pci &&
        said "use that instead of --set" &&
        run 2 "$@" --virtio pci &&
        said "no virtio_pci, neither as a module" "--virtio mmio" &&
        echo "virtio_pci.ko: virtio_pci_modern_dev.ko" >>mods/modules.dep &&
        run 2 "$@" --virtio pci && said "virtio_pci_modern_dev.ko: No such" &&
        : >mods/virtio_pci.ko && : >mods/virtio_pci_modern_dev.ko &&
        run 0 "$@" --virtio pci && said 'transport = "pci"' &&
        sed -i /virtio_mmio/d mods/modules.dep && run 0 "$@" --virtio pci &&
        run 2 "$@" && said "no virtio_mmio, neither as a module" "--virtio pci"
}

unwritable() {
    local file=$top/configs/flat-x86_64.toml
    run 8 sh -c '"$0" check "$1" >/dev/full' "$axvm" "$file" &&
        said "No space left" &&
        run 8 sh -c '"$0" --dump-config "$1" >/dev/full' "$axvm" "$file" &&
        run 0 sh -c '{ "$0" check "$1"; echo $? >&2; } | true' "$axvm" "$file" &&
        grep -qx 0 "$err"
}
case_ "help and version" help_and_version
case_ "usage errors have status 2 and name the culprit" usage_errors
case_ "a debugger nowhere has status 2" gdb_usage
case_ "options for a debugger are in the configuration" gdb_configures
case_ "a file that is not there, a folder, a device" missing_file
case_ "five mistakes are five located messages" five_mistakes
case_ "AxVisor's own files are valid" axvisor_files
case_ "strict makes warnings errors" strict_check
case_ "lenient makes unknown keys warnings" lenient_check
case_ "a dumped configuration loads to itself" dump_loads_again
case_ "output that cannot be written" unwritable
case_ "a guest for another architecture" other_architecture
case_ "a guest on the command line is a configuration" one_line
case_ "its mistakes have status 2 and one message" one_line_mistakes
case_ "a command's guest has the driver of its transport" command_modules

# ---- images ----

image() { # NAME STATUS WORDS: runs with kernel file $1
    printf '[base]\nmemory = "32M"\n[kernel]\nkernel_path = "%s"\n' "$1" >i.toml
    run "$2" "$axvm" --timeout 20 i.toml && said "$3"
}
bad_images() {
    : >empty
    head -c 100 "$guests/spin.elf" >truncated
    head -c 4096 "$guests/spin.elf" >half
    mkfifo fifo
    image nowhere 2 "No such file" && image empty 2 empty &&
        image . 2 "directory" && image fifo 2 fifo &&
        image truncated 2 truncated && image half 2 half
}
huge_image() {
    truncate -s 8G huge
    image huge 2 'does not fit'
}
bad_initrd() {
    truncate -s 1G big-initrd
    printf '[base]\nmemory = "32M"\n[kernel]\nkernel_path = "%s"\ninitrd = "big-initrd"\n' \
        "$guests/spin.elf" >i.toml
    run 2 "$axvm" --timeout 20 i.toml && said "initrd" "does not fit"
}
unknown_feature() {
    run 2 "$axvm" --demo --set 'cpu.hide=["avx3"]' && said "avx3" "'avx'"
}
too_much_memory() {
    run 4 "$axvm" --demo --set base.memory=100000G && said "memory"
}

kvm_case "images that are none" bad_images
kvm_case "an image larger than memory" huge_image
kvm_case "an initrd larger than memory" bad_initrd
kvm_case "more memory than the host has" too_much_memory
kvm_case "a CPU feature that nobody knows" unknown_feature

# ---- a host that cannot ----

no_device() {
    run 4 unshare -m sh -c 'mount -t tmpfs none /dev && exec "$0" probe' \
        "$axvm" && said "ENOENT" "cannot run guests" &&
        run 4 unshare -m sh -c 'mount -t tmpfs none /dev && exec "$0" --demo' \
            "$axvm" && said "ENOENT"
}
no_permission() {
    cp "$axvm" axvm-run-copy && chmod 755 axvm-run-copy || return
    HOME=$work run 4 setpriv --reuid=65534 --regid=65534 --clear-groups \
        "$work/axvm-run-copy" probe && said "EACCES" "group"
}
wrong_device() {
    run 4 unshare -m sh -c 'mount --bind /dev/null /dev/kvm && exec "$0" probe' \
        "$axvm" && said "API version"
}

if [ "$(id -u)" = 0 ] && [ $have_kvm ] && unshare -m true 2>/dev/null; then
    case_ "no /dev/kvm" no_device
    case_ "no permission for /dev/kvm" no_permission
    case_ "a /dev/kvm that is none" wrong_device
else
    for name in "no /dev/kvm" "no permission for /dev/kvm" \
        "a /dev/kvm that is none"; do
        skip "$name" "needs root, mount namespaces and /dev/kvm"
    done
fi
probe_works() {
    run 0 "$axvm" probe && said "/dev/kvm" "can run guests"
}
kvm_case "probe" probe_works

# ---- running ----

demo() { # STATUS INPUT OPTION...
    local wanted=$1 input=$2
    shift 2
    printf '%b' "$input" |
        timeout 60 "$axvm" --demo --timeout 40 "$@" >"$out" 2>"$err"
    status=$?
    [ "$status" = "$wanted" ] && return
    echo "# status $status instead of $wanted"
    sed 's/^/# /' "$out" "$err" | head -60
    return 1
}
demo_off() {
    demo 0 'help\npoweroff\n' && said "demo>" "powered off"
}
demo_crash() {
    demo 6 'fault\n' && said "triple fault" "rip" "exits, oldest first" "IoWrite"
}
timeout_status() {
    run 124 "$axvm" --timeout 0.5 "$guests/spin.toml" && said "timeout"
}
stats() {
    demo 0 'poweroff\n' --stats && said "uart16550" "IoWrite" "first guest entry" &&
        demo 0 'poweroff\n' --stats=stats.json &&
        grep -q '"IoWrite"' stats.json && grep -q '"first_byte"' stats.json &&
        { ! command -v python3 >/dev/null ||
            python3 -m json.tool stats.json >/dev/null; }
}
trace() {
    demo 0 'poweroff\n' --trace=exits:trace.txt &&
        grep -q 'demo-vcpu0 IoWrite port=0x3f8 width=1 <- ' trace.txt &&
        run 2 "$axvm" --demo --trace=exits:/nonexistent/t && said "/nonexistent/t"
}
full_disk() {
    demo 0 'poweroff\n' --log-file /dev/full &&
        demo 8 'poweroff\n' --stats=/dev/full && said "No space left" &&
        demo 0 '' --console=file:/dev/full --timeout 1
    [ "$status" = 124 ]
}
console_file() {
    run 124 "$axvm" --demo --console=file:console.txt --timeout 2 &&
        grep -q 'demo>' console.txt &&
        run 2 "$axvm" --demo --console=file:/nonexistent/c && said "No such file"
}
closed_descriptors() {
    (exec <&- && timeout 60 "$axvm" --demo --timeout 1 >"$out" 2>"$err")
    [ $? = 124 ] || return 1
    (exec >&- && printf 'poweroff\n' | timeout 60 "$axvm" --demo 2>"$err") ||
        return 1
    printf 'poweroff\n' | timeout 60 "$axvm" --demo 2>&- >"$out"
}
reader_leaves() {
    set -o pipefail
    timeout 60 "$axvm" --demo --timeout 5 2>"$err" </dev/null | head -c 1 >"$out"
    status=$?
    set +o pipefail
    [ "$status" = 124 ]
}
signals() {
    local sig pid
    for sig in INT TERM; do
        "$axvm" --timeout 50 "$guests/spin.toml" >"$out" 2>"$err" </dev/null &
        pid=$!
        # Until it runs, the signal would meet a process that is no VM yet.
        timeout 20 sh -c 'until ls /proc/$0/task/*/comm | xargs cat | grep -q vcpu0
            do :; done 2>/dev/null' "$pid"
        kill -"$sig" "$pid"
        wait "$pid" || { echo "# status $? after SIG$sig" && return 1; }
    done
}
reboots() {
    run 124 "$axvm" --timeout 3 --set base.on_reboot=restart \
        "$guests/reset.toml" && said "restarting, start 2" "restarting, start 3" &&
        run 2 "$axvm" check --set base.on_reboot=again "$guests/reset.toml" &&
        said "restart"
}
# signalled STATUS TEXT SIGNALS OPTION...: signals a powerbutton guest that waits.
signalled() {
    local wanted=$1 text=$2 signals=$3 pid sig
    shift 3
    : >"$out" # what an earlier one has said is not for us
    : >"$err"
    "$axvm" --timeout 50 "$@" "$guests/powerbutton.toml" \
        >"$out" 2>"$err" </dev/null &
    pid=$!
    timeout 20 sh -c 'until grep -q waiting "$0"; do :; done' "$out"
    for sig in $signals; do
        kill -"$sig" "$pid"
        # Signals of one kind merge: the next one when this one was served.
        timeout 20 sh -c 'until grep -q "asked to power off" "$0"; do :; done' \
            "$err"
    done
    wait "$pid"
    status=$?
    [ "$status" = "$wanted" ] && said "$text"
}
asked_to_power_off() {
    signalled 0 "pressed: powering off" TERM &&
        signalled 0 "the guest powered off" INT --set cpu.irqchip=split
}
deaf_to_the_button() {
    signalled 0 "not powered off in time" TERM \
        --set kernel.cmdline=deaf=yes --set base.stop_timeout=0.2 &&
        signalled 0 "asked to power off" "TERM TERM" \
            --set kernel.cmdline=deaf=yes --set base.stop_timeout=1000
}
debug_exit() {
    run 33 "$axvm" --timeout 40 "$guests/selfmod.toml"
}

kvm_case "the demo guest powers off" demo_off
kvm_case "a crash is explained, status 6" demo_crash
kvm_case "a timeout is status 124" timeout_status
kvm_case "statistics as text and JSON" stats
kvm_case "a trace of exits" trace
kvm_case "full disks" full_disk
kvm_case "the console in a file" console_file
kvm_case "closed descriptors" closed_descriptors
kvm_case "a reader that leaves" reader_leaves
kvm_case "SIGINT and SIGTERM end the guest" signals
kvm_case "a signal presses the power button" asked_to_power_off
kvm_case "a guest deaf to it ends, too" deaf_to_the_button
kvm_case "the guest's own status" debug_exit
kvm_case "a guest that reboots for ever" reboots

# ---- the terminal ----

# on_terminal KEYS COMMAND TEXT: runs it on a terminal of its own and types KEYS
# once TEXT has appeared. False if the terminal's settings have changed.
on_terminal() {
    mkfifo keys.$$ 2>/dev/null
    : >typescript
    timeout 60 script -qfec "stty -g >before; $2; echo status=\$? >status; stty -g >after" \
        typescript <keys.$$ >"$out" 2>&1 &
    local pid=$!
    {
        timeout 30 sh -c 'until grep -q "$0" typescript; do :; done' "$3"
        printf '%b' "$1"
        timeout 40 tail --pid="$pid" -f /dev/null
    } >keys.$$
    wait "$pid"
    rm -f keys.$$
    cmp before after || { echo "# the terminal is not restored" && return 1; }
}
terminal_power_off() {
    on_terminal 'poweroff\r' "$axvm --demo --timeout 30" 'demo>' && ended_with 0
}
terminal_escape() {
    on_terminal '\001h\001s\001x' "$axvm --demo --timeout 30" 'demo>' &&
        ended_with 0 && grep -q "end the guest" typescript &&
        grep -q uart16550 typescript
}
terminal_crash() {
    on_terminal 'fault\r' "$axvm --demo --timeout 30" 'demo>' && ended_with 6
}
terminal_timeout() {
    on_terminal '' "$axvm --demo --timeout 2" 'demo>' && ended_with 124
}
terminal_fatal_signal() {
    cat >fatal.sh <<EOF
set -m
(timeout 20 sh -c 'until grep -q "demo>" typescript; do :; done'
 pkill -$1 -f -- "$axvm --demo --timeout 31") &
$axvm --demo --timeout 31
EOF
    on_terminal '' "bash fatal.sh" 'demo>'
}
terminal_failed_start() {
    on_terminal '' "$axvm --demo --set base.memory=100000G" 'memory' &&
        ended_with 4
}

trap '' PIPE # a case that ends early leaves its keys unread
if command -v pkill >/dev/null &&
    script -qfec true /dev/null >/dev/null 2>&1 </dev/null; then
    kvm_case "terminal restored: power-off" terminal_power_off
    kvm_case "terminal restored: Ctrl-a keys" terminal_escape
    kvm_case "terminal restored: crash of the guest" terminal_crash
    kvm_case "terminal restored: timeout" terminal_timeout
    for sig in TERM INT HUP SEGV ABRT BUS; do
        kvm_case "terminal restored: SIG$sig" terminal_fatal_signal "$sig"
    done
    kvm_case "terminal restored: failed start" terminal_failed_start
else
    skip "terminal restored" "needs script(1), pkill(1) and pseudo terminals"
fi

echo "1..$count" >>"$tap"
exit $failed

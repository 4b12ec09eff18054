#!/bin/busybox sh
# shellcheck shell=dash
# debug.sh SECONDS CASE...: Debian's gdb on one Linux guest with two CPUs; each
# CASE but the first, entry, begins with the guest ticking and leaves it so, but
# for the last, poweroff. Runs in the lab (scripts/lab.sh) beside vmlinuz-cloud,
# initrd, gdb/ and gdb.sh; run.sh starts it. Prints "ok CASE" or "not ok CASE:
# reason" for each. Breakpoints are for debug-vtx.sh: QEMU has none for guests
# of its guests.
#
# shellcheck disable=SC2016  # gdb has variables, too

limit=$1 failed=0
shift
. ./gdb.sh
: >console

# said TEXT: how often the guest has said it.
said() { grep -c "ax: $1" console; }

# last KEY: what it said about it last.
last() { sed -n "s/\r*\$//; s/.*ax: $1 //p" console | tail -n 1; }

# more TEXT COUNT: waits until it was said more than COUNT times.
more() {
    end=$(($(date +%s) + limit))
    until [ "$(said "$1")" -gt "$2" ]; do
        [ "$(date +%s)" -lt "$end" ] || {
            echo "no '$1'"
            return 1
        }
        usleep 50000 # the processor is the guest's, too
    done
}

ticks() { more tick "$(($(said tick) + 2))"; }

# types TEXT: on the guest's console, until somebody kills $typist.
types() {
    { echo "$1" | axvm console linux >/dev/null 2>&1; } &
    typist=$!
}

# attach: gdb with the kernel's symbols, wherever that has moved.
attach() {
    gdb_start gdb.sock >/dev/null
    ask "$(ask 'monitor kaslr' | sed -n 's/^ *\(add-symbol-file .*\)/\1/p')"
}

# The bytes of a boot protocol, no stack, and the other CPU not yet there.
cloud_entry() {
    gdb_start gdb.sock >/dev/null
    is "offset of the entry" "$(value '(long)$pc & 0xfff')" 0x200
    is "HdrS in the zero page" "$(value '*(unsigned *)($rsi + 0x202)')" \
        0x53726448
    is "CR0's PG and PE" "$(value '$cr0 & 0x80000001')" 0x80000001
    has cld "$(ask 'x/2i $pc')"
    has cli "$(ask 'x/2i $pc')"
    walk 5
    has "waits for SIPI" "$(ask 'info threads')"
    has "no Linux kernel" "$(ask 'monitor kaslr')"
    axvm list | grep -q suspended || echo "the list does not say so"
    let_go
    has SIGINT "$(interrupt)"
    let_go
    has SIGINT "$(interrupt)"
    has "64-bit mode" "$(ask 'info threads')"
    gdb_end
    more tick 2
}

# stands PATTERN: lets it run on until the first CPU stands in such a function.
stands() {
    tries=0
    until ask "thread 1" >/dev/null && ask 'info symbol $pc' >symbol &&
        grep -qE "$1" symbol; do
        [ $((tries += 1)) -lt 50 ] || {
            echo "it never stands in $1"
            return 1
        }
        let_go
        interrupt >/dev/null
    done
}

cloud_symbols() {
    attach >/dev/null
    is linux_banner "$(value '&linux_banner')" "0x$(last banner)"
    has "Linux version $(uname -r)" "$(ask 'x/s &linux_banner')"
    stands 'idle|halt'
    frames=$(ask backtrace | grep -c '^#[0-2].* in [a-z_0-9]* ()')
    [ "$frames" = 3 ] || echo "no backtrace"
    gdb_end
    ticks
}

# steps: judges pairs of "=> this" and "next", each pair behind a step. The CPU
# traps one instruction later behind those that hold traps off.
steps() {
    awk '
        function address(at) { sub(/:$/, "", at); return at }
        behind {
            behind = 0
            next_ = goes ? target : address($1)
        }
        $1 == "=>" {
            at = address($2)
            if (count++ && !anywhere && at != next_ &&
                !(branch && at == target) && !(again && at == before))
                print at " behind " said " at " before
            before = at
            said = $0
            sub(/.*:\t/, "", said)
            split(said, word, / +/)
            target = word[2]
            goes = word[1] ~ /^(jmp|call)/
            branch = word[1] ~ /^(j|loop)/
            again = word[1] ~ /^rep/
            anywhere = word[1] ~ /^(ret|iret|sys|int|sti)/ ||
                goes && said ~ /\*/ || said ~ /,%ss/
            behind = 1
        }
        END { if (count < 100) print "only " count + 0 " steps" }'
}

cloud_steps() {
    attach >/dev/null
    stands 'idle|halt'
    cat >steps.gdb <<'END'
set $n = 0
while $n < 100
x/2i $pc
stepi
set $n = $n + 1
end
END
    ask "source steps.gdb" | steps
    gdb_end
    ticks
}

# The host name, where the kernel keeps it.
cloud_memory() {
    attach >/dev/null
    ask 'set $name = (char *)&init_uts_ns + 65' >/dev/null
    has none "$(ask 'x/s $name')"
    ask 'set var {char [8]}$name = "gdb was"' >/dev/null
    has '"gdb was"' "$(ask 'x/s $name')"
    has "Cannot access memory at address 0x0" "$(ask 'x/b 0')"
    gdb_end
    types hostname
    more hostname 0
    kill "$typist"
    is "host name" "$(last hostname)" "gdb was"
}

cloud_monitor() {
    attach >/dev/null
    has "CR3" "$(ask 'monitor info registers')"
    has "kernel" "$(ask 'monitor info mem')"
    has "-> " "$(ask "monitor info tlb $(value '$rsp')")"
    has "local APIC 0" "$(ask 'monitor info lapic')"
    has suspended "$(ask 'monitor list')"
    axvm list | grep -q suspended || echo "the list does not say so"
    ! axvm resume linux >/dev/null 2>&1 || echo "anybody may resume it"
    before=$(said tick)
    sleep 1 # five ticks, if it were to run: nothing else would tell
    is "ticks meanwhile" "$(said tick)" "$before"
    gdb_end
    axvm list | grep -q running || echo "it does not run when gdb is gone"
    ticks
}

# gdb is there and the guest runs: its console does, too.
cloud_console() {
    attach >/dev/null
    let_go
    before=$(said hostname)
    types hostname
    more hostname "$before"
    kill "$typist"
    ticks
    axvm list | grep -q running || echo "the list does not say so"
    has SIGINT "$(interrupt)"
    gdb_end
    ticks
}

cloud_crash() {
    attach >/dev/null
    boots=$(said "end live")
    let_go
    types panic
    has "The guest has crashed" "$(hear)"
    kill "$typist"
    has notifier_call_chain "$(ask backtrace)"
    ask "monitor reset halt" >/dev/null
    ask "maintenance flush register-cache" >/dev/null
    is "offset of the entry" "$(value '(long)$pc & 0xfff')" 0x200
    gdb_end
    more "end live" "$boots" && ticks
}

cloud_poweroff() {
    attach >/dev/null
    let_go
    types poweroff
    has "exited normally" "$(hear)"
    end=$(($(date +%s) + limit))
    until [ -s status ] || [ "$(date +%s)" -ge "$end" ]; do :; done
    is status "$(cat status)" 0
}

symbols vmlinux '[Tt] .*|D (linux_banner|init_uts_ns)'
cat >guest.toml <<END
[base]
name = "linux"
cpu_num = 2
memory = "128M"

[kernel]
kernel_path = "vmlinuz-cloud"
initrd = "initrd"
cmdline = "console=ttyS0 quiet panic=-1 nopti ax.end=live"
END
{
    axvm-run --gdb=unix:gdb.sock --gdb-wait --gdb-on=crash \
        --console file:console --pidfile pid guest.toml 2>log
    echo $? >status
} &
until [ -S gdb.sock ] || [ -s status ]; do :; done
for name; do
    : >gdb.log
    reason=$("$(echo "$name" | tr - _)")
    if [ -z "$reason" ]; then
        echo "ok $name at=$(cut -d ' ' -f 1 /proc/uptime)"
    else
        failed=1
        echo "not ok $name: $(echo "$reason" | tr '\n' ';')"
        sed 's/\r*$//; s/^/# gdb: /' gdb.log | tail -n 300
        sed 's/\r*$//; s/^/# console: /' console | tail -n 40
        sed 's/^/# log: /' log
    fi
done
[ ! -e pid ] || kill "$(cat pid)"
exit $failed

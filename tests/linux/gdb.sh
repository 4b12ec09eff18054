# shellcheck shell=dash
# gdb.sh - one gdb at a time, spoken to by a script in the lab: debug.sh and
# debug-vtx.sh source it. It reads commands from one pipe and writes to another;
# a line of its own tells the end of each answer. What was said is in gdb.log.

: "${limit:?seconds that gdb may take for an answer}"

# in_lab PROGRAM ARG...: one of gdb/, with the libraries it came with.
in_lab() {
    program=$1
    shift
    LD_LIBRARY_PATH=gdb/lib gdb/lib/ld-linux-x86-64.so.2 "gdb/$program" "$@"
}

# hear: prints what gdb says, as far as the end of an answer.
hear() {
    # shellcheck disable=SC3045  # busybox knows it
    while IFS= read -r -t "$limit" heard <&4; do
        [ "$heard" != "[end]" ] || return 0
        printf '%s\n' "$heard"
        printf '%s\n' "$heard" >>gdb.log
    done
    echo "gdb does not answer" | tee -a gdb.log
    return 1
}

# tell COMMAND: gdb does it, and hear prints the answer, at any later time.
tell() {
    printf '(gdb) %s\n' "$1" >>gdb.log
    printf '%s\necho [end]\\n\n' "$1" >&3
}

# ask COMMAND: prints the answer.
ask() { tell "$1" && hear; }

# gdb_start SOCKET [SYMBOLS]: attaches one; prints where.
gdb_start() {
    rm -f to-gdb from-gdb
    mkfifo to-gdb from-gdb
    LD_LIBRARY_PATH=gdb/lib gdb/lib/ld-linux-x86-64.so.2 gdb/gdb -nx -q \
        -ex "set prompt" ${2:+"$2"} <to-gdb >from-gdb 2>&1 &
    gdb_pid=$!
    exec 3>to-gdb 4<from-gdb
    for setting in "confirm off" "width 0" "height 0" \
        "remotetimeout $limit" "print thread-events off"; do
        ask "set $setting" >/dev/null
    done
    ask "target remote $1"
}

# let_go: the guest runs until interrupt, or as far as hear tells.
let_go() {
    tell continue
    # shellcheck disable=SC3045
    while IFS= read -r -t "$limit" heard <&4; do
        [ "$heard" != "Continuing." ] || return 0
    done
    echo "it does not continue"
}

# interrupt: Ctrl-C; prints the stop.
interrupt() {
    kill -INT "$gdb_pid"
    hear
}

# gdb_end: detaches; where there is nothing to detach from, too.
gdb_end() {
    ask detach >/dev/null
    exec 3>&- 4<&-
    wait "$gdb_pid"
}

# value EXPRESSION: as a hexadecimal number.
value() { ask "print/x $1" | sed 's/^\$[0-9]* = //'; }

# shellcheck disable=SC2016  # gdb has variables, too
pc() { value '$pc'; }

# walk COUNT: steps so many instructions that follow each other, as the
# disassembly has them; prints where it is somewhere else. Under Bochs a step
# that has to touch a page for the first time is told before it is done.
walk() {
    # shellcheck disable=SC2016
    ask "x/$(($1 + 1))i \$pc" | sed 's/^[=> ]*//; s/[ :\t].*//' >way
    here=$(pc)
    is "the way begins" "$(head -n 1 way)" "$here"
    for next in $(tail -n +2 way); do
        ask stepi >/dev/null
        [ "$(pc)" != "$here" ] || ask stepi >/dev/null
        here=$(pc)
        is "behind a step, pc" "$here" "$next"
    done
}

# symbols FILE PATTERN: those of this kernel, which is the guest's as well,
# whose type and name match; where they would be without KASLR. Debian has them in a package
# of 280 MB; what kallsyms knows is enough for gdb to name things.
symbols() {
    {
        grep ' T _text$' /proc/kallsyms
        grep -E " ($2)\$" /proc/kallsyms
    } | awk '
        NR == 1 { base = $1; print ".section .kernel, \"ax\", @nobits" }
        NF == 3 && !seen[$3]++ {
            if ($2 == "T" || $2 == "t")
                print ".type " $3 ", @function"
            print ".globl " $3
            print ".set " $3 ", .kernel + 0x" $1 " - 0x" base
        }
        END { print ".skip 0x4000000" }' >symbols.s
    in_lab as symbols.s -o symbols.o
    in_lab ld.bfd --section-start=.kernel=0xffffffff81000000 -e _text \
        symbols.o -o "$1"
}

# has TEXT ANSWER: "" if TEXT is in it, otherwise what is wrong.
has() {
    case $2 in
    *"$1"*) ;;
    *) echo "no '$1' in '$2'" ;;
    esac
}

# is WHAT IT WANTED: "" if equal.
is() { [ "$2" = "$3" ] || echo "$1 is '$2' instead of '$3'"; }

# helpers.py - commands for the sessions of run.sh, which counts the lines that
# begin with "ok: ": one for each check, shows and the other commands of here.
import re

import gdb


def verdict(good, what, found=""):
    print(("ok: " if good else "WRONG: ") + what + (" = " + found) * (not good))


def command(function):
    """Makes a gdb command of a function of the rest of the line."""

    class Command(gdb.Command):
        def __init__(self):
            super().__init__(function.__name__, gdb.COMMAND_USER)

        def invoke(self, argument, from_tty):
            try:
                function(argument)
            except gdb.error as error:
                verdict(False, f"{function.__name__} {argument}", str(error))

    Command()


def number(expression):
    return int(gdb.parse_and_eval(expression))


def bits(register):
    """One of a type of flags, which cannot be cast."""
    return number(register + " & 0xffffffff")


def output(line):
    """What gdb says to a line; a complaint is an answer, too."""
    try:
        return gdb.execute(line, to_string=True)
    except gdb.error as error:
        return str(error)


stop = "nothing"


def on_stop(event):
    global stop
    if isinstance(event, gdb.BreakpointEvent):
        numbers = " ".join(str(point.number) for point in event.breakpoints)
        stop = "breakpoint " + numbers
    elif isinstance(event, gdb.SignalEvent):
        stop = "signal " + event.stop_signal
    else:
        stop = "end of a step"


def on_exit(event):
    global stop
    stop = "exited " + str(getattr(event, "exit_code", "by a signal"))


gdb.events.stop.connect(on_stop)
gdb.events.exited.connect(on_exit)


def where():
    return gdb.selected_frame().name()


def parts(expression):
    return re.split(r"\s*(?:==|!=|<=|>=|<|>|&&|\|\|)\s*", expression)


@command
def check(expression):
    """check EXPRESSION: it is true."""
    good = number(expression) != 0
    values = [] if good else [output("output/x " + p) for p in parts(expression)]
    verdict(good, expression, ", ".join(values))


@command
def shows(argument):
    """shows REGEX :: COMMAND: the command says so."""
    regex, line = argument.split(" :: ", 1)
    said = output(line)
    verdict(re.search(regex, said) is not None, argument, said)


@command
def hides(argument):
    """hides REGEX :: COMMAND: the command does not say so."""
    regex, line = argument.split(" :: ", 1)
    said = output(line)
    verdict(re.search(regex, said) is None, argument, said)


@command
def lands(argument):
    """lands FUNCTION :: COMMAND: the selected CPU is in it then."""
    function, line = argument.split(" :: ", 1)
    said = output(line)
    name = where()
    verdict(name == function, argument, f"{name}, {said}")


@command
def stops(argument):
    """stops REGEX :: COMMAND: that is why it stops: "breakpoint NUMBER...",
    "signal SIGNAL", "end of a step", "exited CODE", or gdb's complaint."""
    global stop
    regex, line = argument.split(" :: ", 1)
    stop = "nothing"
    said = output(line)
    found = said if stop == "nothing" else stop
    verdict(re.search(regex, found) is not None, argument, f"{found}, {said}")


@command
def again(argument):
    """again COUNT :: COMMAND: that often, without a word about it."""
    count, line = argument.split(" :: ", 1)
    for _ in range(int(count)):
        gdb.execute(line, to_string=True)
    verdict(True, argument)


@command
def until_changes(argument):
    """until_changes EXPRESSION :: COMMAND: as often as it takes."""
    expression, line = argument.split(" :: ", 1)
    before = number(expression)
    while number(expression) == before:
        gdb.execute(line, to_string=True)
    verdict(True, argument)


@command
def steps_to(argument):
    """steps_to MAX LABEL: by stepi; LABEL is the linear address, as in real mode,
    or the instruction pointer."""
    most, label = argument.split()
    target = number(f"(long)&{label}")
    for _ in range(int(most)):
        gdb.execute("stepi", to_string=True)
        rip = number("(long)$rip")
        if target in (rip, rip + (number("$cs") & 0xFFFF) * 16):
            verdict(True, "steps_to " + argument)
            return
    verdict(False, argument, f"rip {rip:x}, target {target:x}")


@command
def stays(argument):
    """stays EXPRESSION :: COMMAND...: none of them (;) changes it."""
    expression, lines = argument.split(" :: ", 1)
    before = number(expression)
    said = [output(line) for line in lines.split(" ; ")]
    after = number(expression)
    verdict(after == before, argument, f"{before}, {after}: {said}")


@command
def stops_in_mode(argument):
    """stops_in_mode LABEL REAL PE PG LMA: continues to a breakpoint at it, if it
    is not there yet; then these are the CPU's mode. REAL: an address is a
    segment's base and the instruction pointer."""
    label, *flags = argument.split()
    real, pe, pg, lma = (int(flag) for flag in flags)
    target = number(f"(long)&{label}")
    said = output("continue")
    base = (number("$cs") & 0xFFFF) * 16 * real
    rip, cr0, efer = number("(long)$rip"), bits("$cr0"), bits("$efer")
    got = f"rip {rip:x} + {base:x}, cr0 {cr0:x}, efer {efer:x}: {said}"
    good = target in (rip, base + rip)
    good &= (cr0 & 1, cr0 >> 31 & 1, efer >> 10 & 1) == (pe, pg, lma)
    verdict(good, argument, got)


@command
def count_marks(argument):
    """count_marks STOPS: at each stop at mark_here (debuggee-smp) as many marks
    were made as there were stops before: no CPU has slipped past the breakpoint,
    and none was told twice. Both CPUs come by."""
    start = None
    cpus = set()
    for stop in range(int(argument)):
        said = output("continue")
        marks = number("marks[0] + marks[1]")
        start = marks if start is None else start
        if where() != "mark" or marks != start + stop:
            verdict(False, argument, f"{marks} of {start} + {stop}: {said}")
            return
        cpus.add(number("cpu"))
    verdict(cpus == {0, 1}, f"count_marks {argument}", str(cpus))


@command
def attach_often(argument):
    """attach_often COUNT ADDRESS: attaches, looks, lets it come by a breakpoint
    and steps from there, and detaches, COUNT times."""
    count, address = argument.split()
    for turn in range(int(count)):
        gdb.execute("target remote " + address, to_string=True)
        gdb.execute("break *mark_here", to_string=True)
        gdb.execute("continue", to_string=True)
        if where() != "mark":
            verdict(False, argument, f"in {where()} in turn {turn}")
            return
        gdb.execute("stepi", to_string=True)
        gdb.execute("info registers", to_string=True)
        # Detached with the breakpoint inserted, and without, in turn.
        if turn % 2:
            gdb.execute("delete", to_string=True)
        gdb.execute("detach", to_string=True)
        gdb.execute("delete", to_string=True)
    verdict(True, "attach_often " + argument)

#!/usr/bin/env python3
"""terminal.py COMMAND... -- STEP...: a person at a terminal, for tests.

Runs COMMAND on a pseudo terminal and takes the steps: 'wait TEXT', for output
since the last wait; 'type TEXT', with Python's escapes; 'again KEYS TEXT', which
types KEYS until TEXT comes. Then waits for COMMAND to end. Copies its output;
status 1 if something does not come within 20 seconds, else that of COMMAND.
"""
import os
import pty
import select
import sys
import time

LIMIT_S = 20


class Terminal:
    def __init__(self, command):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvp(command[0], command)
        self.seen = b""

    def read(self, seconds):
        """More output within so many seconds? None: there is no more."""
        if not select.select([self.fd], [], [], max(0, seconds))[0]:
            return False
        try:
            data = os.read(self.fd, 4096)
        except OSError:  # the other end is closed
            return None
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
        self.seen += data
        return True

    def wait(self, text, seconds=LIMIT_S):
        end = time.monotonic() + seconds
        while text not in self.seen:
            if not self.read(end - time.monotonic()):
                return False
        self.seen = self.seen[self.seen.index(text) + len(text):]
        return True

    def type(self, keys):
        os.write(self.fd, keys)

    def again(self, keys, text):
        for _ in range(LIMIT_S * 2):
            self.type(keys)
            if self.wait(text, 0.5):
                return True
        return False

    def end(self):
        end = time.monotonic() + LIMIT_S
        while (more := self.read(end - time.monotonic())) is not None:
            if not more and time.monotonic() >= end:
                return 1
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def keys(word):
    return word.encode().decode("unicode_escape").encode("latin-1")


def main():
    split = sys.argv.index("--")
    terminal = Terminal(sys.argv[1:split])
    words = iter(sys.argv[split + 1:])
    for step in words:
        if step == "type":
            terminal.type(keys(next(words)))
            continue
        if step == "again":
            typed = keys(next(words))
            text = next(words)
            come = terminal.again(typed, text.encode())
        else:
            text = next(words)
            come = terminal.wait(text.encode())
        if not come:
            print(f"\n# never came: {text}")
            return 1
    return terminal.end()


sys.exit(main())

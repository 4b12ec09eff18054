#!/usr/bin/env python3
"""Writes the seeds of fuzz_share: sessions of a 9P client.

Run by hand when fuzz_share.c changes; the files it writes beside itself, in
corpus/share, are committed.
"""
import pathlib
import struct

NAMES = {
    "statfs": 8, "lopen": 12, "lcreate": 14, "symlink": 16, "mknod": 18,
    "rename": 20, "readlink": 22, "getattr": 24, "setattr": 26,
    "xattrwalk": 30, "readdir": 40, "fsync": 50, "lock": 52, "getlock": 54,
    "link": 70, "mkdir": 72, "renameat": 74, "unlinkat": 76, "version": 100,
    "auth": 102, "attach": 104, "flush": 108, "walk": 110, "read": 116,
    "write": 118, "clunk": 120, "remove": 122,
}
CODES = {"b": "<B", "w": "<H", "d": "<I", "q": "<Q"}
ROOT, FILE, DIR, LINK, PIPE = range(5)


def ask(what, form, *args, room=0, tail=b""):
    """One message; form as in tests/fake/p9_client.h."""
    body = b""
    for letter, arg in zip(form, args, strict=True):
        if letter == "s":
            text = arg.encode()
            body += struct.pack("<H", len(text)) + text
        else:
            body += struct.pack(CODES[letter], arg)
    body += tail
    head = struct.pack("<IBH", 7 + len(body), NAMES[what], 1)
    return bytes([room]) + head + body


def walk(fid, newfid, *names):
    return ask("walk", "ddw" + "s" * len(names), fid, newfid, len(names), *names)


def setattr_(fid, valid, mode=0, uid=0, gid=0, size=0, times=(0, 0, 0, 0)):
    return ask("setattr", "dddddqqqqq", fid, valid, mode, uid, gid, size, *times)


def seed(name, *messages, readonly=False):
    path = pathlib.Path(__file__).parent / "corpus" / "share" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bytes([readonly]) + b"".join(messages))


everything = [
    ask("statfs", "d", ROOT),
    ask("getattr", "dq", FILE, 0x7FF),
    ask("readlink", "d", LINK),
    walk(FILE, 10), ask("lopen", "dd", 10, 2),
    ask("read", "dqd", 10, 0, 4096),
    ask("write", "dqd", 10, 2, 5, tail=b"hello"),
    ask("fsync", "dd", 10, 1),
    ask("lock", "dbdqqds", 10, 1, 0, 0, 0, 7, "me"),
    ask("getlock", "dbqqds", 10, 1, 0, 0, 7, "me"),
    walk(ROOT, 11), ask("lcreate", "dsddd", 11, "new", 2, 0o644, 0),
    ask("mkdir", "dsdd", ROOT, "sub", 0o755, 0),
    ask("symlink", "dssd", ROOT, "soft", "../secret", 0),
    ask("mknod", "dsdddd", ROOT, "fifo", 0o10644, 0, 0, 0),
    ask("mknod", "dsdddd", ROOT, "device", 0o20644, 1, 3, 0),
    ask("link", "dds", ROOT, FILE, "hard"),
    ask("renameat", "dsds", ROOT, "hard", DIR, "harder"),
    ask("rename", "dds", FILE, DIR, "moved"),
    walk(ROOT, 12), ask("lopen", "dd", 12, 0),
    ask("readdir", "dqd", 12, 0, 4096),
    setattr_(11, 0x1FF, 0o600, 1, 1, 100, (1, 2, 3, 4)),
    ask("unlinkat", "dsd", ROOT, "new", 0),
    ask("unlinkat", "dsd", ROOT, "sub", 0x200),
    ask("remove", "d", FILE),
    ask("clunk", "d", 12),
    ask("flush", "w", 1),
    ask("xattrwalk", "dds", ROOT, 20, "user.x"),
]
seed("everything", *everything)
seed("everything-readonly", *everything, readonly=True)
seed("dots", walk(ROOT, 9, ".."), walk(DIR, 9, "..", "..", "secret"),
     walk(DIR, 9, "."), walk(ROOT, 9, "../secret"), walk(ROOT, 9, ""),
     ask("unlinkat", "dsd", DIR, "..", 0x200),
     ask("renameat", "dsds", ROOT, "file", DIR, "../../x"))
seed("through-link", walk(ROOT, 9, "link", "x"), walk(LINK, 9, "x"),
     ask("lopen", "dd", LINK, 0), setattr_(LINK, 8, size=0), setattr_(LINK, 1),
     ask("lcreate", "dsddd", ROOT, "link", 0o1002, 0o644, 0))
seed("fifo", ask("lopen", "dd", PIPE, 0), ask("lopen", "dd", PIPE, 1),
     walk(ROOT, 9), ask("lcreate", "dsddd", 9, "pipe", 1, 0o644, 0))
seed("unlinked", walk(FILE, 9), ask("lopen", "dd", 9, 2),
     ask("unlinkat", "dsd", ROOT, "file", 0), ask("getattr", "dq", 9, 0x7FF),
     ask("write", "dqd", 9, 0, 1, tail=b"x"), setattr_(9, 8, size=1),
     ask("link", "dds", ROOT, 9, "again"), ask("remove", "d", 9))
seed("swapped", walk(DIR, 9, "below"),
     ask("renameat", "dsds", ROOT, "dir", ROOT, "dir2"),
     ask("symlink", "dssd", ROOT, "dir", "..", 0), walk(DIR, 10, "below"),
     walk(ROOT, 11, "dir", "secret"), ask("rename", "dds", 9, ROOT, "got"))
# So many that some are put aside, then a rename that has to reach them.
seed("parked",
     *[walk(DIR, 20 + i, "below") for i in range(45)],
     ask("renameat", "dsds", ROOT, "dir", ROOT, "moved"),
     *[walk(20 + i, 80) + ask("clunk", "d", 80) for i in range(8)])
seed("small-room", *[ask("getattr", "dq", FILE, 0x7FF, room=room)
                     for room in (1, 2, 3)],
     walk(ROOT, 9), ask("lopen", "dd", 9, 0),
     ask("readdir", "dqd", 9, 0, 1 << 20, room=2))
seed("offsets", walk(FILE, 9), ask("lopen", "dd", 9, 2),
     ask("read", "dqd", 9, 2**64 - 1, 2**32 - 1),
     ask("write", "dqd", 9, 2**63 - 1, 1, tail=b"x"),
     ask("write", "dqd", 9, 0, 2**32 - 1, tail=b"x"),
     setattr_(9, 8, size=2**63), walk(ROOT, 10), ask("lopen", "dd", 10, 0),
     ask("readdir", "dqd", 10, 2**64 - 1, 100))
seed("versions", ask("version", "ds", 100, "9P2000.L"),
     ask("version", "ds", 8192, "9P2000"), ask("clunk", "d", 0),
     ask("version", "ds", 2**32 - 1, "9P2000.L"),
     ask("attach", "ddssd", 0, 2**32 - 1, "", "/", 0),
     ask("attach", "ddssd", 1, 2**32 - 1, "", "/etc", 0),
     ask("auth", "dssd", 2, "", "", 0))
seed("cut", everything[1][:-3])
seed("sizes", b"\0" + struct.pack("<IBH", 2**32 - 1, 120, 1) + bytes(4),
     readonly=False)

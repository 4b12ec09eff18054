#!/usr/bin/env python3
"""Writes the seeds of fuzz_paging: small page tables of each mode.

Run by hand when fuzz_paging.c changes; the files it writes beside itself, in
corpus/paging, are committed.
"""
import pathlib
import struct

PG, PSE, PAE, LA57 = 0x80000001, 0x10, 0x20, 0x1000
LONG = 0xD00  # LME, LMA, NXE
P, W, U, LARGE = 1, 2, 4, 0x80
RWU = P | W | U
LAST = 15 * 4096


def seed(name, cr4, efer, va, tables, wide=True, cr0=PG, cr3=0):
    """tables: {address: {index: entry}}"""
    ram = bytearray(16 * 4096)
    for base, entries in tables.items():
        for index, entry in entries.items():
            if wide:
                struct.pack_into("<Q", ram, base + 8 * index, entry)
            else:
                struct.pack_into("<I", ram, base + 4 * index, entry)
    while ram and ram.endswith(bytes(4096)):
        del ram[-4096:]
    head = struct.pack("<5Q", cr0, cr3, cr4, efer, va)
    path = pathlib.Path(__file__).parent / "corpus" / "paging" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(head + (bytes(ram) or bytes(8)))


seed("off", 0, 0, 0x1234, {}, cr0=1)
seed("32", 0, 0, 0xC0001234,
     {0: {0x300: 0x1000 | RWU}, 0x1000: {1: 0x2000 | RWU, 2: P}}, wide=False)
seed("32-pse", PSE, 0, 0x00412345, {0: {1: 0xAB << 13 | LARGE | RWU}},
     wide=False)
seed("pae", PAE, 0x800, 0xC0000123,
     {0: {3: 0x1000 | P}, 0x1000: {0: 0x2000 | RWU, 1: 0x200000 | LARGE | P},
      0x2000: {0: 1 << 63 | RWU}})
seed("long4", PAE, LONG, 0xFFFF888000000123,
     {0: {0x111: 0x1000 | RWU}, 0x1000: {0: 0x2000 | RWU, 1: LARGE | RWU},
      0x2000: {0: 0x3000 | RWU, 1: 0x200000 | LARGE | P},
      0x3000: {0: 0x4000 | RWU, 9: 0xFFFFFFFFFF000 | P}})
seed("long5", PAE | LA57, LONG, 0xFF11000000000123,
     {0: {0x111: 0x1000 | RWU}, 0x1000: {0: 0x2000 | RWU},
      0x2000: {0: 0x3000 | RWU}, 0x3000: {0: 0x4000 | RWU},
      0x4000: {0: 0x5000 | RWU}})
seed("self", PAE, LONG, 0xFFFFF6FB7DBED000, {0: {0x1ED: RWU, 0: 0x1000 | P}})
seed("loop-of-all", PAE, LONG, 0, {0: {i: RWU for i in range(512)}})
seed("last-page", PAE, LONG, 2**64 - 1,
     {LAST: {511: LAST | RWU, 0: 0x10000 | RWU}}, cr3=LAST)

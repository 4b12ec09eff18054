#!/usr/bin/env python3
"""Writes the seeds of fuzz_image and fuzz_boot: the smallest image of each kind.

Run by hand when a format or a knob of fuzz_boot.c changes; the files it writes
beside itself, in corpus/image and corpus/boot, are committed.
"""
import pathlib
import struct


def bzimage(version=0x020F, xload=3, relocatable=1, header_end=0x26C):
    img = bytearray(3 * 512)
    img[0x1F1] = 1
    struct.pack_into("<I", img, 0x1F4, 512 // 16)
    struct.pack_into("<H", img, 0x1FE, 0xAA55)
    img[0x200:0x202] = bytes([0xEB, header_end - 0x202])
    img[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", img, 0x206, version)
    img[0x211] = 1
    struct.pack_into("<I", img, 0x22C, 0x7FFFFFFF)
    struct.pack_into("<IBBHI", img, 0x230, 0x100000, relocatable, 0, xload, 255)
    struct.pack_into("<QI", img, 0x258, 0x100000, 0x100000)
    return bytes(img)


def elf(wide, segments, entry=0x100000, extra=b"", machine=None):
    """segments: (type, offset, physical address, size in file, in memory)"""
    size = (64, 56) if wide else (52, 32)
    machine = machine or (62 if wide else 3)
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1, 1]) + bytes(9)
    word = "Q" if wide else "I"
    head = ident + struct.pack(
        "<HHI" + word * 3 + "IHHHHHH",
        *(2, machine, 1, entry, size[0], 0, 0),
        *(size[0], size[1], len(segments), 0, 0, 0))
    for kind, off, paddr, filesz, memsz in segments:
        if wide:
            head += struct.pack("<IIQQQQQQ", kind, 5, off, paddr, paddr, filesz,
                                memsz, 4)
        else:
            head += struct.pack("<IIIIIIII", kind, off, paddr, paddr, filesz,
                                memsz, 5, 4)
    return head.ljust(512, b"\0") + extra


def multiboot(flags=3, addresses=()):
    if addresses:
        flags |= 0x10000
    head = struct.pack("<III", 0x1BADB002, flags, -(0x1BADB002 + flags) & 0xFFFFFFFF)
    return head + struct.pack("<%dI" % len(addresses), *addresses)


def linux(magic_at, magic):
    img = bytearray(256)
    struct.pack_into("<QQ", img, 8, 0, 0x1000)
    img[magic_at:magic_at + len(magic)] = magic
    return bytes(img)


CODE = b"\xfa\xf4\xeb\xfd".ljust(64, b"\x90")
NOTE = struct.pack("<III4sI", 4, 4, 18, b"Xen\0", 0x100000)
LOAD = (1, 512, 0x100000, 64, 0x2000)
IMAGES = {
    "bzimage-64": bzimage(),
    "bzimage-32": bzimage(xload=0),
    "bzimage-old": bzimage(version=0x0202, header_end=0x224),
    "bzimage-fixed": bzimage(relocatable=0),
    "elf64": elf(True, [LOAD], extra=CODE),
    "elf32": elf(False, [LOAD], extra=CODE),
    "elf64-low": elf(True, [(1, 512, 0, 64, 0xA0000), LOAD], extra=CODE),
    "elf64-pvh": elf(True, [LOAD, (4, 576, 0, 20, 0)], extra=CODE + NOTE),
    "elf32-multiboot": elf(False, [LOAD], extra=multiboot() + CODE),
    "elf64-arm": elf(True, [LOAD], extra=CODE, machine=183),
    "multiboot-flat": multiboot(
        addresses=(0x100000, 0x100000, 0, 0x110000, 0x100020)) + CODE,
    "arm64": linux(56, b"ARM\x64"),
    "riscv": linux(48, b"RISCV"),
    "gzip": b"\x1f\x8b\x08".ljust(64, b"\0"),
    "flat": CODE,
    "boot-sector": CODE.ljust(510, b"\0") + b"\x55\xaa",
}

# The knobs of fuzz_boot.c: bits, protocol, entry mode, irqchip, CPUs - 1,
# entry >> 12, load address >> 12, initrd address >> 14.
KNOBS = {
    "auto": bytes(8),
    "auto-initrd": bytes([0x18, 0, 0, 1, 63, 0, 0, 0]),
    "direct": bytes([0x1F, 1, 0, 0, 0, 8, 0x80, 0]),
    "multiboot": bytes([0x07, 2, 0, 0, 1, 8, 0x80, 0]),
    "long": bytes([0x30, 0, 3, 2, 0, 0, 0, 0x80]),
}
BOOTS = [("auto", name) for name in IMAGES] + [
    ("auto-initrd", "bzimage-64"), ("auto-initrd", "elf64-pvh"),
    ("auto-initrd", "elf32-multiboot"), ("direct", "bzimage-64"),
    ("direct", "flat"), ("multiboot", "flat"), ("multiboot", "elf64"),
    ("long", "flat"), ("long", "elf64"), ("long", "elf64-low"),
]


def main():
    corpus = pathlib.Path(__file__).parent / "corpus"
    for folder in ("image", "boot"):
        (corpus / folder).mkdir(parents=True, exist_ok=True)
    for name, data in IMAGES.items():
        (corpus / "image" / name).write_bytes(data)
    for knobs, name in BOOTS:
        (corpus / "boot" / f"{knobs}-{name}").write_bytes(KNOBS[knobs] + IMAGES[name])


main()

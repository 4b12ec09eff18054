/*
 * boot.h - what the boot protocols of x86_64 share. Private to arch/x86_64.
 *
 * A boot is one pass over struct boot: probe the kernel, claim the memory of
 * everything that will be loaded, write it, set the registers. Claims come
 * before writes, so that no image can lie where another or our data does.
 * Functions that return int have logged the reason of a failure.
 */
#ifndef AX_ARCH_X86_64_BOOT_H
#define AX_ARCH_X86_64_BOOT_H

#include "arch/arch.h"
#include "arch/x86_64/e820.h"
#include "vmm/config.h"
#include "vmm/image.h"

enum { BOOT_CLAIMS = AX_IMAGE_SEGMENTS + 24 };

struct boot_claim {
    ax_gpa gpa;
    uint64_t len;
    const char *what;
};

struct boot {
    const struct ax_plan *plan;
    const struct ax_config *conf;
    struct ax_log *log;
    struct ax_memory *mem;
    struct ax_start *start;
    struct ax_progress watch;

    struct ax_source kernel, bios, initrd; /* size 0: none */
    bool kernel_borrowed;
    struct ax_image image;

    ax_gpa initrd_gpa; /* if initrd.size */
    ax_gpa rsdp;       /* 0: no ACPI tables */
    ax_gpa mp_table;   /* 0: no MP table */
    struct ax_e820 map;

    unsigned claim_count;
    struct boot_claim claims[BOOT_CLAIMS];
};

/* boot.c: reporting. err is returned; pos may stand at line 0. */
int ax_x86_boot_fail(const struct boot *b, struct ax_pos pos, int err,
                     const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void ax_x86_boot_warn(const struct boot *b, struct ax_pos pos, const char *fmt,
                      ...) __attribute__((format(printf, 3, 4)));
/* Appends to the line that explains the boot. */
void ax_x86_boot_say(const struct boot *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* "3.1 MiB" into buf; returns buf. */
enum { BOOT_SIZE_TEXT = 32 };
const char *ax_x86_boot_size(uint64_t bytes, char buf[BOOT_SIZE_TEXT]);

/* boot_memory.c: who gets which memory. */

/* Is [gpa, gpa + len) guest memory below 4 GiB that nobody has claimed? */
bool ax_x86_boot_free(const struct boot *b, ax_gpa gpa, uint64_t len);

/* Exactly there. -ENOSPC: not guest memory, or claimed; pos: who asked. */
int ax_x86_boot_claim(struct boot *b, struct ax_pos pos, ax_gpa gpa,
                      uint64_t len, const char *what);

/* At *gpa if that is free, else as low as possible, page aligned. */
int ax_x86_boot_place(struct boot *b, ax_gpa *gpa, uint64_t len,
                      const char *what);

/* As high as possible, page aligned, ending at or below end. */
int ax_x86_boot_place_high(struct boot *b, struct ax_pos pos, ax_gpa end,
                           uint64_t len, const char *what, ax_gpa *gpa);

/* Claims memory for boot data, zeroes it and gives a pointer to it. */
int ax_x86_boot_data(struct boot *b, ax_gpa *gpa, uint64_t len,
                     const char *what, uint8_t **out);

/* boot_data.c: what every protocol hands to the guest. */

/* Claims all segments of the kernel, moved up by delta. */
int ax_x86_boot_claim_kernel(struct boot *b, uint64_t delta);
int ax_x86_boot_load_kernel(struct boot *b, uint64_t delta);

/* The same for the whole file, whatever is in it (boot_flat.c). */
int ax_x86_boot_claim_raw(struct boot *b, ax_gpa gpa);
int ax_x86_boot_load_raw(struct boot *b, ax_gpa gpa);

/*
 * ACPI tables, MP table and the memory map. After the kernel's claims and
 * before all others: what lies between 640 KiB and 1 MiB is claimed by it.
 * also: one more range below that to reserve in the map, or NULL.
 */
int ax_x86_boot_tables(struct boot *b, const struct ax_e820_range *also);

/* Places and loads the initrd, if one is configured, ending at most at end. */
int ax_x86_boot_initrd(struct boot *b, ax_gpa end);

/*
 * The command line: the configured one or fallback (said then). max: bytes
 * without the terminator that the guest takes. *gpa: wanted, then actual place.
 */
int ax_x86_boot_cmdline(struct boot *b, const char *fallback, uint64_t max,
                        ax_gpa *gpa);

/* What a Linux gets that was configured without a command line. */
extern const char ax_x86_linux_cmdline[];

/*
 * boot_params.c: Linux's zero page, which every 64-bit and flat guest gets.
 * Writes map, command line, initrd and RSDP. *gpa: wanted, then actual place;
 * *out points to the page.
 */
int ax_x86_boot_params(struct boot *b, ax_gpa cmdline, ax_gpa *gpa,
                       uint8_t **out);

/* boot_linux.c: by Linux's protocol; boot_direct.c: by AxVisor's. */
int ax_x86_boot_bzimage(struct boot *b);
int ax_x86_boot_direct(struct boot *b);

/* boot_elf.c */
int ax_x86_boot_elf(struct boot *b);
int ax_x86_boot_pvh(struct boot *b);

/* boot_multiboot.c: by header; and AxVisor's, which needs none. */
int ax_x86_boot_multiboot(struct boot *b);
int ax_x86_boot_multiboot_raw(struct boot *b);
/* Only the information, at AxVisor's address, for firmware that passes it on.
 */
int ax_x86_boot_multiboot_info(struct boot *b);

/* boot_flat.c */
int ax_x86_boot_flat(struct boot *b);
int ax_x86_boot_firmware(struct boot *b);

/* boot_cpu.c: the boot CPU's registers. */
void ax_x86_boot_reg(struct boot *b, unsigned reg, uint64_t val);
/* Real mode at a physical address below 4 GiB. */
void ax_x86_boot_real(struct boot *b, ax_gpa entry);
/* Flat 32-bit protected mode. */
int ax_x86_boot_protected(struct boot *b, ax_gpa entry);
/* 64-bit mode on an identity map of 4 GiB. */
int ax_x86_boot_long(struct boot *b, ax_gpa entry);

#endif

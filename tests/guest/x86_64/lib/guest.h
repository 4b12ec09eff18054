/*
 * guest.h - what every guest stands on: boot information, console, verdicts.
 *
 * A guest defines guest_main(), reports each thing it looked at and returns;
 * the process then ends with status 33 if all was well and 35 otherwise (code
 * 0x10 or 0x11 through the debug-exit port). The library keeps its state in
 * file-scope variables: a guest is one machine. Only the boot CPU may print.
 */
#ifndef GUEST_GUEST_H
#define GUEST_GUEST_H

#include "cpu.h"

#include <stdarg.h>

#define GUEST_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* --- boot information ------------------------------------------------- */

enum { RANGE_RAM = 1, RANGE_MAX = 32, MODULE_MAX = 4, CMDLINE_MAX = 256 };

struct guest_range {
    uint64_t base, size;
    uint32_t type; /* the numbering of E820 */
};

struct guest_module {
    uint64_t base, size;
    char text[64];
};

struct guest_boot {
    uint32_t magic; /* BOOT_PVH or BOOT_MULTIBOOT */
    uint64_t info;  /* address of what the protocol handed over */
    uint32_t flags; /* multiboot: its flags; PVH: the version */
    uint64_t rsdp;  /* 0: not told */
    unsigned range_count, module_count;
    struct guest_range ranges[RANGE_MAX];
    struct guest_module modules[MODULE_MAX];
    char cmdline[CMDLINE_MAX]; /* "" if there is none */
};

extern struct guest_boot boot;

void boot_parse(uint32_t magic, uint64_t info);

/* "key=VALUE" on the command line: VALUE, ended by a blank or the end. */
const char *cmdline_find(const char *key);
bool cmdline_is(const char *key, const char *val);

/* Decimal or 0x..., with K, M or G behind it; ends at any other character. */
uint64_t parse_number(const char *text);

/* cmdline_find as a number. */
uint64_t cmdline_number(const char *key, uint64_t otherwise);

/*
 * A window of 2 MiB onto any guest-physical address, also above 4 GiB; the
 * last call wins. It hides what is identity mapped at WINDOW itself.
 */
#define WINDOW 0xc0000000ULL
uint64_t window_map(uint64_t gpa);

/* Opens 2 MiB page number addr >> 21 of the first 4 GiB to ring 3. */
void page_user(uint64_t addr);

/* --- console ---------------------------------------------------------- */

enum { COM1 = 0x3f8 };

void console_init(void);
void console_put(char c);
void print(const char *fmt, ...) GUEST_PRINTF(1, 2);
void vprint(const char *fmt, va_list args);

/* --- verdicts and ways out -------------------------------------------- */

void report(bool ok, const char *fmt, ...) GUEST_PRINTF(2, 3);
void report_skip(const char *fmt, ...) GUEST_PRINTF(1, 2);
_Noreturn void report_finish(void);

_Noreturn void guest_exit(uint8_t code); /* process status (code << 1) | 1 */
_Noreturn void guest_power_off(void);    /* process status 0 */
_Noreturn void guest_triple_fault(void); /* process status 6 */
_Noreturn void guest_stop(void);         /* cli; hlt for ever */

/* Waits for a condition, for some seconds; evaluates it once more at the end.
 */
#define wait_for(condition)                                                    \
    ({                                                                         \
        uint64_t began_ = rdtsc();                                             \
        while (!(condition) && rdtsc() - began_ < (16ULL << 30))               \
            pause();                                                           \
        (condition);                                                           \
    })

/* The guest itself. */
void guest_main(void);

/* --- what a freestanding compiler calls ------------------------------- */

void *memcpy(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);

#endif

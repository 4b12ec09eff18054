/*
 * boot.c - what the boot protocol handed over, copied before anything can
 * overwrite it, and the command line's "key=value" words.
 */
#include "guest.h"
#include "layout.h"

/* Xen's public/arch-x86/hvm/start_info.h. */
struct pvh_info {
    uint32_t magic, version, flags, module_count;
    uint64_t modules, cmdline, rsdp;
    uint64_t memmap; /* from here on since version 1 */
    uint32_t memmap_count, reserved;
};

struct pvh_module {
    uint64_t base, size, cmdline, reserved;
};

struct pvh_range {
    uint64_t base, size;
    uint32_t type, reserved;
};

/* Multiboot Specification 0.6.96, 3.3. */
struct mb_info {
    uint32_t flags, mem_lower, mem_upper, boot_device, cmdline;
    uint32_t module_count, modules;
    uint32_t symbols[4];
    uint32_t mmap_length, mmap;
};

struct mb_module {
    uint32_t start, end, text, reserved;
};

struct mb_range {
    uint32_t entry_size; /* not counting itself */
    uint64_t base, size;
    uint32_t type;
} __attribute__((packed));

enum { MB_CMDLINE = 0x04, MB_MODULES = 0x08, MB_MMAP = 0x40 };

struct guest_boot boot;

static void copy_text(char *to, size_t size, uint64_t from)
{
    const char *text = (const char *)from;
    size_t len = 0;

    for (; text && text[len] && len + 1 < size; len++)
        to[len] = text[len];
    to[len] = '\0';
}

static void add_range(uint64_t base, uint64_t size, uint32_t type)
{
    if (boot.range_count < RANGE_MAX)
        boot.ranges[boot.range_count++] =
            (struct guest_range){base, size, type};
}

static void add_module(uint64_t base, uint64_t size, uint64_t text)
{
    struct guest_module *mod = &boot.modules[boot.module_count];

    if (boot.module_count == MODULE_MAX)
        return;
    boot.module_count++;
    mod->base = base;
    mod->size = size;
    copy_text(mod->text, sizeof(mod->text), text);
}

static void parse_pvh(const struct pvh_info *info)
{
    const struct pvh_range *range = (const void *)info->memmap;
    const struct pvh_module *mod = (const void *)info->modules;

    boot.flags = info->version;
    boot.rsdp = info->rsdp;
    copy_text(boot.cmdline, sizeof(boot.cmdline), info->cmdline);
    for (uint32_t i = 0; i < info->module_count; i++)
        add_module(mod[i].base, mod[i].size, mod[i].cmdline);
    for (uint32_t i = 0; info->version && i < info->memmap_count; i++)
        add_range(range[i].base, range[i].size, range[i].type);
}

static void parse_multiboot(const struct mb_info *info)
{
    const struct mb_module *mod = (const void *)(uint64_t)info->modules;
    uint64_t at = info->mmap, end = at + info->mmap_length;

    boot.flags = info->flags;
    if (info->flags & MB_CMDLINE)
        copy_text(boot.cmdline, sizeof(boot.cmdline), info->cmdline);
    for (uint32_t i = 0; info->flags & MB_MODULES && i < info->module_count;
         i++)
        add_module(mod[i].start, mod[i].end - mod[i].start, mod[i].text);
    while (info->flags & MB_MMAP && at + sizeof(struct mb_range) <= end) {
        const struct mb_range *range = (const void *)at;

        add_range(range->base, range->size, range->type);
        at += range->entry_size + sizeof(range->entry_size);
    }
}

void boot_parse(uint32_t magic, uint64_t info)
{
    boot.magic = magic;
    boot.info = info;
    if (magic == BOOT_PVH && ((struct pvh_info *)info)->magic == BOOT_PVH)
        parse_pvh((const void *)info);
    else if (magic == BOOT_MULTIBOOT)
        parse_multiboot((const void *)info);
    else
        report(false, "boot protocol: magic 0x%x", magic);
}

const char *cmdline_find(const char *key)
{
    size_t len = strlen(key);

    for (const char *p = boot.cmdline; *p; p++)
        if ((p == boot.cmdline || p[-1] == ' ') && !memcmp(p, key, len) &&
            p[len] == '=')
            return p + len + 1;
    return NULL;
}

bool cmdline_is(const char *key, const char *val)
{
    const char *at = cmdline_find(key);
    size_t len = strlen(val);

    return at && !memcmp(at, val, len) && (!at[len] || at[len] == ' ');
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
}

uint64_t parse_number(const char *text)
{
    int base = text[0] == '0' && (text[1] | 0x20) == 'x' ? 16 : 10;
    uint64_t val = 0;

    for (text += base == 16 ? 2 : 0; digit(*text) < base; text++)
        val = val * base + digit(*text);
    switch (*text) {
    case 'G':
        return val << 30;
    case 'M':
        return val << 20;
    case 'K':
        return val << 10;
    default:
        return val;
    }
}

uint64_t cmdline_number(const char *key, uint64_t otherwise)
{
    const char *text = cmdline_find(key);

    return text ? parse_number(text) : otherwise;
}

enum { PAGE_FLAGS = 0x83, PAGE_USER = 0x04 };

extern uint64_t page_directory[2048];

uint64_t window_map(uint64_t gpa)
{
    page_directory[WINDOW >> 21] = (gpa & ~0x1fffffULL) | PAGE_FLAGS;
    invlpg((const void *)WINDOW);
    return WINDOW + (gpa & 0x1fffff);
}

void page_user(uint64_t addr)
{
    page_directory[addr >> 21] |= PAGE_USER;
    invlpg((const void *)addr);
}

/*
 * config.h - one guest's configuration: plain data, fully validated.
 *
 * Made from AxVisor's guest TOML (both generations) and our own keys by the
 * const table in config.c; docs/guest-toml.md documents every key. Nothing of
 * the VM exists before its configuration is valid. Single-threaded use.
 */
#ifndef AX_VMM_CONFIG_H
#define AX_VMM_CONFIG_H

#include "backend/backend.h"
#include "base.h"
#include "devices/virtio_conf.h"
#include "log.h"
#include "memory/memory.h"

#include <stdio.h>

struct ax_hostconf;

/* Where a value stands: line and column start at 1; line 0: a default. */
struct ax_pos {
    unsigned line, column;
};

enum ax_map_type { AX_MAP_ALLOC, AX_MAP_IDENTICAL, AX_MAP_RESERVED };
enum ax_interrupt_mode { AX_IRQ_MODE_NONE, AX_IRQ_MODE_EMU, AX_IRQ_MODE_PT };
enum ax_address_space_policy { AX_ASPACE_VIRTUALIZED, AX_ASPACE_PASSTHROUGH };

/* Effective protocol; AUTO only in files that are not AxVisor's. */
enum ax_boot_protocol {
    AX_BOOT_AUTO, /* by what the image turns out to be */
    AX_BOOT_DIRECT,
    AX_BOOT_MULTIBOOT,
    AX_BOOT_UEFI,
};

/* In which mode a flat binary is entered. */
enum ax_entry_mode {
    AX_ENTRY_AUTO, /* real below 64 KiB, else protected */
    AX_ENTRY_REAL,
    AX_ENTRY_PROTECTED,
    AX_ENTRY_LONG,
};

/* How a guest reaches its virtio devices. */
enum ax_virtio_transport { AX_VIRTIO_MMIO, AX_VIRTIO_PCI };

/* What follows when the guest ends itself. */
enum ax_on_end { AX_ON_END_STOP, AX_ON_END_RESTART, AX_ON_END_KEEP };

/* What a debugger's stub halts the guest at, instead of it. */
enum {
    AX_GDB_ON_CRASH = 1,
    AX_GDB_ON_RESET = 2,
    AX_GDB_ON_POWEROFF = 4,
};

/* AxVisor's emulated device numbers. */
enum ax_emu_type {
    AX_EMU_DUMMY = 0x00,
    AX_EMU_INTERRUPT_CONTROLLER = 0x01,
    AX_EMU_CONSOLE = 0x02,
    AX_EMU_FW_CFG = 0x03,
    AX_EMU_IVC_CHANNEL = 0x0a,
    AX_EMU_GPPT_REDISTRIBUTOR = 0x20,
    AX_EMU_GPPT_DISTRIBUTOR = 0x21,
    AX_EMU_GPPT_ITS = 0x22,
    AX_EMU_X86_IOAPIC = 0x23,
    AX_EMU_X86_PIT = 0x24,
    AX_EMU_LOONGARCH_PCH_PIC = 0x25,
    AX_EMU_PPPT_GLOBAL = 0x30,
    AX_EMU_VIRTIO_BLK = 0xe1,
    AX_EMU_VIRTIO_NET = 0xe2,
    AX_EMU_VIRTIO_CONSOLE = 0xe3,
};

struct ax_config_region {
    ax_gpa gpa;
    uint64_t size;
    unsigned flags; /* AX_PROT_*; parsed as AxVisor does, all are mapped RWX */
    enum ax_map_type map_type;
    struct ax_pos pos;
};

struct ax_config_emu {
    char *name;
    uint64_t base, length, irq, type; /* type: enum ax_emu_type */
    uint64_t *cfg;
    unsigned cfg_count;
    struct ax_pos pos;
};

struct ax_config_passthrough {
    char *name; /* "/" and "/path": discovery in the host's device tree */
    uint64_t gpa, hpa, length, irq;
    struct ax_pos pos;
};

struct ax_config_range {
    uint64_t base, length;
    struct ax_pos pos;
};

/* A path as used: absolute, or joined to the directory of the file. */
struct ax_config_path {
    char *path; /* NULL: not given */
    struct ax_pos pos;
};

/* An address that may be absent. */
struct ax_config_addr {
    bool given;
    uint64_t val;
    struct ax_pos pos;
};

/* Where a virtio device stands; not given: where the board has room. */
struct ax_config_place {
    bool given;
    uint64_t base, irq; /* irq 0: one of the board's */
};

struct ax_config_disk {
    struct ax_disk_conf conf;
    struct ax_config_place place;
    struct ax_pos pos;
};

struct ax_config_net {
    struct ax_net_conf conf;
    struct ax_config_place place;
    struct ax_pos pos;
};

/* A port; all of a VM belong to one device, whose place is the first one's. */
struct ax_config_vconsole {
    struct ax_vconsole_conf conf;
    struct ax_config_place place;
    struct ax_pos pos;
};

struct ax_config_share {
    struct ax_share_conf conf;
    struct ax_config_place place;
    struct ax_pos pos;
};

struct ax_config {
    char *file; /* as the user named it; "(demo)" for the built-in guest */

    /* [base] */
    uint64_t id;
    char *name;
    bool id_given, name_given; /* otherwise they are ours to choose */
    char *arch; /* "x86_64", "aarch64", "riscv64": given or inferred */
    struct ax_pos arch_pos; /* line 0: inferred */
    const char *arch_why;   /* static text: what it was inferred from */
    unsigned vm_type;
    unsigned cpu_num;               /* 1..AX_CPUS_MAX */
    uint64_t cpu_ids[AX_CPUS_MAX];  /* phys_cpu_ids, default the vCPU's index */
    uint64_t cpu_sets[AX_CPUS_MAX]; /* phys_cpu_sets, 0: any host CPU */
    uint64_t memory; /* ours: bytes; 0 when memory_regions says it all */
    enum ax_on_end on_poweroff, on_reboot, on_crash;
    uint64_t stop_timeout_ns; /* for a guest asked to power off */

    /* [kernel] */
    struct ax_config_path kernel, initrd, dtb, bios;
    struct ax_config_addr entry, kernel_load, initrd_load, dtb_load, bios_load;
    char *cmdline;       /* NULL: not given */
    bool virtio_cmdline; /* virtio devices are announced there, not by ACPI */
    bool axvisor; /* entry_point or kernel_load_addr given: their protocols */
    enum ax_boot_protocol protocol;
    enum ax_entry_mode entry_mode;
    unsigned region_count;
    struct ax_config_region *regions;

    /* [memory] */
    enum ax_memory_backing backing;
    enum ax_hugepages hugepages;

    /* [cpu] */
    char **cpu_hide, **cpu_expose; /* NULL-terminated, never NULL */
    enum ax_irqchip irqchip;
    enum ax_virtio_transport virtio; /* [virtio] transport */

    /* [devices] */
    unsigned emu_count, passthrough_count, window_count, port_count;
    struct ax_config_emu *emu;
    struct ax_config_passthrough *passthrough;
    struct ax_config_range *windows; /* passthrough_addresses */
    struct ax_config_range *ports;   /* passthrough_ports */
    char **excluded;                 /* NULL-terminated, never NULL */
    enum ax_interrupt_mode interrupt_mode;
    enum ax_address_space_policy address_space_policy;

    /* [console] */
    char *console; /* ax_console_create's spec */
    bool escapes;  /* Ctrl-a commands */

    /* virtio: [[disk]], [[net]], [[console]], [[share]]; NULL: none */
    unsigned disk_count, net_count, vconsole_count, share_count;
    struct ax_config_disk *disks;
    struct ax_config_net *nets;
    struct ax_config_vconsole *vconsoles;
    struct ax_config_share *shares;
    struct ax_vsock_conf vsock;     /* [vsock] */
    struct ax_balloon_conf balloon; /* [balloon] */
    bool rng;                       /* [rng] */

    /* [debug] */
    bool debug_exit;     /* port 0xf4 */
    bool debug_port;     /* port 0xe9 */
    uint64_t timeout_ns; /* 0: none */
    char *gdb;           /* spec of debug/listen.h; NULL: no stub */
    bool gdb_wait;       /* a start halts before the first instruction */
    unsigned gdb_on;     /* AX_GDB_ON_* */
};

/*
 * One problem, told as it is found, for the whole file in one pass. text is
 * what to print: "file:line:column: error: ...", the source line, a caret; it
 * ends in a newline. A note asks for nothing: what the file says is fine.
 */
enum ax_severity {
    AX_SEVERITY_WARNING,
    AX_SEVERITY_ERROR,
    AX_SEVERITY_NOTE, /* only where struct ax_config_source asks for them */
    AX_SEVERITIES,
};
typedef void ax_config_report(void *ctx, enum ax_severity severity,
                              const char *text);

struct ax_config_source {
    const char *file;        /* path, for messages and relative paths */
    const char *text;        /* its contents; NULL: read file */
    size_t size;             /* of text */
    const char *const *sets; /* "table.key=value" overrides, NULL-terminated */
    const struct ax_hostconf *host; /* host-wide defaults, may be NULL */
    const char *console; /* well-formed; instead of [console] mode, or NULL */
    bool builtin;        /* the kernel is not a file, and none is looked for */
    bool lenient;        /* unknown keys are warnings */
    bool need_files;     /* a missing image is an error, not a warning */
    bool notes;          /* report takes AX_SEVERITY_NOTE as well */
    ax_config_report *report;
    void *ctx;
};

/*
 * Parses and validates. 0: *out is valid and owned by the caller. -EINVAL: at
 * least one error was reported. Other -errno: the file could not be read
 * (reported as well). *out is NULL on failure.
 */
int ax_config_load(const struct ax_config_source *src, struct ax_config **out);

/* Accepts NULL. */
void ax_config_destroy(struct ax_config *conf);

/* AX_GDB_ON_* by the len bytes of its word in gdb_on; 0: there is none such. */
unsigned ax_config_gdb_event(const char *word, size_t len);

/* The effective configuration as TOML that ax_config_load accepts again. */
void ax_config_dump(const struct ax_config *conf, FILE *to);

/* "512M", "4GiB", "65536"; false: not that, or more than 64 bits. */
bool ax_config_parse_size(const char *text, uint64_t *out);

#endif

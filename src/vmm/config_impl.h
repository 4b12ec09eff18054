/*
 * config_impl.h - what the config*.c files share. Private to them.
 *
 * One const table (config_keys.c) says what keys exist; config_read.c turns
 * values into struct ax_config by it, config_dump.c prints by it, and the
 * check files look at what only several keys together can tell.
 */
#ifndef AX_VMM_CONFIG_IMPL_H
#define AX_VMM_CONFIG_IMPL_H

#include "conf/toml.h"
#include "vmm/config.h"

struct conf_load;

enum {
    CONF_LIST_MAX = 256, /* rows in any list */
    CONF_REPORTS = 100,  /* problems told in full */
};

#define CONF_GPA_END ((uint64_t)1 << 52) /* what any of our hosts can map */

enum conf_key_id {
    KEY_ID,
    KEY_NAME,
    KEY_ARCH,
    KEY_VM_TYPE,
    KEY_CPU_NUM,
    KEY_PHYS_CPU_IDS,
    KEY_PHYS_CPU_SETS,
    KEY_MEMORY,
    KEY_ON_POWEROFF,
    KEY_ON_REBOOT,
    KEY_ON_CRASH,
    KEY_STOP_TIMEOUT,
    KEY_KERNEL_PATH,
    KEY_KERNEL_LOAD_ADDR,
    KEY_ENTRY_POINT,
    KEY_ENTRY_MODE,
    KEY_IMAGE_LOCATION,
    KEY_CMDLINE,
    KEY_VIRTIO_CMDLINE,
    KEY_RAMDISK_PATH,
    KEY_INITRD,
    KEY_RAMDISK_LOAD_ADDR,
    KEY_DTB_PATH,
    KEY_DTB_LOAD_ADDR,
    KEY_ENABLE_BIOS,
    KEY_BOOT_PROTOCOL,
    KEY_BIOS_PATH,
    KEY_UEFI_FIRMWARE_PATH,
    KEY_BIOS_LOAD_ADDR,
    KEY_AXVISOR_DISK,
    KEY_MEMORY_REGIONS,
    KEY_BACKING,
    KEY_HUGEPAGES,
    KEY_IRQCHIP,
    KEY_HIDE,
    KEY_EXPOSE,
    KEY_INTERRUPT_MODE,
    KEY_ADDRESS_SPACE_POLICY,
    KEY_EMU_DEVICES,
    KEY_PASSTHROUGH_DEVICES,
    KEY_PASSTHROUGH_ADDRESSES,
    KEY_PASSTHROUGH_PORTS,
    KEY_EXCLUDED_DEVICES,
    KEY_DISK_PATH,
    KEY_DISK_FORMAT,
    KEY_DISK_CACHE,
    KEY_DISK_READONLY,
    KEY_DISK_OVERLAY,
    KEY_DISK_SERIAL,
    KEY_DISK_QUEUES,
    KEY_DISK_BLOCK_SIZE,
    KEY_DISK_IOPS,
    KEY_DISK_BPS,
    KEY_NET_MODE,
    KEY_NET_MAC,
    KEY_NET_IFNAME,
    KEY_NET_FD,
    KEY_NET_PATH,
    KEY_NET_HOSTFWD,
    KEY_NET_QUEUES,
    KEY_NET_MTU,
    KEY_NET_OFFLOADS,
    KEY_NET_VHOST,
    KEY_CONSOLE_MODE,
    KEY_ESCAPES,
    KEY_VCONSOLE_DEVICE,
    KEY_VCONSOLE_MODE,
    KEY_VCONSOLE_NAME,
    KEY_SHARE_TAG,
    KEY_SHARE_PATH,
    KEY_SHARE_READONLY,
    KEY_VSOCK_CID,
    KEY_VSOCK_UDS,
    KEY_VSOCK_VHOST,
    KEY_BALLOON_ENABLED,
    KEY_DEFLATE_ON_OOM,
    KEY_FREE_PAGE_REPORTING,
    KEY_RNG_ENABLED,
    KEY_VIRTIO_TRANSPORT,
    KEY_EXIT_PORT,
    KEY_DEBUG_PORT,
    KEY_TIMEOUT,
    KEY_GDB,
    KEY_GDB_WAIT,
    KEY_GDB_ON,
    CONF_KEYS,
};

enum conf_kind {
    KIND_INT,      /* unsigned or uint64_t, between min and max */
    KIND_ADDR,     /* struct ax_config_addr, at most max */
    KIND_BOOL,     /* bool */
    KIND_STRING,   /* char *; min 1: not empty; words: one of these;
                      max: that many bytes at most, no control characters */
    KIND_PATH,     /* struct ax_config_path */
    KIND_FILE,     /* char *: a path alone */
    KIND_CONSOLE,  /* char *: ax_console_create's spec */
    KIND_WORD,     /* an enum, by words */
    KIND_SIZE,     /* uint64_t bytes, between min and max */
    KIND_SECONDS,  /* uint64_t nanoseconds, at most max seconds */
    KIND_LISTEN,   /* char *, also from an integer */
    KIND_FLAGS,    /* unsigned: an array of words, a bit each */
    KIND_STRINGS,  /* char **, NULL-terminated */
    KIND_EXCLUDED, /* the same from an array of arrays */
    KIND_INTS,     /* uint64_t[AX_CPUS_MAX] */
    KIND_LIST,     /* rows, by list */
    CONF_KINDS,
};

/* The first word of a value is its name, the others are aliases. */
struct conf_word {
    const char *word; /* NULL: end */
    unsigned val;
};

enum conf_cell { CELL_NAME, CELL_INT, CELL_HEX, CELL_INTS };

/* One field of a row; positional and by name alike. */
struct conf_field {
    const char *name;
    enum conf_cell cell;
    bool required;
    unsigned off, size;
    unsigned count_off; /* CELL_INTS: where the count goes */
    uint64_t max;
};

/* A list of structures that AxVisor lets people write in two ways. */
struct conf_list {
    const char *noun;
    unsigned size, pos_off; /* of a row; where its position goes */
    unsigned count_off;     /* in struct ax_config */
    unsigned field_count;
    const struct conf_field *fields;
};

/*
 * An array of tables: every [[name]] of the file is a row, which is a struct
 * that keys describe.
 */
struct conf_rows {
    const char *table;       /* "[name]", as its keys have it */
    unsigned off, count_off; /* in struct ax_config: the rows, how many */
    unsigned size, pos_off;  /* of a row; where its position goes */
    const void *defaults;    /* a row without any key */
    /* A row that was read, while given[] of its keys still speaks of it. */
    void (*check)(struct conf_load *load, void *row);
};

/* Where the field of a key is. */
enum conf_home {
    HOME_CONFIG, /* struct ax_config */
    HOME_EXTRA,  /* struct conf_extra */
    HOME_ROW,    /* the row that is read or printed */
};

struct conf_key {
    const char *table; /* as between the brackets of its header: "kernel", or
                          "[disk]" for an array of tables */
    const char *name;
    const char *doc; /* one line */
    enum conf_kind kind;
    enum conf_home home; /* where off counts */
    unsigned off, size;
    uint64_t min, max;
    const struct conf_word *words;
    const struct conf_list *list;
};

extern const struct conf_key ax_config_keys[CONF_KEYS];

enum conf_rows_id { ROWS_DISK, ROWS_NET, ROWS_VCONSOLE, ROWS_SHARE, CONF_ROWS };
extern const struct conf_rows ax_config_rows[CONF_ROWS];

/* Keys that steer the others and have no field of their own. */
struct conf_extra {
    bool enable_bios;
    unsigned image_location;
    struct ax_config_path uefi_firmware, initrd, disk;
    enum conf_console_device { CONSOLE_VIRTIO, CONSOLE_SERIAL } console_device;
};

struct conf_given {
    bool given, bad;        /* bad: reported, so its value means nothing */
    struct ax_pos key, val; /* where they stand */
    size_t count;           /* of an array */
};

/*
 * A load in progress. While it lasts, positions in an override carry CONF_SET
 * in their line; afterwards they are 0 like those of defaults.
 */
#define CONF_SET 0x80000000U

struct conf_load {
    const struct ax_config_source *src;
    struct ax_config *conf;
    struct conf_extra extra;
    struct conf_given given[CONF_KEYS]; /* of a row's: in the row being read */
    char *row;                          /* that one, NULL: none */
    struct ax_pos serial; /* the [[console]] that is the serial line */
    /* The override that replaces the key, from 1; 0: none does. The last one
     * catches the unknown. */
    unsigned won[CONF_KEYS + 1];
    struct ax_pos kernel; /* the table, for what is missing in it */
    const char *text;     /* the file's, for excerpts */
    size_t size;
    unsigned set;           /* the override being read, from 1; 0: the file */
    unsigned set_column;    /* what to add to its columns */
    unsigned errors, told;  /* errors found; problems reported */
    bool told_alternatives; /* to passthrough: once is enough */
    int err;                /* -ENOMEM, or 0 */
};

/* Given, and nothing wrong with it so far. */
static inline bool conf_has(const struct conf_load *load, enum conf_key_id id)
{
    return load->given[id].given && !load->given[id].bad;
}

/* ---- config_report.c ---- */

/* What may follow a message; each part may be NULL. */
struct conf_hint {
    const char *expected, *help;
    const char *block; /* whole lines, printed as they are */
};

/* at.line 0: no place in the file; the message then points at its start. */
void ax_config_say(struct conf_load *load, enum ax_severity severity,
                   struct ax_pos at, const struct conf_hint *hint,
                   const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* "FILE: error: text": the file as a whole cannot be read. */
void ax_config_say_file(struct conf_load *load, const char *text);

/* Tells how many problems were left out, if any were. */
void ax_config_say_rest(struct conf_load *load);

/* UTF-8 without control characters, tab excepted? */
bool ax_config_is_clean(const char *s);

/*
 * Did-you-mean: takes candidates in turn, keeps the nearest plausible one
 * and says whether that is the one just given.
 */
struct conf_nearest {
    const char *word, *best;
    unsigned distance;
};
bool ax_config_nearest(struct conf_nearest *nearest, const char *candidate);

/* ---- config_names.c ---- */

/* CONF_KEYS: there is none such. */
enum conf_key_id ax_config_find_key(const char *table, const char *name);
bool ax_config_is_table(const char *name);

/* How bad an unknown name is: a warning in a lenient load. */
enum ax_severity ax_config_unknown(const struct conf_load *load);

/* Both say what was probably meant. */
void ax_config_say_unknown_key(struct conf_load *load, struct ax_pos at,
                               const char *table, const char *name);
void ax_config_say_unknown_table(struct conf_load *load, struct ax_pos at,
                                 const char *name);
void ax_config_say_stray_key(struct conf_load *load, struct ax_pos at,
                             const char *name);

/* What a key takes, in words. */
void ax_config_expect(const struct conf_key *key, char *buf, size_t size);

/* "found" words: "a string", "an integer"... */
const char *ax_config_found(const struct ax_toml *val);

/* "an integer, 0 or greater", "an integer from 1 to 64" */
void ax_config_expect_range(char *buf, size_t size, uint64_t min, uint64_t max);

/* ---- config_set.c ---- */

/* One override: its tree is the table {v = VALUE}. */
struct conf_set {
    enum conf_key_id id; /* CONF_KEYS: reported already */
    unsigned column;     /* characters before the value */
    struct ax_toml *tree;
};

/* Parses "TABLE.KEY=VALUE" number load->set; *out is always valid. */
void ax_config_parse_set(struct conf_load *load, const char *text,
                         struct conf_set *out);

/* ---- config.c ---- */

/*
 * The keys of a table of that name, as struct conf_key has it. done: one that
 * was read before, or NULL.
 */
void ax_config_read_keys(struct conf_load *load, const char *name,
                         const struct ax_toml *table,
                         const struct ax_toml *done);

/* ---- config_read.c ---- */

/* One value into *load->conf; every problem is reported. */
void ax_config_read_value(struct conf_load *load, enum conf_key_id id,
                          const struct ax_toml *val);

/* A position of the tree being read, as struct conf_load keeps it. */
struct ax_pos ax_config_at(const struct conf_load *load, unsigned line,
                           unsigned column);

/* ---- config_rows.c ---- */

/* By the name of the array, without brackets; NULL: there is none such. */
const struct conf_rows *ax_config_find_rows(const char *name);

/* The tables of an array, val: read and checked one by one. */
void ax_config_read_rows(struct conf_load *load, const struct conf_rows *rows,
                         const struct ax_toml *val);

/*
 * One more row, with its defaults, behind the others, which may move. NULL: no
 * memory, which load has been told.
 */
void *ax_config_add_row(struct conf_load *load, const struct conf_rows *rows,
                        struct ax_pos pos);

/* The index-th row, and how many there are. */
char *ax_config_row(const struct ax_config *conf, const struct conf_rows *rows,
                    unsigned index);
unsigned ax_config_row_count(const struct ax_config *conf,
                             const struct conf_rows *rows);

void ax_config_free_rows(struct ax_config *conf);

/* ---- config_list.c ---- */

void ax_config_read_list(struct conf_load *load, const struct conf_key *key,
                         const struct ax_toml *val);
void ax_config_free_lists(struct ax_config *conf);

/* An integer of at most max; reports and returns false if it is none. */
bool ax_config_int(struct conf_load *load, const struct ax_toml *val,
                   const char *what, uint64_t min, uint64_t max, uint64_t *out);

/* "[gpa, size, flags, map_type]" */
void ax_config_shape(const struct conf_list *list, char *buf, size_t size);

/* ---- config_check.c and the files it calls ---- */

/* Everything that needs more than one key: defaults, limits, conflicts. */
void ax_config_check(struct conf_load *load);

/*
 * A path that cannot be used, because of err. It is an error only where files
 * are needed; name: the key's.
 */
void ax_config_say_absent(struct conf_load *load, const char *name,
                          const char *path, struct ax_pos at, int err);

/* config_memory.c: rounding, merging, overlaps. */
void ax_config_check_memory(struct conf_load *load);

/* config_arch.c: for which architecture is this file? */
void ax_config_infer_arch(struct conf_load *load);

/* config_devices.c: what of [devices] a process can and cannot honour. */
void ax_config_check_devices(struct conf_load *load);

/* config_virtio.c: one row as it is read; then what concerns several. */
void ax_config_check_disk(struct conf_load *load, void *row);
void ax_config_check_vconsole(struct conf_load *load, void *row);
void ax_config_check_share(struct conf_load *load, void *row);
void ax_config_check_virtio(struct conf_load *load);

/* A key of a row, or of a table at row, that has no default. */
void ax_config_need_key(struct conf_load *load, enum conf_key_id id,
                        struct ax_pos row, const char *help);

/* The path of a Unix socket, to which so many bytes may be added. */
void ax_config_check_socket(struct conf_load *load, enum conf_key_id id,
                            const char *path, size_t suffix);

/* config_net.c: a row; one more that has no key. false: no memory. */
void ax_config_check_net(struct conf_load *load, void *row);
bool ax_config_add_net(struct conf_load *load, struct ax_pos pos);

#endif

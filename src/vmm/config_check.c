/*
 * config_check.c - what only several keys together can tell: defaults, limits,
 * conflicts, and AxVisor's rules of boot protocols.
 *
 * A value that was reported already is left out of further checks, so that one
 * mistake gives one message. Called once by config.c.
 */
#include "conf/hostconf.h"
#include "devices/console.h"
#include "vmm/config_impl.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LIST_TEXT = 320 };

static void say_error(struct conf_load *load, struct ax_pos at,
                      const char *text)
{
    ax_config_say(load, AX_SEVERITY_ERROR, at, NULL, "%s", text);
}

static void say_warning(struct conf_load *load, struct ax_pos at,
                        const char *text)
{
    ax_config_say(load, AX_SEVERITY_WARNING, at, NULL, "%s", text);
}

static char *copy(struct conf_load *load, const char *text)
{
    char *dup = strdup(text);

    if (!dup)
        load->err = -ENOMEM;
    return dup;
}

/* ---- [base] ---- */

/* Without a name the guest is called after its file. */
static void default_name(struct conf_load *load)
{
    const char *slash = strrchr(load->src->file, '/');
    const char *base = slash ? slash + 1 : load->src->file;
    char *name = copy(load, *base ? base : "guest");
    size_t len = name ? strlen(name) : 0;

    if (len > 5 && !strcmp(name + len - 5, ".toml"))
        name[len - 5] = '\0';
    if (name && !ax_config_is_clean(name)) {
        free(name);
        name = copy(load, "guest");
    }
    free(load->conf->name);
    load->conf->name = name;
}

static void check_name(struct conf_load *load)
{
    load->conf->id_given = conf_has(load, KEY_ID);
    load->conf->name_given = conf_has(load, KEY_NAME);
    if (!load->conf->name_given)
        default_name(load);
    else if (!ax_config_is_clean(load->conf->name))
        say_error(load, load->given[KEY_NAME].val,
                  "'name' contains a control character");
}

static void check_vm_type(struct conf_load *load)
{
    if (load->conf->vm_type <= 2)
        return;
    ax_config_say(load, AX_SEVERITY_WARNING, load->given[KEY_VM_TYPE].val,
                  &(struct conf_hint){.expected = "0 host, 1 RTOS or 2 Linux"},
                  "unknown vm_type %u: taken as 1, as AxVisor does",
                  load->conf->vm_type);
    load->conf->vm_type = 1;
}

/* A list with one entry per vCPU; true if it can be looked at further. */
static bool check_per_cpu(struct conf_load *load, enum conf_key_id id)
{
    const struct conf_given *given = &load->given[id];
    char help[64];

    if (!conf_has(load, id) || load->given[KEY_CPU_NUM].bad)
        return false;
    if (given->count == load->conf->cpu_num)
        return true;
    snprintf(help, sizeof(help), "set cpu_num = %zu", given->count);
    ax_config_say(load, AX_SEVERITY_ERROR, given->val,
                  &(struct conf_hint){
                      .help = given->count && given->count <= AX_CPUS_MAX &&
                                      !load->given[KEY_CPU_NUM].given
                                  ? help
                                  : NULL},
                  "%s has %zu entries, but cpu_num is %u",
                  ax_config_keys[id].name, given->count, load->conf->cpu_num);
    return false;
}

static void check_cpu_ids(struct conf_load *load)
{
    struct ax_config *conf = load->conf;

    if (!load->given[KEY_PHYS_CPU_IDS].given) {
        for (unsigned i = 0; i < AX_CPUS_MAX; i++)
            conf->cpu_ids[i] = i;
    }
    if (!check_per_cpu(load, KEY_PHYS_CPU_IDS))
        return;
    for (unsigned j = 1; j < conf->cpu_num; j++) {
        for (unsigned i = 0; i < j; i++) {
            if (conf->cpu_ids[i] != conf->cpu_ids[j])
                continue;
            ax_config_say(load, AX_SEVERITY_ERROR,
                          load->given[KEY_PHYS_CPU_IDS].val, NULL,
                          "phys_cpu_ids gives vCPU %u and vCPU %u the same id "
                          "%#llx",
                          i, j, (unsigned long long)conf->cpu_ids[i]);
            return;
        }
    }
}

/* The host CPUs that this process may use, as far as a mask can name them. */
static uint64_t host_cpus(void)
{
    uint64_t mask = 0;
    cpu_set_t set;

    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof(set), &set))
        return UINT64_MAX; /* more CPUs than a cpu_set_t holds */
    for (unsigned i = 0; i < 64; i++)
        mask |= (uint64_t) !!CPU_ISSET(i, &set) << i;
    return mask;
}

static void say_cpu_sets(struct conf_load *load, uint64_t vcpus,
                         const char *what, const char *instead)
{
    char list[LIST_TEXT] = "";
    size_t n = 0;

    for (unsigned i = 0; i < AX_CPUS_MAX && n < sizeof(list); i++) {
        if (vcpus >> i & 1)
            n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%u",
                                  n ? ", " : "", i);
    }
    if (n)
        ax_config_say(load, AX_SEVERITY_WARNING,
                      load->given[KEY_PHYS_CPU_SETS].val, NULL,
                      "phys_cpu_sets %s for vCPU %s: %s", what, list, instead);
}

/* Masks are cut to what the host has; an empty one means any CPU. */
static void check_cpu_sets(struct conf_load *load)
{
    struct ax_config *conf = load->conf;
    uint64_t host = host_cpus(), none = 0, some = 0;

    if (!check_per_cpu(load, KEY_PHYS_CPU_SETS))
        return;
    for (unsigned i = 0; i < conf->cpu_num; i++) {
        if (conf->cpu_sets[i] && !(conf->cpu_sets[i] & host))
            none |= 1ULL << i;
        else if (conf->cpu_sets[i] & ~host)
            some |= 1ULL << i;
        conf->cpu_sets[i] &= host;
    }
    say_cpu_sets(load, none, "names no CPU of this host",
                 "any CPU will run it");
    say_cpu_sets(load, some, "names CPUs that this host does not have",
                 "they are left out");
}

/* ---- [kernel] ---- */

static const char *const protocol_names[] = {
    [AX_BOOT_AUTO] = "auto",
    [AX_BOOT_DIRECT] = "direct",
    [AX_BOOT_MULTIBOOT] = "multiboot",
    [AX_BOOT_UEFI] = "uefi",
};

/* enable_bios and boot_protocol as they are in force. */
struct boot {
    bool enable_bios;
    enum ax_boot_protocol protocol;
    struct ax_pos at; /* of what decided it */
};

/*
 * In AxVisor's files its defaults hold: direct, and enable_bios is false. But
 * its earlier generation had neither key; there a bios_path alone chose the
 * firmware. In our own files enable_bios follows the protocol.
 */
static void resolve_boot(struct conf_load *load, struct boot *boot)
{
    struct ax_config *conf = load->conf;
    bool has_enable = conf_has(load, KEY_ENABLE_BIOS);
    bool has_protocol = conf->protocol != AX_BOOT_AUTO;
    bool classic = conf->axvisor && !has_enable &&
                   !load->given[KEY_BOOT_PROTOCOL].given && conf->bios.path;

    boot->at = has_protocol      ? load->given[KEY_BOOT_PROTOCOL].val
               : has_enable      ? load->given[KEY_ENABLE_BIOS].val
               : conf->bios.path ? conf->bios.pos
                                 : load->kernel;
    boot->protocol = conf->protocol;
    boot->enable_bios = has_enable ? load->extra.enable_bios : classic;
    if (!has_protocol && !conf->axvisor && load->extra.uefi_firmware.path) {
        boot->protocol = AX_BOOT_UEFI;
        boot->at = load->extra.uefi_firmware.pos;
    } else if (!has_protocol && boot->enable_bios) {
        boot->protocol = AX_BOOT_MULTIBOOT;
    } else if (!has_protocol && conf->axvisor) {
        boot->protocol = AX_BOOT_DIRECT;
    }
    if (!has_enable && !conf->axvisor)
        boot->enable_bios = boot->protocol == AX_BOOT_MULTIBOOT ||
                            boot->protocol == AX_BOOT_UEFI;
    if (classic)
        ax_config_say(load, AX_SEVERITY_NOTE, conf->bios.pos, NULL,
                      "bios_path without enable_bios and boot_protocol: taken "
                      "as boot protocol multiboot, as AxVisor once did");
}

/* The uefi firmware has a key of its own and falls back to bios_path. */
static void resolve_firmware(struct conf_load *load,
                             enum ax_boot_protocol protocol)
{
    struct ax_config_path *own = &load->extra.uefi_firmware;
    struct ax_config_path *bios = &load->conf->bios;

    if (own->path && protocol == AX_BOOT_UEFI) {
        free(bios->path);
        *bios = *own;
        *own = (struct ax_config_path){0};
    } else if (own->path) {
        ax_config_say(load, AX_SEVERITY_WARNING, own->pos, NULL,
                      "uefi_firmware_path has no effect with boot protocol %s",
                      protocol_names[protocol]);
    }
    if (bios->path && protocol == AX_BOOT_DIRECT)
        say_warning(load, bios->pos,
                    "bios_path has no effect with boot protocol direct");
}

/* AxVisor's validation: its order and its words. */
static void check_boot(struct conf_load *load)
{
    struct ax_config *conf = load->conf;
    const char *name;
    struct boot boot;

    if (load->given[KEY_BOOT_PROTOCOL].bad || load->given[KEY_ENABLE_BIOS].bad)
        return;
    resolve_boot(load, &boot);
    conf->protocol = boot.protocol;
    name = protocol_names[boot.protocol];
    resolve_firmware(load, boot.protocol);
    if (boot.protocol == AX_BOOT_AUTO) {
        if (conf->bios.path && !load->given[KEY_BIOS_LOAD_ADDR].given)
            say_error(load, conf->bios.pos, "bios_path needs bios_load_addr");
        return;
    }
    if (boot.enable_bios == (boot.protocol == AX_BOOT_DIRECT))
        ax_config_say(load, AX_SEVERITY_ERROR, boot.at,
                      &(struct conf_hint){
                          .help = boot.enable_bios
                                      ? "enable_bios needs multiboot or uefi"
                                      : "set enable_bios = true"},
                      "boot protocol %s conflicts with enable_bios = %s", name,
                      boot.enable_bios ? "true" : "false");
    else if (boot.protocol == AX_BOOT_DIRECT)
        return;
    else if (conf->arch && strcmp(conf->arch, "x86_64"))
        ax_config_say(load, AX_SEVERITY_ERROR, boot.at, NULL,
                      "boot protocol %s is not supported on architecture %s",
                      name, conf->arch);
    else if (boot.protocol == AX_BOOT_UEFI && !conf->bios.path &&
             !load->given[KEY_BIOS_PATH].bad &&
             !load->given[KEY_UEFI_FIRMWARE_PATH].bad)
        ax_config_say(load, AX_SEVERITY_ERROR, boot.at, NULL,
                      "boot protocol %s requires uefi_firmware_path or the "
                      "compatible bios_path",
                      name);
    else if (conf->bios.path && !load->given[KEY_BIOS_LOAD_ADDR].given)
        ax_config_say(load, AX_SEVERITY_ERROR, boot.at, NULL,
                      "boot protocol %s requires a firmware load address in "
                      "bios_load_addr",
                      name);
}

/* UEFI firmware is handed no command line; other firmware finds one in the
 * multiboot information. */
static void check_virtio_cmdline(struct conf_load *load)
{
    const struct ax_config *conf = load->conf;
    const struct ax_pos at = load->given[KEY_VIRTIO_CMDLINE].val;

    if (!conf->virtio_cmdline)
        return;
    if (conf->virtio == AX_VIRTIO_PCI)
        ax_config_say(
            load, AX_SEVERITY_ERROR, at,
            &(struct conf_hint){.help = "leave one of them out: a guest finds "
                                        "PCI devices by itself"},
            "virtio_cmdline announces virtio-mmio devices, and transport is "
            "\"pci\"");
    else if (conf->protocol == AX_BOOT_UEFI)
        ax_config_say(
            load, AX_SEVERITY_ERROR, at,
            &(struct conf_hint){.help = "leave it out: ACPI announces the "
                                        "devices then"},
            "virtio_cmdline needs a command line, and boot protocol uefi has "
            "none");
}

static void check_initrd(struct conf_load *load)
{
    struct ax_config *conf = load->conf;

    if (load->given[KEY_INITRD].given && load->given[KEY_RAMDISK_PATH].given) {
        say_error(load, load->given[KEY_INITRD].val,
                  "'initrd' and 'ramdisk_path' are one thing; give one");
    } else if (load->extra.initrd.path) {
        conf->initrd = load->extra.initrd;
        load->extra.initrd = (struct ax_config_path){0};
    }
}

static void check_kernel(struct conf_load *load)
{
    if (load->given[KEY_KERNEL_PATH].given || load->conf->bios.path ||
        load->given[KEY_BIOS_PATH].given || load->src->builtin)
        return;
    ax_config_say(load, AX_SEVERITY_ERROR, load->kernel,
                  &(struct conf_hint){.expected = "[kernel] kernel_path, the "
                                                  "image to boot"},
                  "'kernel_path' is missing");
}

static void check_unused(struct conf_load *load)
{
    static const enum conf_key_id trees[] = {KEY_DTB_PATH, KEY_DTB_LOAD_ADDR};
    const struct ax_config *conf = load->conf;

    if (conf->protocol == AX_BOOT_UEFI && conf_has(load, KEY_CMDLINE))
        say_warning(load, load->given[KEY_CMDLINE].val,
                    "cmdline has no effect with boot protocol uefi: the "
                    "firmware chooses what it starts and with which words");
    for (unsigned i = 0; i < AX_ARRAY_LEN(trees); i++) {
        if (conf_has(load, trees[i]) && conf->arch &&
            !strcmp(conf->arch, "x86_64"))
            ax_config_say(load, AX_SEVERITY_WARNING, load->given[trees[i]].val,
                          NULL,
                          "%s has no effect on x86_64: guests get ACPI tables "
                          "instead of a device tree",
                          ax_config_keys[trees[i]].name);
    }
}

/* ---- files ---- */

static int file_error(const char *path)
{
    struct stat st;

    if (stat(path, &st))
        return errno;
    if (S_ISDIR(st.st_mode))
        return EISDIR;
    return access(path, R_OK) ? errno : 0;
}

void ax_config_say_absent(struct conf_load *load, const char *name,
                          const char *path, struct ax_pos at, int err)
{
    const char *base = strrchr(path, '/');
    bool tilde = *path == '~' || strstr(path, "/~");

    ax_config_say(
        load, load->src->need_files ? AX_SEVERITY_ERROR : AX_SEVERITY_WARNING,
        at,
        &(struct conf_hint){.help = tilde ? "'~' is not expanded; "
                                            "write the whole path"
                                    : base && !base[1]
                                        ? "this names a directory"
                                        : NULL},
        "%s: cannot open '%s': %s", name, path, strerror(err));
}

static void check_file(struct conf_load *load, const char *name,
                       const struct ax_config_path *file)
{
    int err = file->path ? file_error(file->path) : 0;

    if (err)
        ax_config_say_absent(load, name, file->path, file->pos, err);
}

static void check_files(struct conf_load *load)
{
    const struct ax_config *conf = load->conf;

    if (load->src->builtin)
        return;
    check_file(load, "kernel_path", &conf->kernel);
    check_file(load, "ramdisk_path", &conf->initrd);
    check_file(load, "dtb_path", &conf->dtb);
    if (conf->protocol != AX_BOOT_DIRECT)
        check_file(load, "bios_path", &conf->bios);
}

/* ---- [cpu], [console] ---- */

static void check_features(struct conf_load *load)
{
    char *const *hide = load->conf->cpu_hide;

    for (; *hide; hide++) {
        char *const *expose = load->conf->cpu_expose;

        while (*expose && strcmp(*hide, *expose))
            expose++;
        if (*expose)
            ax_config_say(load, AX_SEVERITY_ERROR, load->given[KEY_EXPOSE].val,
                          NULL, "CPU feature '%s' is both hidden and exposed",
                          *hide);
    }
}

/* What a file or an override says has been checked as it was read. */
static void check_console(struct conf_load *load)
{
    const char *host = load->src->host ? load->src->host->console : NULL;
    struct ax_config *conf = load->conf;
    const char *problem;

    if (load->src->console) {
        free(conf->console);
        conf->console = copy(load, load->src->console);
        return;
    }
    if (load->given[KEY_CONSOLE_MODE].given)
        return;
    conf->console = copy(load, host ? host : "stdio");
    problem = load->err ? NULL : ax_console_check_spec(conf->console);
    if (problem)
        ax_config_say(load, AX_SEVERITY_ERROR, (struct ax_pos){0, 0},
                      &(struct conf_hint){.help = "see [console] mode in "
                                                  "axvm.conf"},
                      "console \"%.64s\", this host's default: %s",
                      conf->console, problem);
}

void ax_config_check(struct conf_load *load)
{
    struct ax_config *conf = load->conf;

    conf->axvisor = load->given[KEY_ENTRY_POINT].given ||
                    load->given[KEY_KERNEL_LOAD_ADDR].given;
    if (!load->given[KEY_INTERRUPT_MODE].given)
        conf->interrupt_mode =
            conf->axvisor ? AX_IRQ_MODE_NONE : AX_IRQ_MODE_EMU;
    check_name(load);
    check_vm_type(load);
    check_cpu_ids(load);
    check_cpu_sets(load);
    ax_config_infer_arch(load);
    ax_config_check_memory(load);
    check_boot(load);
    check_virtio_cmdline(load);
    check_initrd(load);
    check_kernel(load);
    check_unused(load);
    ax_config_check_devices(load);
    check_features(load);
    check_console(load);
    ax_config_check_virtio(load);
    check_files(load);
}

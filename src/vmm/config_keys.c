/*
 * config_keys.c - every key of a guest file, in the order of the dump.
 *
 * Data, but for a look-up in it: reading, did-you-mean and the dump all work
 * from this table, so a new key is one entry here, one field in struct
 * ax_config and its line in docs/guest-toml.md. What keys mean together is
 * checked in config_check.c.
 */
#include "vmm/config_impl.h"

#include <string.h>

#define FIELD(member)                                                          \
    .off = offsetof(struct ax_config, member),                                 \
    .size = sizeof(((struct ax_config *)0)->member)
#define EXTRA(member)                                                          \
    .home = HOME_EXTRA, .off = offsetof(struct conf_extra, member),            \
    .size = sizeof(((struct conf_extra *)0)->member)
#define IN_ROW(row, member)                                                    \
    .home = HOME_ROW, .off = offsetof(struct row, conf.member),                \
    .size = sizeof(((struct row *)0)->conf.member)
#define DISK(member)     IN_ROW(ax_config_disk, member)
#define NET(member)      IN_ROW(ax_config_net, member)
#define VCONSOLE(member) IN_ROW(ax_config_vconsole, member)
#define SHARE(member)    IN_ROW(ax_config_share, member)
#define CELL(row, member)                                                      \
    .off = offsetof(struct row, member),                                       \
    .size = sizeof(((struct row *)0)->member)
#define ROWS(row, counter, row_fields)                                         \
    .size = sizeof(struct row), .pos_off = offsetof(struct row, pos),          \
    .count_off = offsetof(struct ax_config, counter), .fields = row_fields,    \
    .field_count = AX_ARRAY_LEN(row_fields)

#define TABLES(row, member, counter)                                           \
    .off = offsetof(struct ax_config, member),                                 \
    .count_off = offsetof(struct ax_config, counter),                          \
    .size = sizeof(struct row), .pos_off = offsetof(struct row, pos)

/* TOML has no larger integer. */
#define ANY ((uint64_t)INT64_MAX)

enum { FLAGS_MAX = 0x3f, PORT_MAX = 0xffff, TIMEOUT_MAX = 1000000000 };
enum { FD_MIN = 3, MTU_MIN = 68, MTU_MAX = 65535 }; /* RFC 791: 68 */

/* VIRTIO 1.2, 5.10.4: 0 to 2 are reserved, and so is the upper half. */
enum { CID_MIN = 3 };
#define CID_MAX 0xfffffffeU

/* ---- words ---- */

static const struct conf_word arch_words[] = {
    {"x86_64", 0},
    {"aarch64", 1},
    {"riscv64", 2},
    {NULL, 0},
};

static const struct conf_word image_location_words[] = {
    {"fs", 0},
    {"memory", 1},
    {NULL, 0},
};

static const struct conf_word entry_mode_words[] = {
    {"auto", AX_ENTRY_AUTO},
    {"real", AX_ENTRY_REAL},
    {"protected", AX_ENTRY_PROTECTED},
    {"long", AX_ENTRY_LONG},
    {NULL, 0},
};

static const struct conf_word on_end_words[] = {
    {"stop", AX_ON_END_STOP},
    {"restart", AX_ON_END_RESTART},
    {"keep", AX_ON_END_KEEP},
    {NULL, 0},
};

static const struct conf_word boot_protocol_words[] = {
    {"auto", AX_BOOT_AUTO},
    {"direct", AX_BOOT_DIRECT},
    {"kernel", AX_BOOT_DIRECT},
    {"multiboot", AX_BOOT_MULTIBOOT},
    {"bios", AX_BOOT_MULTIBOOT},
    {"axvm-bios", AX_BOOT_MULTIBOOT},
    {"uefi", AX_BOOT_UEFI},
    {"efi", AX_BOOT_UEFI},
    {NULL, 0},
};

static const struct conf_word backing_words[] = {
    {"anonymous", AX_BACKING_ANONYMOUS},
    {"memfd", AX_BACKING_MEMFD},
    {NULL, 0},
};

/* The last two also stand for the TOML booleans. */
static const struct conf_word hugepages_words[] = {
    {"off", AX_HUGEPAGES_OFF},
    {"transparent", AX_HUGEPAGES_TRANSPARENT},
    {"2M", AX_HUGEPAGES_2M},
    {"1G", AX_HUGEPAGES_1G},
    {"false", AX_HUGEPAGES_OFF},
    {"true", AX_HUGEPAGES_TRANSPARENT},
    {NULL, 0},
};

static const struct conf_word irqchip_words[] = {
    {"kernel", AX_IRQCHIP_KERNEL},
    {"split", AX_IRQCHIP_SPLIT},
    {"none", AX_IRQCHIP_NONE},
    {NULL, 0},
};

static const struct conf_word transport_words[] = {
    {"mmio", AX_VIRTIO_MMIO},
    {"pci", AX_VIRTIO_PCI},
    {NULL, 0},
};

static const struct conf_word interrupt_mode_words[] = {
    {"no_irq", AX_IRQ_MODE_NONE},  {"no", AX_IRQ_MODE_NONE},
    {"none", AX_IRQ_MODE_NONE},    {"emu", AX_IRQ_MODE_EMU},
    {"emulated", AX_IRQ_MODE_EMU}, {"passthrough", AX_IRQ_MODE_PT},
    {"pt", AX_IRQ_MODE_PT},        {NULL, 0},
};

static const struct conf_word address_space_words[] = {
    {"virtualized", AX_ASPACE_VIRTUALIZED},
    {"virtual", AX_ASPACE_VIRTUALIZED},
    {"passthrough", AX_ASPACE_PASSTHROUGH},
    {"pt", AX_ASPACE_PASSTHROUGH},
    {NULL, 0},
};

static const struct conf_word gdb_on_words[] = {
    {"crash", AX_GDB_ON_CRASH},
    {"reset", AX_GDB_ON_RESET},
    {"poweroff", AX_GDB_ON_POWEROFF},
    {NULL, 0},
};

static const struct conf_word format_words[] = {
    {"auto", AX_DISK_AUTO},
    {"raw", AX_DISK_RAW},
    {"qcow2", AX_DISK_QCOW2},
    {NULL, 0},
};

static const struct conf_word cache_words[] = {
    {"writeback", AX_DISK_WRITEBACK},
    {"writethrough", AX_DISK_WRITETHROUGH},
    {"none", AX_DISK_DIRECT},
    {"unsafe", AX_DISK_UNSAFE},
    {NULL, 0},
};

static const struct conf_word net_mode_words[] = {
    {"user", AX_NET_USER},   {"tap", AX_NET_TAP},   {"socket", AX_NET_SOCKET},
    {"passt", AX_NET_PASST}, {"none", AX_NET_NONE}, {NULL, 0},
};

/* The last two also stand for the TOML booleans. */
static const struct conf_word vhost_words[] = {
    {"auto", AX_VHOST_AUTO}, {"off", AX_VHOST_OFF}, {"on", AX_VHOST_ON},
    {"false", AX_VHOST_OFF}, {"true", AX_VHOST_ON}, {NULL, 0},
};

static const struct conf_word console_device_words[] = {
    {"virtio", CONSOLE_VIRTIO},
    {"serial", CONSOLE_SERIAL},
    {NULL, 0},
};

/* ---- rows; names and order are AxVisor's ---- */

static const struct conf_field region_fields[] = {
    {"gpa", CELL_HEX, true, CELL(ax_config_region, gpa), .max = ANY},
    {"size", CELL_HEX, true, CELL(ax_config_region, size), .max = ANY},
    {"flags", CELL_HEX, true, CELL(ax_config_region, flags), .max = FLAGS_MAX},
    {"map_type", CELL_INT, true, CELL(ax_config_region, map_type),
     .max = AX_MAP_RESERVED},
};

static const struct conf_field emu_fields[] = {
    {"name", CELL_NAME, true, CELL(ax_config_emu, name)},
    {"base_gpa", CELL_HEX, true, CELL(ax_config_emu, base), .max = ANY},
    {"length", CELL_HEX, true, CELL(ax_config_emu, length), .max = ANY},
    {"irq_id", CELL_INT, true, CELL(ax_config_emu, irq), .max = ANY},
    {"emu_type", CELL_HEX, true, CELL(ax_config_emu, type), .max = ANY},
    {"cfg_list", CELL_INTS, false, CELL(ax_config_emu, cfg), .max = ANY,
     .count_off = offsetof(struct ax_config_emu, cfg_count)},
};

static const struct conf_field passthrough_fields[] = {
    {"name", CELL_NAME, true, CELL(ax_config_passthrough, name)},
    {"base_gpa", CELL_HEX, false, CELL(ax_config_passthrough, gpa), .max = ANY},
    {"base_hpa", CELL_HEX, false, CELL(ax_config_passthrough, hpa), .max = ANY},
    {"length", CELL_HEX, false, CELL(ax_config_passthrough, length),
     .max = ANY},
    {"irq_id", CELL_INT, false, CELL(ax_config_passthrough, irq), .max = ANY},
};

static const struct conf_field window_fields[] = {
    {"base_gpa", CELL_HEX, true, CELL(ax_config_range, base), .max = ANY},
    {"length", CELL_HEX, true, CELL(ax_config_range, length), .max = ANY},
};

static const struct conf_field port_fields[] = {
    {"base", CELL_HEX, true, CELL(ax_config_range, base), .max = PORT_MAX},
    {"length", CELL_HEX, true, CELL(ax_config_range, length), .max = PORT_MAX},
};

static const struct conf_list regions = {
    "memory region", ROWS(ax_config_region, region_count, region_fields)};
static const struct conf_list emu_devices = {
    "emulated device", ROWS(ax_config_emu, emu_count, emu_fields)};
static const struct conf_list passthrough_devices = {
    "passthrough device",
    ROWS(ax_config_passthrough, passthrough_count, passthrough_fields)};
static const struct conf_list passthrough_addresses = {
    "passthrough address range",
    ROWS(ax_config_range, window_count, window_fields)};
static const struct conf_list passthrough_ports = {
    "passthrough port range", ROWS(ax_config_range, port_count, port_fields)};

/* ---- arrays of tables ---- */

static const struct ax_config_disk default_disk = {
    .conf = {.queues = 1, .block_size = 512},
};
static const struct ax_config_net default_net = {
    .conf = {.mode = AX_NET_USER, .queues = 1, .offload = true},
};
static const struct ax_config_vconsole default_vconsole = {0};
static const struct ax_config_share default_share = {0};

const struct conf_rows ax_config_rows[CONF_ROWS] = {
    [ROWS_DISK] = {"[disk]", TABLES(ax_config_disk, disks, disk_count),
                   .defaults = &default_disk, .check = ax_config_check_disk},
    [ROWS_NET] = {"[net]", TABLES(ax_config_net, nets, net_count),
                  .defaults = &default_net, .check = ax_config_check_net},
    [ROWS_VCONSOLE] = {"[console]",
                       TABLES(ax_config_vconsole, vconsoles, vconsole_count),
                       .defaults = &default_vconsole,
                       .check = ax_config_check_vconsole},
    [ROWS_SHARE] = {"[share]", TABLES(ax_config_share, shares, share_count),
                    .defaults = &default_share, .check = ax_config_check_share},
};

/* ---- keys ---- */

const struct conf_key ax_config_keys[CONF_KEYS] = {
    [KEY_ID] = {"base", "id", "number of the VM", KIND_INT, FIELD(id),
                .max = ANY},
    [KEY_NAME] = {"base", "name", "name of the VM", KIND_STRING, FIELD(name),
                  .min = 1},
    [KEY_ARCH] = {"base", "arch", "architecture of the guest", KIND_STRING,
                  FIELD(arch), .words = arch_words},
    [KEY_VM_TYPE] = {"base", "vm_type",
                     "0 host, 1 RTOS, 2 Linux: AxVisor's, changes nothing",
                     KIND_INT, FIELD(vm_type), .max = UINT32_MAX},
    [KEY_CPU_NUM] = {"base", "cpu_num", "virtual CPUs, 1 to 64", KIND_INT,
                     FIELD(cpu_num), .min = 1, .max = AX_CPUS_MAX},
    [KEY_PHYS_CPU_IDS] = {"base", "phys_cpu_ids",
                          "hardware id that the guest sees, one per vCPU",
                          KIND_INTS, FIELD(cpu_ids), .max = ANY},
    [KEY_PHYS_CPU_SETS] = {"base", "phys_cpu_sets",
                           "mask of host CPUs to run on, one per vCPU; 0: any",
                           KIND_INTS, FIELD(cpu_sets), .max = ANY},
    [KEY_MEMORY] = {"base", "memory", "guest memory, laid out by the board",
                    KIND_SIZE, FIELD(memory), .min = AX_MIB(1),
                    .max = CONF_GPA_END},
    [KEY_ON_POWEROFF] = {"base", "on_poweroff", "when the guest powers off",
                         KIND_WORD, FIELD(on_poweroff), .words = on_end_words},
    [KEY_ON_REBOOT] = {"base", "on_reboot", "when the guest asks for a reset",
                       KIND_WORD, FIELD(on_reboot), .words = on_end_words},
    [KEY_ON_CRASH] = {"base", "on_crash", "when the guest crashes", KIND_WORD,
                      FIELD(on_crash), .words = on_end_words},
    [KEY_STOP_TIMEOUT] = {"base", "stop_timeout",
                          "seconds for a guest that is asked to power off",
                          KIND_SECONDS, FIELD(stop_timeout_ns),
                          .max = TIMEOUT_MAX},
    [KEY_KERNEL_PATH] = {"kernel", "kernel_path", "kernel image", KIND_PATH,
                         FIELD(kernel)},
    [KEY_KERNEL_LOAD_ADDR] = {"kernel", "kernel_load_addr",
                              "where the kernel goes", KIND_ADDR,
                              FIELD(kernel_load), .max = CONF_GPA_END - 1},
    [KEY_ENTRY_POINT] = {"kernel", "entry_point", "first instruction of vCPU 0",
                         KIND_ADDR, FIELD(entry), .max = CONF_GPA_END - 1},
    [KEY_ENTRY_MODE] = {"kernel", "entry_mode",
                        "x86 mode in which a flat binary is entered", KIND_WORD,
                        FIELD(entry_mode), .words = entry_mode_words},
    [KEY_IMAGE_LOCATION] = {"kernel", "image_location",
                            "fs or memory: images are read from their paths",
                            KIND_WORD, EXTRA(image_location),
                            .words = image_location_words},
    [KEY_CMDLINE] = {"kernel", "cmdline", "kernel command line", KIND_STRING,
                     FIELD(cmdline)},
    [KEY_VIRTIO_CMDLINE] = {"kernel", "virtio_cmdline",
                            "virtio devices are announced on the command line, "
                            "not by ACPI",
                            KIND_BOOL, FIELD(virtio_cmdline)},
    [KEY_RAMDISK_PATH] = {"kernel", "ramdisk_path", "initial RAM disk",
                          KIND_PATH, FIELD(initrd)},
    [KEY_INITRD] = {"kernel", "initrd", "another name of ramdisk_path",
                    KIND_PATH, EXTRA(initrd)},
    [KEY_RAMDISK_LOAD_ADDR] = {"kernel", "ramdisk_load_addr",
                               "where the RAM disk goes", KIND_ADDR,
                               FIELD(initrd_load), .max = CONF_GPA_END - 1},
    [KEY_DTB_PATH] = {"kernel", "dtb_path", "device tree blob", KIND_PATH,
                      FIELD(dtb)},
    [KEY_DTB_LOAD_ADDR] = {"kernel", "dtb_load_addr",
                           "where the device tree goes", KIND_ADDR,
                           FIELD(dtb_load), .max = CONF_GPA_END - 1},
    [KEY_ENABLE_BIOS] = {"kernel", "enable_bios",
                         "must agree with boot_protocol", KIND_BOOL,
                         EXTRA(enable_bios)},
    [KEY_BOOT_PROTOCOL] =
        {"kernel", "boot_protocol",
         "auto, direct, multiboot or uefi; auto: by the image", KIND_WORD,
         FIELD(protocol), .words = boot_protocol_words},
    [KEY_BIOS_PATH] = {"kernel", "bios_path", "firmware image", KIND_PATH,
                       FIELD(bios)},
    [KEY_UEFI_FIRMWARE_PATH] = {"kernel", "uefi_firmware_path",
                                "firmware image of boot protocol uefi",
                                KIND_PATH, EXTRA(uefi_firmware)},
    [KEY_BIOS_LOAD_ADDR] = {"kernel", "bios_load_addr",
                            "where the firmware goes", KIND_ADDR,
                            FIELD(bios_load), .max = CONF_GPA_END - 1},
    [KEY_AXVISOR_DISK] = {"kernel", "disk_path",
                          "image of a further disk, as AxVisor names it",
                          KIND_PATH, EXTRA(disk)},
    [KEY_MEMORY_REGIONS] = {"kernel", "memory_regions",
                            "guest memory: [gpa, size, flags, map_type]",
                            KIND_LIST, FIELD(regions), .list = &regions},
    [KEY_BACKING] = {"memory", "backing",
                     "host memory behind it: anonymous or memfd", KIND_WORD,
                     FIELD(backing), .words = backing_words},
    [KEY_HUGEPAGES] = {"memory", "hugepages",
                       "host pages behind it: off, transparent, 2M or 1G",
                       KIND_WORD, FIELD(hugepages), .words = hugepages_words},
    [KEY_IRQCHIP] = {"cpu", "irqchip",
                     "interrupt controllers: kernel, split or none", KIND_WORD,
                     FIELD(irqchip), .words = irqchip_words},
    [KEY_HIDE] = {"cpu", "hide", "CPU features that the guest must not see",
                  KIND_STRINGS, FIELD(cpu_hide)},
    [KEY_EXPOSE] = {"cpu", "expose",
                    "CPU features that it sees only if named here",
                    KIND_STRINGS, FIELD(cpu_expose)},
    [KEY_INTERRUPT_MODE] = {"devices", "interrupt_mode",
                            "no_irq, emu or passthrough (emulated as well)",
                            KIND_WORD, FIELD(interrupt_mode),
                            .words = interrupt_mode_words},
    [KEY_ADDRESS_SPACE_POLICY] =
        {"devices", "address_space_policy",
         "virtualized or passthrough (virtualized as well)", KIND_WORD,
         FIELD(address_space_policy), .words = address_space_words},
    [KEY_EMU_DEVICES] = {"devices", "emu_devices",
                         "[name, base_gpa, length, irq_id, emu_type, cfg_list]",
                         KIND_LIST, FIELD(emu), .list = &emu_devices},
    [KEY_PASSTHROUGH_DEVICES] =
        {"devices", "passthrough_devices",
         "host devices, replaced: [name, base_gpa, base_hpa, length, irq_id]",
         KIND_LIST, FIELD(passthrough), .list = &passthrough_devices},
    [KEY_PASSTHROUGH_ADDRESSES] =
        {"devices", "passthrough_addresses",
         "host MMIO, reads as all ones: [base_gpa, length]", KIND_LIST,
         FIELD(windows), .list = &passthrough_addresses},
    [KEY_PASSTHROUGH_PORTS] = {"devices", "passthrough_ports",
                               "host ports, read as all ones: [base, length]",
                               KIND_LIST, FIELD(ports),
                               .list = &passthrough_ports},
    [KEY_EXCLUDED_DEVICES] = {"devices", "excluded_devices",
                              "host devices not to pass through", KIND_EXCLUDED,
                              FIELD(excluded)},
    [KEY_DISK_PATH] = {"[disk]", "path", "image file or block device",
                       KIND_FILE, DISK(path)},
    [KEY_DISK_FORMAT] = {"[disk]", "format", "auto, raw or qcow2", KIND_WORD,
                         DISK(format), .words = format_words},
    [KEY_DISK_CACHE] = {"[disk]", "cache",
                        "writeback, writethrough, none or unsafe", KIND_WORD,
                        DISK(cache), .words = cache_words},
    [KEY_DISK_READONLY] = {"[disk]", "readonly", "the guest cannot write",
                           KIND_BOOL, DISK(readonly)},
    [KEY_DISK_OVERLAY] = {"[disk]", "overlay",
                          "what the guest writes is forgotten at the end",
                          KIND_BOOL, DISK(overlay)},
    [KEY_DISK_SERIAL] = {"[disk]", "serial", "serial number", KIND_STRING,
                         DISK(serial), .min = 1, .max = AX_DISK_SERIAL},
    [KEY_DISK_QUEUES] = {"[disk]", "queues", "queues", KIND_INT, DISK(queues),
                         .min = 1, .max = AX_DISK_QUEUES},
    [KEY_DISK_BLOCK_SIZE] = {"[disk]", "block_size", "512 or 4096", KIND_INT,
                             DISK(block_size), .min = 512, .max = 4096},
    [KEY_DISK_IOPS] = {"[disk]", "iops", "operations per second; 0: no limit",
                       KIND_INT, DISK(iops_max), .max = ANY},
    [KEY_DISK_BPS] = {"[disk]", "bps", "bytes per second; 0: no limit",
                      KIND_SIZE, DISK(bytes_max), .max = ANY},
    [KEY_NET_MODE] = {"[net]", "mode", "user, tap, socket, passt or none",
                      KIND_WORD, NET(mode), .words = net_mode_words},
    [KEY_NET_MAC] = {"[net]", "mac", "address of the guest's card", KIND_STRING,
                     NET(mac), .min = 1},
    [KEY_NET_IFNAME] = {"[net]", "ifname", "tap: interface of the host",
                        KIND_STRING, NET(ifname), .min = 1},
    [KEY_NET_FD] = {"[net]", "fd", "tap: descriptor that is inherited open",
                    KIND_INT, NET(fd), .min = FD_MIN, .max = INT32_MAX},
    [KEY_NET_PATH] = {"[net]", "path", "socket, passt: Unix socket", KIND_FILE,
                      NET(path)},
    [KEY_NET_HOSTFWD] = {"[net]", "hostfwd",
                         "user: ports that lead into the guest, "
                         "\"tcp:[HOST]:PORT-GUESTPORT\"",
                         KIND_STRINGS, NET(hostfwd)},
    [KEY_NET_QUEUES] = {"[net]", "queues", "pairs of queues", KIND_INT,
                        NET(queues), .min = 1, .max = AX_NET_QUEUES},
    [KEY_NET_MTU] = {"[net]", "mtu", "largest packet that the guest may send",
                     KIND_INT, NET(mtu), .min = MTU_MIN, .max = MTU_MAX},
    [KEY_NET_OFFLOADS] = {"[net]", "offloads",
                          "the guest may leave checksums and segmentation to "
                          "the host",
                          KIND_BOOL, NET(offload)},
    [KEY_NET_VHOST] = {"[net]", "vhost", "tap: the host's kernel does the work",
                       KIND_WORD, NET(vhost), .words = vhost_words},
    [KEY_CONSOLE_MODE] = {"console", "mode",
                          "stdio, pty, unix:PATH, file:PATH or none",
                          KIND_CONSOLE, FIELD(console)},
    [KEY_ESCAPES] = {"console", "escapes", "Ctrl-a commands on a terminal",
                     KIND_BOOL, FIELD(escapes)},
    [KEY_VCONSOLE_DEVICE] = {"[console]", "device",
                             "virtio, or serial: the serial line, as [console]",
                             KIND_WORD, EXTRA(console_device),
                             .words = console_device_words},
    [KEY_VCONSOLE_MODE] = {"[console]", "mode",
                           "stdio, pty, unix:PATH, file:PATH or none",
                           KIND_CONSOLE, VCONSOLE(mode)},
    [KEY_VCONSOLE_NAME] = {"[console]", "name", "name of the port in the guest",
                           KIND_STRING, VCONSOLE(name), .min = 1,
                           .max = AX_VCONSOLE_NAME},
    [KEY_SHARE_TAG] = {"[share]", "tag", "name to mount it by", KIND_STRING,
                       SHARE(tag), .min = 1, .max = AX_SHARE_TAG},
    [KEY_SHARE_PATH] = {"[share]", "path", "directory of the host", KIND_FILE,
                        SHARE(path)},
    [KEY_SHARE_READONLY] = {"[share]", "readonly", "the guest cannot write",
                            KIND_BOOL, SHARE(readonly)},
    [KEY_VSOCK_CID] = {"vsock", "cid", "address of the guest, 3 or greater",
                       KIND_INT, FIELD(vsock.cid), .min = CID_MIN,
                       .max = CID_MAX},
    [KEY_VSOCK_UDS] = {"vsock", "uds", "Unix socket for host programs",
                       KIND_FILE, FIELD(vsock.uds)},
    [KEY_VSOCK_VHOST] = {"vsock", "vhost", "the host's kernel does the work",
                         KIND_WORD, FIELD(vsock.vhost), .words = vhost_words},
    [KEY_BALLOON_ENABLED] = {"balloon", "enabled",
                             "the guest can be asked for memory", KIND_BOOL,
                             FIELD(balloon.enabled)},
    [KEY_DEFLATE_ON_OOM] = {"balloon", "deflate_on_oom",
                            "it may take memory back when it has no other",
                            KIND_BOOL, FIELD(balloon.deflate_on_oom)},
    [KEY_FREE_PAGE_REPORTING] = {"balloon", "free_page_reporting",
                                 "it gives back what it does not use",
                                 KIND_BOOL, FIELD(balloon.free_page_reporting)},
    [KEY_RNG_ENABLED] = {"rng", "enabled", "a source of random numbers",
                         KIND_BOOL, FIELD(rng)},
    [KEY_VIRTIO_TRANSPORT] = {"virtio", "transport",
                              "how the guest reaches them: mmio or pci",
                              KIND_WORD, FIELD(virtio),
                              .words = transport_words},
    [KEY_EXIT_PORT] = {"debug", "exit_port",
                       "a write to port 0xf4 ends the guest", KIND_BOOL,
                       FIELD(debug_exit)},
    [KEY_DEBUG_PORT] = {"debug", "debug_port",
                        "port 0xe9 writes to the console", KIND_BOOL,
                        FIELD(debug_port)},
    [KEY_TIMEOUT] = {"debug", "timeout",
                     "seconds until the guest is ended; 0: never", KIND_SECONDS,
                     FIELD(timeout_ns), .max = TIMEOUT_MAX},
    [KEY_GDB] = {"debug", "gdb", "where gdb connects: [HOST:]PORT or unix:PATH",
                 KIND_LISTEN, FIELD(gdb)},
    [KEY_GDB_WAIT] = {"debug", "gdb_wait",
                      "halt before the first instruction, for gdb", KIND_BOOL,
                      FIELD(gdb_wait)},
    [KEY_GDB_ON] = {"debug", "gdb_on",
                    "halt for gdb at these: crash, reset, poweroff", KIND_FLAGS,
                    FIELD(gdb_on), .words = gdb_on_words},
};

unsigned ax_config_gdb_event(const char *word, size_t len)
{
    const struct conf_word *at = gdb_on_words;

    while (at->word &&
           (strlen(at->word) != len || strncmp(at->word, word, len)))
        at++;
    return at->val;
}

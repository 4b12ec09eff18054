/* test_config_virtio.c - disks, net cards, consoles, shares and the rest. */
#include "conf/hostconf.h"
#include "unit/config_load.h"

#include <sys/stat.h>
#include <unistd.h>

static struct loaded l;

static void fini(void)
{
    loaded_fini(&l);
}

TestSuite(config_virtio, .fini = fini);

Test(config_virtio, a_random_number_source_is_all_there_is)
{
    load_good(&l, KERNEL);
    cr_assert_eq(l.conf->disk_count, 0);
    cr_assert_eq(l.conf->net_count, 0);
    cr_assert_eq(l.conf->vconsole_count, 0);
    cr_assert_eq(l.conf->share_count, 0);
    cr_assert_eq(l.conf->vsock.cid, 0);
    cr_assert_not(l.conf->balloon.enabled);
    cr_assert(l.conf->rng);
    load_good(&l, KERNEL "[rng]\nenabled = false\n");
    cr_assert_not(l.conf->rng);
}

Test(config_virtio, there_are_two_transports)
{
    load_good(&l, KERNEL);
    cr_assert_eq(l.conf->virtio, AX_VIRTIO_MMIO);
    load_good(&l, KERNEL "[virtio]\n");
    cr_assert_eq(l.conf->virtio, AX_VIRTIO_MMIO);
    load_good(&l, KERNEL "[virtio]\ntransport = \"mmio\"\n");
    cr_assert_eq(l.conf->virtio, AX_VIRTIO_MMIO);
    load_good(&l, KERNEL "[virtio]\ntransport = \"pci\"\n");
    cr_assert_eq(l.conf->virtio, AX_VIRTIO_PCI);
    load_bad(&l, KERNEL "[virtio]\ntransport = \"pcie\"\n",
             "dir/guest.toml:4:13: error: 'transport' cannot be "
             "\"pcie\"");
    cr_assert(told(&l, "\"mmio\", \"pci\""), "%s", l.told);
    cr_assert(told(&l, "did you mean \"pci\"?"), "%s", l.told);
    load_bad(&l, KERNEL "[virtio]\ntransport = true\n", "found a boolean");
    load_bad(&l, KERNEL "[virtio]\ntransprot = \"pci\"\n",
             "did you mean 'transport'?");
    load_bad(&l, KERNEL "[virito]\ntransport = \"pci\"\n",
             "did you mean [virtio]?");
    load_bad(&l, KERNEL "[[virtio]]\ntransport = \"pci\"\n",
             "'virtio' has the wrong type: found an array");
    l.sets[0] = "virtio.transport=pci";
    load_good(&l, KERNEL);
    cr_assert_eq(l.conf->virtio, AX_VIRTIO_PCI);
}

Test(config_virtio, a_disk_needs_a_path_alone)
{
    const struct ax_config_disk *disk;

    load_good(&l, KERNEL "[[disk]]\npath = \"d\"\n");
    cr_assert_eq(l.conf->disk_count, 1);
    disk = &l.conf->disks[0];
    cr_assert_str_eq(disk->conf.path, "dir/d");
    cr_assert_eq(disk->conf.format, AX_DISK_AUTO);
    cr_assert_eq(disk->conf.cache, AX_DISK_WRITEBACK);
    cr_assert_not(disk->conf.readonly);
    cr_assert_not(disk->conf.overlay);
    cr_assert_null(disk->conf.serial);
    cr_assert_eq(disk->conf.queues, 1);
    cr_assert_eq(disk->conf.block_size, 512);
    cr_assert_eq(disk->conf.iops_max, 0);
    cr_assert_eq(disk->conf.bytes_max, 0);
    cr_assert_not(disk->place.given);
    cr_assert_eq(disk->pos.line, 3);
    load_bad(&l, KERNEL "[[disk]]\nserial = \"d\"\n",
             "dir/guest.toml:3:1: error: [[disk]] has no 'path'");
}

Test(config_virtio, every_key_of_a_disk_is_read)
{
    const struct ax_config_disk *disk;

    load_good(&l, KERNEL "[[disk]]\npath = \"d\"\n"
                         "[[disk]]\npath = \"/e\"\nformat = \"qcow2\"\n"
                         "cache = \"none\"\nreadonly = true\n"
                         "serial = \"12345678901234567890\"\nqueues = 4\n"
                         "block_size = 4096\niops = 100\nbps = \"10M\"\n");
    cr_assert_eq(l.conf->disk_count, 2);
    disk = &l.conf->disks[1];
    cr_assert_str_eq(disk->conf.path, "/e");
    cr_assert_eq(disk->conf.format, AX_DISK_QCOW2);
    cr_assert_eq(disk->conf.cache, AX_DISK_DIRECT);
    cr_assert(disk->conf.readonly);
    cr_assert_str_eq(disk->conf.serial, "12345678901234567890");
    cr_assert_eq(disk->conf.queues, 4);
    cr_assert_eq(disk->conf.block_size, 4096);
    cr_assert_eq(disk->conf.iops_max, 100);
    cr_assert_eq(disk->conf.bytes_max, AX_MIB(10));
    cr_assert_not(l.conf->disks[0].conf.readonly);
}

Test(config_virtio, mistakes_in_a_row_are_told)
{
    load_bad(&l, KERNEL "[[disk]]\npath = \"a\"\nreadolny = true\n",
             "guest.toml:5:1: error: unknown key 'readolny' in [[disk]]");
    cr_assert(told(&l, "did you mean 'readonly'?"), "%s", l.told);
    load_bad(&l, KERNEL "[[disk]]\npaht = \"a\"\n", "did you mean 'path'?");
    load_bad(&l, KERNEL "[disk]\npath = \"a\"\n",
             "'disk' has the wrong type: found a table");
    cr_assert(told(&l, "expected: [[disk]], a table for each"), "%s", l.told);
    load_bad(&l, "disk = [1]\n" KERNEL, "[[disk]] must be a table");
    load_bad(&l, KERNEL "[[dsk]]\npath = \"a\"\n", "key 'dsk' stands outside");
    load_bad(&l, KERNEL "[[rng]]\nenabled = true\n",
             "'rng' has the wrong type: found an array");
    load_bad(&l, KERNEL "[disks]\npath = \"a\"\n", "did you mean [[disk]]?");
    load_bad(&l, KERNEL "[[disk]]\npath = \"a\"\nserial = \"\"\n", "empty");
    load_bad(&l, KERNEL "[[disk]]\npath = \"a\"\nserial = \"a\\u0001\"\n",
             "control character");
    load_bad(&l,
             KERNEL "[[disk]]\npath = \"a\"\n"
                    "serial = \"123456789012345678901\"\n",
             "'serial' is longer than 20 bytes");
    load_bad(&l, KERNEL "[[disk]]\npath = \"a\"\nqueues = 17\n",
             "an integer from 1 to 16");
    load_bad(&l, KERNEL "path = \"a\"\n", "did you mean 'kernel_path'?");
    load_bad(&l, KERNEL "[\"[disk]\"]\npath = \"a\"\n",
             "unknown table [[disk]]");
}

Test(config_virtio, rows_are_not_overridden)
{
    l.sets[0] = "disk.path=a";
    load_bad(&l, KERNEL "[[disk]]\npath = \"a\"\n",
             "--set:1:1: error: [[disk]] cannot be overridden");
    l.sets[0] = "[disk].path=a";
    load_bad(&l, KERNEL "[[disk]]\npath = \"a\"\n",
             "--set:1:1: error: unknown table [[disk]]");
    l.sets[0] = "console.mode=none";
    load_good(&l, KERNEL "[[console]]\n[[console]]\ndevice = \"serial\"\n"
                         "mode = \"pty\"\n");
    cr_assert_str_eq(l.conf->console, "none");
    l.sets[0] = "rng.enabled=false";
    load_good(&l, KERNEL);
    cr_assert_not(l.conf->rng);
}

Test(config_virtio, disk_path_is_a_disk)
{
    load_good(&l, KERNEL "disk_path = \"d\"\n[[disk]]\npath = \"a\"\n");
    cr_assert_eq(l.conf->disk_count, 2);
    cr_assert_str_eq(l.conf->disks[1].conf.path, "dir/d");
    cr_assert_eq(l.conf->disks[1].conf.queues, 1);
    cr_assert_eq(l.conf->disks[1].pos.line, 3);
}

Test(config_virtio, a_net_card_is_in_user_mode)
{
    const struct ax_config_net *net;

    load_good(&l, KERNEL "[[net]]\n");
    cr_assert_eq(l.conf->net_count, 1);
    net = &l.conf->nets[0];
    cr_assert_eq(net->conf.mode, AX_NET_USER);
    cr_assert_null(net->conf.mac);
    cr_assert_null(net->conf.hostfwd);
    cr_assert_eq(net->conf.queues, 1);
    cr_assert_eq(net->conf.mtu, 0);
    cr_assert(net->conf.offload);
    cr_assert_eq(net->conf.vhost, AX_VHOST_AUTO);
}

Test(config_virtio, consoles_and_the_serial_line)
{
    load_good(&l, KERNEL "[[console]]\nname = \"n\"\n"
                         "[[console]]\ndevice = \"serial\"\nmode = \"none\"\n"
                         "escapes = false\n"
                         "[[console]]\ndevice = \"virtio\"\n"
                         "mode = \"unix:s\"\n");
    cr_assert_eq(l.conf->vconsole_count, 2);
    cr_assert_str_eq(l.conf->vconsoles[0].conf.mode, "pty");
    cr_assert_str_eq(l.conf->vconsoles[0].conf.name, "n");
    cr_assert_str_eq(l.conf->vconsoles[1].conf.mode, "unix:dir/s");
    cr_assert_null(l.conf->vconsoles[1].conf.name);
    cr_assert_str_eq(l.conf->console, "none");
    cr_assert_not(l.conf->escapes);
    load_bad(&l,
             KERNEL "[[console]]\ndevice = \"serial\"\n"
                    "[[console]]\ndevice = \"serial\"\n",
             "5:1: error: the serial line has a [[console]] already, in line "
             "3");
    load_bad(&l, KERNEL "[[console]]\ndevice = \"seral\"\nescapes = true\n",
             "did you mean \"serial\"?");
    load_bad(&l, KERNEL "[[console]]\nescapes = true\n",
             "escapes belongs to [console]");
    load_bad(&l, "console = 1\n" KERNEL, "a table, or [[console]], a table");
}

Test(config_virtio, the_other_devices)
{
    load_good(&l, KERNEL "[[share]]\ntag = \"t\"\npath = \"p\"\n"
                         "readonly = true\n"
                         "[vsock]\ncid = 3\nuds = \"u\"\nvhost = false\n"
                         "[balloon]\nenabled = true\ndeflate_on_oom = false\n");
    cr_assert_eq(l.conf->share_count, 1);
    cr_assert_str_eq(l.conf->shares[0].conf.tag, "t");
    cr_assert_str_eq(l.conf->shares[0].conf.path, "dir/p");
    cr_assert(l.conf->shares[0].conf.readonly);
    cr_assert_eq(l.conf->vsock.cid, 3);
    cr_assert_str_eq(l.conf->vsock.uds, "dir/u");
    cr_assert_eq(l.conf->vsock.vhost, AX_VHOST_OFF);
    cr_assert(l.conf->balloon.enabled);
    cr_assert_not(l.conf->balloon.deflate_on_oom);
    cr_assert(l.conf->balloon.free_page_reporting);
    load_bad(&l, KERNEL "[vsock]\ncid = 2\n",
             "an integer from 0x3 to 0xfffffffe");
}

/* ---- cards ---- */

#define NET KERNEL "[[net]]\n"

Test(config_virtio, every_key_of_a_card_is_read)
{
    const struct ax_net_conf *net;

    load_good(&l, NET "mode = \"tap\"\nmac = \"52:54:00:aB:cd:0f\"\n"
                      "ifname = \"tap0\"\nqueues = 2\nmtu = 9000\n"
                      "offloads = false\nvhost = \"on\"\n");
    net = &l.conf->nets[0].conf;
    cr_assert_eq(net->mode, AX_NET_TAP);
    cr_assert_str_eq(net->mac, "52:54:00:aB:cd:0f");
    cr_assert_str_eq(net->ifname, "tap0");
    cr_assert_eq(net->queues, 2);
    cr_assert_eq(net->mtu, 9000);
    cr_assert_not(net->offload);
    cr_assert_eq(net->vhost, AX_VHOST_ON);
    load_good(&l, NET "mode = \"tap\"\nfd = 3\n");
    cr_assert_eq(l.conf->nets[0].conf.fd, 3);
    load_good(&l, NET "mode = \"socket\"\npath = \"s\"\n");
    cr_assert_str_eq(l.conf->nets[0].conf.path, "dir/s");
    load_good(&l, NET "hostfwd = [\"tcp:1-2\", \"udp:[::1]:1-2\"]\n");
    cr_assert_str_eq(l.conf->nets[0].conf.hostfwd[1], "udp:[::1]:1-2");
    cr_assert_null(l.conf->nets[0].conf.hostfwd[2]);
}

/* Absolute paths of so many bytes: one is good, the other is not. */
static void path_is_bad(const char *before, int good, int bad)
{
    char text[512];

    snprintf(text, sizeof(text), "%s\"/%0*d\"\n", before, good - 1, 0);
    load_good(&l, text);
    snprintf(text, sizeof(text), "%s\"/%0*d\"\n", before, bad - 1, 0);
    load_bad(&l, text, " 1 more than there is room for");
}

Test(config_virtio, a_key_goes_with_its_mode)
{
    load_bad(&l, NET "ifname = \"t\"\n", "'ifname' goes with mode \"tap\"");
    load_bad(&l, NET "fd = 3\n", "'fd' goes with mode \"tap\"");
    load_bad(&l, NET "vhost = \"auto\"\n", "'vhost' goes with mode");
    load_bad(&l, NET "queues = 2\n", "4:10: error: more than one pair");
    load_bad(&l, NET "path = \"p\"\n", "\"socket\" and \"passt\"");
    load_bad(&l, NET "mode = \"tap\"\nhostfwd = [\"tcp:1-2\"]\n",
             "'hostfwd' goes with mode \"user\"");
    load_bad(&l, NET "mode = \"passt\"\n", "3:1: error: [[net]] has no 'path'");
    load_bad(&l, NET "mode = \"tap\"\nfd = 3\nifname = \"t\"\n", "give one");
    load_bad(&l, NET "mode = \"tab\"\nifname = \"t\"\n",
             "did you mean \"tap\"?");
    load_bad(&l, NET "mode = \"tap\"\nfd = 2\n", "from 0x3 to");
    load_bad(&l, NET "mode = \"tap\"\nifname = \"a/b\"\n", "no name of an");
    load_bad(&l, NET "mode = \"tap\"\nifname = \"a234567890123456\"\n",
             "at most 15 bytes");
    load_bad(&l, NET "mtu = 67\n", "an integer from 0x44 to 0xffff");
    path_is_bad(NET "mode = \"socket\"\npath = ", 107, 108);
}

static void mac_is_bad(const char *mac, const char *words)
{
    char text[256];

    snprintf(text, sizeof(text), NET "mac = \"%s\"\n", mac);
    load_bad(&l, text, words);
}

Test(config_virtio, a_card_has_an_address_of_its_own)
{
    mac_is_bad("52:54:00:12:34", "is not an address");
    mac_is_bad("52:54:00:12:34:5", "is not an address");
    mac_is_bad("52:54:00:12:34:567", "is not an address");
    mac_is_bad("52-54-00-12-34-56", "is not an address");
    mac_is_bad("+2:54:00:12:34:56", "is not an address");
    mac_is_bad("x2:54:00:12:34:56", "is not an address");
    mac_is_bad("53:54:00:12:34:56", "an address of a group");
    mac_is_bad("ff:ff:ff:ff:ff:ff", "an address of a group");
    mac_is_bad("00:00:00:00:00:00", "nobody's");
    load_bad(&l,
             NET "mac = \"52:54:00:00:00:0A\"\n[[net]]\n"
                 "mac = \"52:54:00:00:00:0a\"\n",
             "6:7: error: 'mac' is another card's address already");
}

static void forward_is_bad(const char *spec)
{
    char text[256];

    snprintf(text, sizeof(text), NET "hostfwd = [\"%s\"]\n", spec);
    load_bad(&l, text, "'hostfwd' cannot be \"");
    cr_assert(told(&l, "as \"tcp:2222-22\""), "%s", l.told);
}

static void forwards_clash(bool clash, const char *a, const char *b)
{
    char text[256];

    snprintf(text, sizeof(text), NET "hostfwd = [\"%s\", \"%s\"]\n", a, b);
    if (clash)
        load_bad(&l, text, "port 22 twice");
    else
        load_good(&l, text);
    snprintf(text, sizeof(text),
             NET "hostfwd = [\"%s\"]\n[[net]]\nhostfwd = [\"%s\"]\n", a, b);
    if (clash)
        load_bad(&l, text, "6:11: error: 'hostfwd' takes ");
    else
        load_good(&l, text);
}

Test(config_virtio, forwarded_ports)
{
    static const char *const bad[] = {
        "",
        "tcp",
        "tcp:",
        "tcp:22",
        "tcp:22-",
        "tcp:-22",
        "tcp:0-22",
        "tcp:22-0",
        "tcp:22-65536",
        "tcp:4294967318-22",
        "tcp:22-22x",
        "sctp:22-22",
        "TCP:22-22",
        "tcp:name:22-22",
        "tcp:1.2.3:22-22",
        "tcp:::1:22-22",
        "tcp:[::1:22-22",
        "tcp:[::1]22-22",
        "tcp:[]:22-22",
        "tcp:[1.2.3.4]:22-22",
        "tcp:22-1.2.3.4:22",
        "tcp:0000000000000000000000000000000000000000000000000:22-22",
    };

    for (unsigned i = 1; i < AX_ARRAY_LEN(bad); i++)
        forward_is_bad(bad[i]);
    load_bad(&l, NET "hostfwd = [\"\"]\n", "empty string");
    forwards_clash(true, "tcp:22-1", "tcp::22-2");
    forwards_clash(true, "udp:127.0.0.1:22-1", "udp:22-2");
    forwards_clash(true, "tcp:0.0.0.0:22-1", "tcp:10.0.0.1:22-2");
    forwards_clash(true, "tcp:[::1]:22-1", "tcp:[0::1]:22-2");
    forwards_clash(false, "tcp:22-1", "udp:22-2");
    forwards_clash(false, "tcp:10.0.0.2:22-1", "tcp:10.0.0.1:22-2");
    forwards_clash(false, "tcp:22-1", "tcp:23-1");
    forwards_clash(false, "tcp:22-1", "tcp:[::1]:22-2");
}

Test(config_virtio, the_host_says_what_a_card_is)
{
    static char tap[] = "tap", bad[] = "tab";
    struct ax_hostconf host = {.network_mode = tap};

    l.src.host = &host;
    load_good(&l, NET "ifname = \"t\"\n");
    cr_assert_eq(l.conf->nets[0].conf.mode, AX_NET_TAP);
    load_good(&l, NET "mode = \"user\"\n");
    cr_assert_eq(l.conf->nets[0].conf.mode, AX_NET_USER);
    load_good(&l, KERNEL "[devices]\n"
                         "emu_devices = [[\"n\", 0, 0, 0, 0xe2, []]]\n");
    cr_assert_eq(l.conf->nets[0].conf.mode, AX_NET_TAP);
    cr_assert_not(l.conf->nets[0].place.given);
    host.network_mode = bad;
    load_bad(&l, NET "[[net]]\n", "net mode \"tab\", this host's default");
    cr_assert(told(&l, "see [network] mode in axvm.conf"), "%s", l.told);
    load_good(&l, NET "mode = \"user\"\n");
}

/* ---- together ---- */

Test(config_virtio, names_are_given_once)
{
#define SHARE(tag) "[[share]]\npath = \".\"\ntag = \"" tag "\"\n"
    load_good(&l, KERNEL SHARE("a") SHARE("b"));
    load_bad(&l, KERNEL SHARE("a") SHARE("a"),
             "8:7: error: the [[share]] in line 3 has the tag \"a\" already");
    load_bad(&l, KERNEL SHARE("12345678901234567890123456789012"),
             "'tag' is longer than 31 bytes");
    load_bad(&l, KERNEL SHARE(""), "must not be empty");
    load_bad(&l, KERNEL "[[share]]\npath = \".\"\n",
             "3:1: error: [[share]] has no 'tag'");
    load_bad(&l, KERNEL "[[share]]\ntag = \"t\"\n",
             "3:1: error: [[share]] has no 'path'");
    load_bad(&l,
             KERNEL "[[console]]\nname = \"a\"\n[[console]]\nname = \"a\"\n",
             "the [[console]] in line 3 has the name \"a\" already");
}

Test(config_virtio, one_console_has_standard_input_and_output)
{
    load_bad(&l, KERNEL "[[console]]\nmode = \"stdio\"\n",
             "3:1: error: the serial line has standard input and output");
    cr_assert(told(&l, "a [[console]] with device = \"serial\""), "%s", l.told);
    load_good(&l, KERNEL "[[console]]\nmode = \"stdio\"\n"
                         "[[console]]\ndevice = \"serial\"\n"
                         "mode = \"none\"\n");
    load_bad(&l,
             KERNEL "[[console]]\nmode = \"stdio\"\n"
                    "[[console]]\nmode = \"stdio\"\n"
                    "[[console]]\ndevice = \"serial\"\nmode = \"none\"\n",
             "5:1: error: two consoles want standard input and output");
    load_bad(&l,
             KERNEL "[[console]]\n[[console]]\n[[console]]\n[[console]]\n"
                    "[[console]]\n[[console]]\n[[console]]\n[[console]]\n",
             "10:1: error: more than 7 virtio consoles");
    load_bad(&l, KERNEL "[[console]]\nmode = \"foo\"\n", "console \"foo\"");
}

Test(config_virtio, a_command_line_moves_the_serial_line)
{
    l.src.console = "pty";
    load_good(&l, KERNEL "[[console]]\nmode = \"stdio\"\n");
    cr_assert_str_eq(l.conf->console, "pty");
    load_good(&l, KERNEL "[console]\nmode = \"none\"\n");
    cr_assert_str_eq(l.conf->console, "pty");
    l.src.console = "stdio";
    load_bad(&l,
             KERNEL "[[console]]\nmode = \"stdio\"\n"
                    "[[console]]\ndevice = \"serial\"\nmode = \"none\"\n",
             "the serial line has standard input and output already");
}

Test(config_virtio, sockets_have_an_address)
{
    load_bad(&l, KERNEL "[vsock]\nuds = \"u\"\n",
             "4:7: error: [vsock] has no 'cid'");
    load_bad(&l, KERNEL "[vsock]\nvhost = true\n", "[vsock] has no 'cid'");
    load_bad(&l, KERNEL "[vsock]\ncid = 0xffffffff\n", "out of range");
    path_is_bad(KERNEL "[vsock]\ncid = 3\nuds = ", 96, 97);
    load_bad(&l, KERNEL "[vsock]\ncid = 3\nvhost = false\n",
             "5:9: error: vhost = \"off\" needs 'uds'");
    load_bad(&l, KERNEL "[vsock]\ncid = 3\nvhost = true\nuds = \"u\"\n",
             "6:7: error: 'uds' has no use");
    load_good(&l, KERNEL "[vsock]\n");
    cr_assert_eq(l.conf->vsock.cid, 0);
}

Test(config_virtio, a_balloon_is_asked_for)
{
    load_warns(&l, KERNEL "[balloon]\ndeflate_on_oom = false\n",
               "there is no balloon");
    load_good(&l, KERNEL "[balloon]\nenabled = false\n"
                         "deflate_on_oom = false\n");
    cr_assert_not(told(&l, "balloon"), "%s", l.told);
}

/* ---- files ---- */

/* An image, a directory and a device in a directory of their own. */
static void images_init(void)
{
    char *name = l.told; /* any buffer will do */
    FILE *f;

    strcpy(name, "/tmp/axvm-config-XXXXXX");
    cr_assert_not_null(mkdtemp(name));
    cr_assert_eq(chdir(name), 0);
    f = fopen("image", "w");
    cr_assert_not_null(f);
    cr_assert_eq(fclose(f), 0);
    cr_assert_eq(chmod("image", 0400), 0);
    cr_assert_eq(mkdir("directory", 0700), 0);
    cr_assert_eq(mkfifo("fifo", 0600), 0);
    l.src.file = "guest.toml";
    l.src.need_files = true;
}

static void images_fini(void)
{
    char name[256];

    loaded_fini(&l);
    cr_assert_not_null(getcwd(name, sizeof(name)));
    unlink("image");
    unlink("fifo");
    rmdir("directory");
    rmdir(name);
}

TestSuite(config_images, .init = images_init, .fini = images_fini);

#define DISK "[kernel]\nkernel_path = \"image\"\n[[disk]]\n"

Test(config_images, an_image_has_to_be_there)
{
    load_bad(&l, DISK "path = \"none\"\n",
             "4:8: error: path: cannot open 'none': No such file");
    load_bad(&l, DISK "path = \"directory\"\n", "Is a directory");
    load_bad(&l, DISK "path = \"fifo\"\n",
             "'fifo' is neither a file nor a block device");
    load_bad(&l, "[kernel]\nkernel_path = \"image\"\ndisk_path = \"none\"\n",
             "disk_path: cannot open 'none'");
    l.src.need_files = false;
    load_warns(&l, DISK "path = \"none\"\n", "cannot open 'none'");
}

Test(config_images, an_image_has_to_be_writable_if_it_is_written)
{
    load_good(&l, DISK "path = \"image\"\nreadonly = true\n");
    load_good(&l, DISK "path = \"image\"\noverlay = true\n");
    cr_assert_eq(l.told[0], '\0', "%s", l.told);
    load_warns(&l, DISK "path = \"image\"\noverlay = true\nreadonly = true\n",
               "'overlay' has no effect");
    if (!geteuid())
        cr_skip("root may write to everything");
    load_bad(&l, DISK "path = \"image\"\n", "cannot write 'image'");
    cr_assert(told(&l, "readonly = true, or overlay = true"), "%s", l.told);
}

Test(config_images, a_block_size_is_one_of_two)
{
    load_bad(&l, DISK "path = \"image\"\nreadonly = true\nblock_size = 1024\n",
             "6:14: error: 'block_size' cannot be 1024");
}

Test(config_images, a_share_is_a_directory)
{
#define TAGGED "[kernel]\nkernel_path = \"image\"\n[[share]]\ntag = \"t\"\n"
    load_good(&l, TAGGED "path = \"directory\"\n");
    load_bad(&l, TAGGED "path = \"image\"\n", "Not a directory");
    load_bad(&l, TAGGED "path = \"none\"\n", "No such file");
}

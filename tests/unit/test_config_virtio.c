/* test_config_virtio.c - disks, net cards, consoles, shares and the rest. */
#include "unit/config_load.h"

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

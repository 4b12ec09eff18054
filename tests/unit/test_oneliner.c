/* test_oneliner.c - options of the command line, as the guest they become. */
#include "oneliner.h"
#include "unit/config_load.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct loaded l;
static struct ax_oneliner line;
static const char *disks[4], *nets[4], *shares[4];

static void init(void)
{
    memset(&line, 0, sizeof(line));
    memset(disks, 0, sizeof(disks));
    memset(nets, 0, sizeof(nets));
    memset(shares, 0, sizeof(shares));
    line.kernel = "vmlinuz";
    line.disks = disks;
    line.nets = nets;
    line.shares = shares;
    memset(&l, 0, sizeof(l));
}

static void fini(void)
{
    loaded_fini(&l);
}

TestSuite(oneliner, .init = init, .fini = fini, .timeout = 20);

static const struct ax_config *load(void)
{
    char *text = ax_oneliner_text(&line);

    cr_assert(text);
    load_good(&l, text);
    free(text);
    return l.conf;
}

static void load_fails(const char *why)
{
    char *text = ax_oneliner_text(&line);

    cr_assert(text);
    load_bad(&l, text, why);
    free(text);
}

Test(oneliner, is_a_guest)
{
    const struct ax_config *conf;

    line.cpus = "3";
    line.memory = "1G";
    line.name = "it's \"me\"";
    line.append = "root=/dev/vda \\quiet";
    conf = load();
    cr_expect_eq(conf->cpu_num, 3);
    cr_expect_eq(conf->memory, AX_GIB(1));
    cr_expect_str_eq(conf->name, line.name);
    cr_expect_str_eq(conf->cmdline, line.append);
    cr_expect(ax_oneliner_given(&line));
    line = (struct ax_oneliner){.disks = disks, .nets = nets};
    cr_expect_not(ax_oneliner_given(&line));
}

Test(oneliner, has_a_name)
{
    cr_expect_str_eq(load()->name, "guest");
    line.run = "true";
    cr_expect_str_eq(load()->name, "run");
}

Test(oneliner, has_disks)
{
    const struct ax_config *conf;

    disks[0] = "a,,b.img";
    disks[1] = "c.img,ro,serial=x,,y,block_size=4096,bps=10M";
    disks[2] = "d.img,overlay,cache=none";
    conf = load();
    cr_assert_eq(conf->disk_count, 3);
    cr_expect_str_eq(conf->disks[0].conf.path, "dir/a,b.img");
    cr_expect(conf->disks[1].conf.readonly);
    cr_expect_str_eq(conf->disks[1].conf.serial, "x,y");
    cr_expect_eq(conf->disks[1].conf.block_size, 4096);
    cr_expect_eq(conf->disks[1].conf.bytes_max, AX_MIB(10));
    cr_expect(conf->disks[2].conf.overlay);
    cr_expect_eq(conf->disks[2].conf.cache, AX_DISK_DIRECT);
}

Test(oneliner, has_cards_shares_and_sockets)
{
    const struct ax_config *conf;

    nets[0] = "user,hostfwd=tcp::2222-22,mtu=1400,hostfwd=udp::53-53";
    shares[0] = "src";
    shares[1] = "doc,tag=papers,ro";
    line.vsock = "7,uds=v.sock";
    conf = load();
    cr_assert_eq(conf->net_count, 1);
    cr_expect_str_eq(conf->nets[0].conf.hostfwd[0], "tcp::2222-22");
    cr_expect_str_eq(conf->nets[0].conf.hostfwd[1], "udp::53-53");
    cr_expect_null(conf->nets[0].conf.hostfwd[2]);
    cr_expect_eq(conf->nets[0].conf.mtu, 1400);
    cr_assert_eq(conf->share_count, 2);
    cr_expect_str_eq(conf->shares[0].conf.tag, "share0");
    cr_expect_not(conf->shares[0].conf.readonly);
    cr_expect_str_eq(conf->shares[1].conf.tag, "papers");
    cr_expect(conf->shares[1].conf.readonly);
    cr_expect_eq(conf->vsock.cid, 7);
    nets[0] = "hostfwd=tcp:2222-22,mac=52:54:00:00:00:01";
    nets[1] = "none";
    conf = load();
    cr_assert_eq(conf->net_count, 2);
    cr_expect_eq(conf->nets[0].conf.mode, AX_NET_USER);
    cr_expect_str_eq(conf->nets[0].conf.hostfwd[0], "tcp:2222-22");
    cr_expect_str_eq(conf->nets[0].conf.mac, "52:54:00:00:00:01");
    cr_expect_eq(conf->nets[1].conf.mode, AX_NET_NONE);
}

Test(oneliner, has_a_transport)
{
    cr_expect_eq(load()->virtio, AX_VIRTIO_MMIO);
    cr_expect_not(ax_oneliner_has_pci(&line));
    line.virtio = "mmio";
    cr_expect_eq(load()->virtio, AX_VIRTIO_MMIO);
    cr_expect_not(ax_oneliner_has_pci(&line));
    line.virtio = "pci";
    disks[0] = "a";
    line.vsock = "3";
    cr_expect_eq(load()->virtio, AX_VIRTIO_PCI);
    cr_expect(ax_oneliner_has_pci(&line));
    line.virtio = "pc";
    load_fails("did you mean \"pci\"?");
    line = (struct ax_oneliner){.virtio = "pci"};
    cr_expect(ax_oneliner_given(&line));
}

Test(oneliner, runs_one_command)
{
    const struct ax_config *conf;

    line.run = "uname -a";
    conf = load();
    cr_expect_str_eq(conf->name, "run");
    cr_expect_str_eq(conf->console, "none");
    cr_assert_eq(conf->vconsole_count, 1);
    cr_expect_str_eq(conf->vconsoles[0].conf.mode, "stdio");
    cr_assert_eq(conf->share_count, 1);
    cr_expect_str_eq(conf->shares[0].conf.tag, "axroot");
    cr_expect_str_eq(conf->shares[0].conf.path, "/");
    cr_expect(conf->shares[0].conf.readonly);
}

Test(oneliner, leaves_mistakes_to_the_reader)
{
    disks[0] = "a,cach=none";
    load_fails("did you mean 'cache'?");
    disks[0] = "a,queues=two";
    load_fails("'queues' has the wrong type");
    disks[0] = "a,]=\n[base]\nid=1";
    load_fails("unknown key");
    disks[0] = "a";
    line.cpus = "-1\nid = 7";
    load_fails("'cpu_num' has the wrong type");
    line.cpus = NULL;
    disks[0] = "";
    load_fails("'path' must not be empty");
    disks[0] = "a,path=b";
    load_fails("cannot redefine existing string 'path'");
    disks[0] = "a,";
    load_fails("unknown key ''");
    disks[0] = NULL;
    nets[0] = "user,hostfwd";
    load_fails("'hostfwd' has the wrong type");
}

/*
 * config_virtio.c - what [[disk]], [[net]], [[console]], [[share]], [vsock] and
 * AxVisor's rows of virtio devices mean, row by row and together. Called by
 * config_rows.c and config_check.c.
 */
#include "vmm/config_impl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TEXT_MAX = 256, HOST_MAX = 64 };

/* ---- a row ---- */

/* Where the value of a key stands, or the row if it has none. */
static struct ax_pos value_of(const struct conf_load *load, enum conf_key_id id,
                              struct ax_pos row)
{
    return load->given[id].given ? load->given[id].val : row;
}

static void need_key(struct conf_load *load, enum conf_key_id id,
                     struct ax_pos row, const char *help)
{
    if (load->given[id].given)
        return;
    ax_config_say(load, AX_SEVERITY_ERROR, row,
                  &(struct conf_hint){.help = help}, "[%s] has no '%s'",
                  ax_config_keys[id].table, ax_config_keys[id].name);
}

/* What a path must be, when it is there. */
static void check_path(struct conf_load *load, enum conf_key_id id,
                       const char *path, bool directory, int access_mode)
{
    const char *name = ax_config_keys[id].name;
    struct stat st;
    int err = 0;

    if (!conf_has(load, id))
        return;
    if (stat(path, &st))
        err = errno;
    else if (directory && !S_ISDIR(st.st_mode))
        err = ENOTDIR;
    else if (!directory && S_ISDIR(st.st_mode))
        err = EISDIR;
    else if (!directory && !S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
        err = EINVAL;
    else if (access(path, access_mode))
        err = errno;
    if (err)
        ax_config_say_absent(load, name, path, load->given[id].val, err);
}

void ax_config_check_disk(struct conf_load *load, void *row)
{
    const struct ax_config_disk *disk = row;
    const struct ax_disk_conf *conf = &disk->conf;

    need_key(load, KEY_DISK_PATH, disk->pos,
             "path = \"disk.img\": an image file or a block device");
    check_path(load, KEY_DISK_PATH, conf->path, false,
               conf->readonly || conf->overlay ? R_OK : R_OK | W_OK);
    if (conf_has(load, KEY_DISK_BLOCK_SIZE) && conf->block_size != 512 &&
        conf->block_size != 4096)
        ax_config_say(load, AX_SEVERITY_ERROR,
                      load->given[KEY_DISK_BLOCK_SIZE].val,
                      &(struct conf_hint){.expected = "512 or 4096"},
                      "'block_size' cannot be %u", conf->block_size);
    if (conf->readonly && conf->overlay)
        ax_config_say(load, AX_SEVERITY_WARNING,
                      value_of(load, KEY_DISK_OVERLAY, disk->pos), NULL,
                      "'overlay' has no effect on a disk that is readonly");
}

static bool parse_mac(const char *text, uint8_t mac[6])
{
    for (unsigned i = 0; i < 6; i++) {
        char *end;
        const unsigned long val = strtoul(text, &end, 16);

        if (end != text + 2 || *end != (i < 5 ? ':' : '\0'))
            return false;
        mac[i] = (uint8_t)val;
        text = end + 1;
    }
    return true;
}

static void check_mac(struct conf_load *load, const char *text)
{
    const char *problem = NULL;
    uint8_t mac[6];

    if (!conf_has(load, KEY_NET_MAC))
        return;
    if (!parse_mac(text, mac))
        problem = "is not an address";
    else if (mac[0] & 1)
        problem = "is an address of a group: no card has one";
    else if (!memcmp(mac, "\0\0\0\0\0", 6))
        problem = "is nobody's address";
    if (problem)
        ax_config_say(load, AX_SEVERITY_ERROR, load->given[KEY_NET_MAC].val,
                      &(struct conf_hint){.expected = "\"52:54:00:12:34:56\""},
                      "'mac' %s", problem);
}

/* Digits up to 65535; *at moves behind them. 0: none, or more. */
static unsigned parse_port(const char **at)
{
    unsigned port = 0;

    if (**at < '0' || **at > '9')
        return 0;
    for (; **at >= '0' && **at <= '9'; ++*at) {
        port = port * 10 + (unsigned)(**at - '0');
        if (port > UINT16_MAX)
            return 0;
    }
    return port;
}

/* HOST of a forwarding, which may be empty; *at moves to the colon behind. */
static bool parse_host(const char **at)
{
    const char *start = *at, *end;
    const bool six = *start == '[';
    uint8_t address[16];
    char host[HOST_MAX];

    end = strchr(start, six ? ']' : ':');
    if (!end || (size_t)(end - start) >= sizeof(host))
        return false;
    memcpy(host, start + six, (size_t)(end - start) - six);
    host[end - start - six] = '\0';
    *at = end + six;
    return (!*host && !six) ||
           inet_pton(six ? AF_INET6 : AF_INET, host, address) == 1;
}

/* "tcp:[HOST]:PORT-GUESTPORT"; *port: of the host, with *udp. */
static bool parse_forward(const char *text, unsigned *port, bool *udp)
{
    const char *at = text + 4;

    *udp = !strncmp(text, "udp:", 4);
    if (!*udp && strncmp(text, "tcp:", 4) != 0)
        return false;
    if (!parse_host(&at) || *at++ != ':')
        return false;
    *port = parse_port(&at);
    return *port && *at++ == '-' && parse_port(&at) && !*at;
}

static void check_forwards(struct conf_load *load, char **list)
{
    for (unsigned i = 0; list && list[i]; i++) {
        unsigned port, other;
        bool udp, other_udp;

        if (!parse_forward(list[i], &port, &udp)) {
            ax_config_say(load, AX_SEVERITY_ERROR,
                          load->given[KEY_NET_HOSTFWD].val,
                          &(struct conf_hint){
                              .expected = "\"tcp:[HOST]:PORT-GUESTPORT\" or "
                                          "\"udp:...\", as \"tcp::2222-22\""},
                          "'hostfwd' cannot be \"%.64s\"", list[i]);
            continue;
        }
        for (unsigned j = 0; j < i; j++) {
            if (parse_forward(list[j], &other, &other_udp) && other == port &&
                other_udp == udp)
                ax_config_say(load, AX_SEVERITY_ERROR,
                              load->given[KEY_NET_HOSTFWD].val, NULL,
                              "'hostfwd' takes %s port %u twice",
                              udp ? "UDP" : "TCP", port);
        }
    }
}

/* A key that means nothing in this mode. */
static void refuse_key(struct conf_load *load, enum conf_key_id id, bool refuse,
                       const char *modes)
{
    if (refuse && conf_has(load, id))
        ax_config_say(load, AX_SEVERITY_ERROR, load->given[id].val, NULL,
                      "'%s' goes with mode %s", ax_config_keys[id].name, modes);
}

void ax_config_check_net(struct conf_load *load, void *row)
{
    struct ax_config_net *net = row;
    const struct ax_net_conf *conf = &net->conf;
    const bool socket =
        conf->mode == AX_NET_SOCKET || conf->mode == AX_NET_PASST;

    if (load->given[KEY_NET_MODE].bad)
        return;
    check_mac(load, conf->mac);
    refuse_key(load, KEY_NET_IFNAME, conf->mode != AX_NET_TAP, "\"tap\"");
    refuse_key(load, KEY_NET_FD, conf->mode != AX_NET_TAP, "\"tap\"");
    refuse_key(load, KEY_NET_VHOST, conf->mode != AX_NET_TAP, "\"tap\"");
    refuse_key(load, KEY_NET_PATH, !socket, "\"socket\" and \"passt\"");
    refuse_key(load, KEY_NET_HOSTFWD, conf->mode != AX_NET_USER, "\"user\"");
    if (socket)
        need_key(load, KEY_NET_PATH, net->pos,
                 "path = \"/run/vm.sock\": the Unix socket");
    if (conf->ifname && conf->fd)
        ax_config_say(load, AX_SEVERITY_ERROR, load->given[KEY_NET_FD].val,
                      NULL, "give one of 'ifname' and 'fd'");
    if (conf->queues > 1 && conf->mode != AX_NET_TAP)
        ax_config_say(load, AX_SEVERITY_ERROR,
                      value_of(load, KEY_NET_QUEUES, net->pos), NULL,
                      "more than one pair of 'queues' goes with mode \"tap\"");
    if (conf_has(load, KEY_NET_HOSTFWD) && conf->mode == AX_NET_USER)
        check_forwards(load, conf->hostfwd);
}

static char *copy(struct conf_load *load, const char *text)
{
    char *made = strdup(text);

    if (!made)
        load->err = -ENOMEM;
    return made;
}

void ax_config_check_vconsole(struct conf_load *load, void *row)
{
    struct ax_config_vconsole *console = row;

    if (!console->conf.mode)
        console->conf.mode = copy(load, "pty");
}

void ax_config_check_share(struct conf_load *load, void *row)
{
    const struct ax_config_share *share = row;

    need_key(load, KEY_SHARE_TAG, share->pos,
             "tag = \"work\": what the guest mounts it by");
    need_key(load, KEY_SHARE_PATH, share->pos,
             "path = \".\": a directory of the host");
    check_path(load, KEY_SHARE_PATH, share->conf.path, true, R_OK | X_OK);
}

/* ---- AxVisor's rows ---- */

static struct ax_config_place place_of(const struct ax_config_emu *emu)
{
    return (struct ax_config_place){
        .given = emu->base, .base = emu->base, .irq = emu->irq};
}

/* disk_path, unless it is used up; NULL: there is none. */
static struct ax_config_disk *take_axvisor_disk(struct conf_load *load)
{
    struct ax_config_path *path = &load->extra.disk;
    struct ax_config_disk *disk;

    if (!path->path)
        return NULL;
    disk = ax_config_add_row(load, &ax_config_rows[ROWS_DISK], path->pos);
    if (!disk)
        return NULL;
    disk->conf.path = path->path;
    path->path = NULL;
    check_path(load, KEY_AXVISOR_DISK, disk->conf.path, false, R_OK | W_OK);
    return disk;
}

static void say_absent_disk(struct conf_load *load,
                            const struct ax_config_emu *emu)
{
    ax_config_say(load, AX_SEVERITY_WARNING, emu->pos,
                  &(struct conf_hint){.help = "add [[disk]] with its path"},
                  "emulated device '%.64s' (VirtioBlk) has no image: it is "
                  "absent",
                  emu->name);
}

/* The n-th row of a kind stands where AxVisor's n-th row of it says. */
static void place_emu(struct conf_load *load, const struct ax_config_emu *emu,
                      unsigned counts[3])
{
    struct ax_config *conf = load->conf;
    const struct conf_rows *rows = &ax_config_rows[ROWS_NET];
    void *row;

    if (emu->type == AX_EMU_VIRTIO_BLK) {
        if (counts[0] == conf->disk_count && !take_axvisor_disk(load))
            say_absent_disk(load, emu);
        else
            conf->disks[counts[0]++].place = place_of(emu);
    } else if (emu->type == AX_EMU_VIRTIO_NET) {
        if (counts[1] < conf->net_count ||
            ax_config_add_row(load, rows, emu->pos))
            conf->nets[counts[1]++].place = place_of(emu);
    } else if (emu->type == AX_EMU_VIRTIO_CONSOLE) {
        rows = &ax_config_rows[ROWS_VCONSOLE];
        if (counts[2] == conf->vconsole_count) {
            row = ax_config_add_row(load, rows, emu->pos);
            if (!row)
                return;
            ax_config_check_vconsole(load, row);
        }
        conf->vconsoles[counts[2]++].place = place_of(emu);
    }
}

static void place_emus(struct conf_load *load)
{
    const struct ax_config *conf = load->conf;
    unsigned counts[3] = {0}; /* of each kind, how many are placed */

    for (unsigned i = 0; conf_has(load, KEY_EMU_DEVICES) && i < conf->emu_count;
         i++)
        place_emu(load, &conf->emu[i], counts);
    take_axvisor_disk(load);
}

/* ---- together ---- */

static void check_tags(struct conf_load *load)
{
    const struct ax_config *conf = load->conf;

    for (unsigned i = 0; i < conf->share_count; i++) {
        const struct ax_config_share *share = &conf->shares[i];

        for (unsigned j = 0; share->conf.tag && j < i; j++) {
            if (conf->shares[j].conf.tag &&
                !strcmp(share->conf.tag, conf->shares[j].conf.tag))
                ax_config_say(load, AX_SEVERITY_ERROR, share->pos, NULL,
                              "two shares have the tag \"%.31s\"",
                              share->conf.tag);
        }
    }
}

static void check_consoles(struct conf_load *load)
{
    const struct ax_config *conf = load->conf;
    const bool serial = conf->console && !strcmp(conf->console, "stdio");
    unsigned count = serial;

    for (unsigned i = 0; i < conf->vconsole_count; i++) {
        const struct ax_config_vconsole *console = &conf->vconsoles[i];

        if (!console->conf.mode || strcmp(console->conf.mode, "stdio") != 0 ||
            !count++)
            continue;
        ax_config_say(
            load, AX_SEVERITY_ERROR, console->pos,
            &(struct conf_hint){
                .help = serial ? "give the serial line another place: a "
                                 "[[console]] with device = \"serial\" and "
                                 "mode = \"none\""
                               : "give one of them another mode"},
            serial ? "the serial line has standard input and output already"
                   : "two consoles want standard input and output");
    }
    if (conf->vconsole_count > AX_VCONSOLE_PORTS)
        ax_config_say(load, AX_SEVERITY_ERROR,
                      conf->vconsoles[AX_VCONSOLE_PORTS].pos, NULL,
                      "more than %u virtio consoles", AX_VCONSOLE_PORTS);
}

static void check_vsock(struct conf_load *load)
{
    const bool other =
        conf_has(load, KEY_VSOCK_UDS) || conf_has(load, KEY_VSOCK_VHOST);

    if (!load->given[KEY_VSOCK_CID].given && other)
        ax_config_say(load, AX_SEVERITY_ERROR,
                      load->given[KEY_VSOCK_UDS].given
                          ? load->given[KEY_VSOCK_UDS].val
                          : load->given[KEY_VSOCK_VHOST].val,
                      &(struct conf_hint){.help = "cid = 3: the guest's "
                                                  "address, which no other "
                                                  "guest has"},
                      "[vsock] has no 'cid'");
}

void ax_config_check_virtio(struct conf_load *load)
{
    place_emus(load);
    check_tags(load);
    check_consoles(load);
    check_vsock(load);
}

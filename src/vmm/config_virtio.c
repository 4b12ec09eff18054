/*
 * config_virtio.c - what [[disk]], [[console]], [[share]], [vsock], [balloon]
 * and AxVisor's rows of virtio devices mean, row by row and together. Called by
 * config_rows.c and config_check.c; cards are in config_net.c.
 */
#include "vmm/config_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- a row ---- */

void ax_config_need_key(struct conf_load *load, enum conf_key_id id,
                        struct ax_pos row, const char *help)
{
    if (load->given[id].given)
        return;
    ax_config_say(load, AX_SEVERITY_ERROR, row,
                  &(struct conf_hint){.help = help}, "[%s] has no '%s'",
                  ax_config_keys[id].table, ax_config_keys[id].name);
}

void ax_config_check_socket(struct conf_load *load, enum conf_key_id id,
                            const char *path, size_t suffix)
{
    const size_t most = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;

    if (path && conf_has(load, id) && strlen(path) + suffix > most)
        ax_config_say(load, AX_SEVERITY_ERROR, load->given[id].val,
                      &(struct conf_hint){.help = "name a shorter directory"},
                      "'%s' is longer than a socket's name may be: %zu bytes, "
                      "%zu more than there is room for",
                      ax_config_keys[id].name, strlen(path),
                      strlen(path) + suffix - most);
}

/* A readable image that cannot be written is another matter than no image. */
static void say_image(struct conf_load *load, enum conf_key_id id,
                      const char *path, int err)
{
    const char *name = ax_config_keys[id].name;
    const struct ax_pos at = load->given[id].val;
    const enum ax_severity severity =
        load->src->need_files ? AX_SEVERITY_ERROR : AX_SEVERITY_WARNING;

    if (err == ENOTBLK)
        ax_config_say(load, severity, at, NULL,
                      "%s: '%s' is neither a file nor a block device", name,
                      path);
    else if (err == EISDIR || access(path, R_OK))
        ax_config_say_absent(load, name, path, at, err);
    else
        ax_config_say(load, severity, at,
                      &(struct conf_hint){
                          .help = "with readonly = true, or overlay = true, "
                                  "nothing is written to it"},
                      "%s: cannot write '%s': %s", name, path, strerror(err));
}

static void check_image(struct conf_load *load, enum conf_key_id id,
                        const char *path, bool writes)
{
    struct stat st;
    int err = 0;

    if (!conf_has(load, id))
        return;
    if (stat(path, &st))
        err = errno;
    else if (S_ISDIR(st.st_mode))
        err = EISDIR;
    else if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
        err = ENOTBLK;
    else if (access(path, writes ? R_OK | W_OK : R_OK))
        err = errno;
    if (err)
        say_image(load, id, path, err);
}

void ax_config_check_disk(struct conf_load *load, void *row)
{
    const struct ax_config_disk *disk = row;
    const struct ax_disk_conf *conf = &disk->conf;

    ax_config_need_key(load, KEY_DISK_PATH, disk->pos,
                       "path = \"disk.img\": an image file or a block device");
    check_image(load, KEY_DISK_PATH, conf->path,
                !conf->readonly && !conf->overlay);
    if (conf_has(load, KEY_DISK_BLOCK_SIZE) && conf->block_size != 512 &&
        conf->block_size != 4096)
        ax_config_say(load, AX_SEVERITY_ERROR,
                      load->given[KEY_DISK_BLOCK_SIZE].val,
                      &(struct conf_hint){.expected = "512 or 4096"},
                      "'block_size' cannot be %u", conf->block_size);
    if (conf->readonly && conf->overlay)
        ax_config_say(load, AX_SEVERITY_WARNING,
                      load->given[KEY_DISK_OVERLAY].val, NULL,
                      "'overlay' has no effect on a disk that is readonly");
}

static char *copy(struct conf_load *load, const char *text)
{
    char *made = strdup(text);

    if (!made)
        load->err = -ENOMEM;
    return made;
}

/* Two rows of a kind that are called the same; earlier: of one before. */
static void check_twin(struct conf_load *load, enum conf_key_id id,
                       const char *name, const char *earlier,
                       struct ax_pos where)
{
    if (conf_has(load, id) && earlier && !strcmp(name, earlier))
        ax_config_say(load, AX_SEVERITY_ERROR, load->given[id].val, NULL,
                      "the [%s] in line %u has the %s \"%s\" already",
                      ax_config_keys[id].table, where.line,
                      ax_config_keys[id].name, name);
}

void ax_config_check_vconsole(struct conf_load *load, void *row)
{
    struct ax_config_vconsole *console = row;

    if (!console->conf.mode)
        console->conf.mode = copy(load, "pty");
    for (const struct ax_config_vconsole *other = load->conf->vconsoles;
         other < console; other++)
        check_twin(load, KEY_VCONSOLE_NAME, console->conf.name,
                   other->conf.name, other->pos);
}

static void check_directory(struct conf_load *load, enum conf_key_id id,
                            const char *path)
{
    struct stat st;
    int err = 0;

    if (!conf_has(load, id))
        return;
    if (stat(path, &st))
        err = errno;
    else if (!S_ISDIR(st.st_mode))
        err = ENOTDIR;
    else if (access(path, R_OK | X_OK))
        err = errno;
    if (err)
        ax_config_say_absent(load, ax_config_keys[id].name, path,
                             load->given[id].val, err);
}

void ax_config_check_share(struct conf_load *load, void *row)
{
    const struct ax_config_share *share = row;

    ax_config_need_key(load, KEY_SHARE_TAG, share->pos,
                       "tag = \"work\": what the guest mounts it by");
    ax_config_need_key(load, KEY_SHARE_PATH, share->pos,
                       "path = \".\": a directory of the host");
    check_directory(load, KEY_SHARE_PATH, share->conf.path);
    for (const struct ax_config_share *other = load->conf->shares;
         other < share; other++)
        check_twin(load, KEY_SHARE_TAG, share->conf.tag, other->conf.tag,
                   other->pos);
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
    check_image(load, KEY_AXVISOR_DISK, disk->conf.path, true);
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

/* How many rows of a kind have got their places. */
struct placed {
    unsigned disks, nets, vconsoles;
};

static void place_disk(struct conf_load *load, const struct ax_config_emu *emu,
                       struct placed *placed)
{
    if (placed->disks == load->conf->disk_count && !take_axvisor_disk(load))
        say_absent_disk(load, emu);
    else
        load->conf->disks[placed->disks++].place = place_of(emu);
}

static void place_net(struct conf_load *load, const struct ax_config_emu *emu,
                      struct placed *placed)
{
    if (placed->nets == load->conf->net_count &&
        !ax_config_add_net(load, emu->pos))
        return;
    load->conf->nets[placed->nets++].place = place_of(emu);
}

/* One device has all the ports, so there is one place. */
static void place_vconsole(struct conf_load *load,
                           const struct ax_config_emu *emu,
                           struct placed *placed)
{
    struct ax_config *conf = load->conf;

    if (placed->vconsoles == conf->vconsole_count) {
        struct ax_config_vconsole *console =
            ax_config_add_row(load, &ax_config_rows[ROWS_VCONSOLE], emu->pos);

        if (!console)
            return;
        console->conf.mode = copy(load, "pty");
    }
    if (placed->vconsoles)
        ax_config_say(load, AX_SEVERITY_WARNING, emu->pos, NULL,
                      "emulated device '%.64s' (VirtioConsole): a further port "
                      "of the first one, and no device of its own",
                      emu->name);
    conf->vconsoles[placed->vconsoles++].place = place_of(emu);
}

/* The n-th row of a kind stands where AxVisor's n-th row of it says. */
static void place_emu(struct conf_load *load, const struct ax_config_emu *emu,
                      struct placed *placed)
{
    if (emu->type == AX_EMU_VIRTIO_BLK)
        place_disk(load, emu, placed);
    else if (emu->type == AX_EMU_VIRTIO_NET)
        place_net(load, emu, placed);
    else if (emu->type == AX_EMU_VIRTIO_CONSOLE)
        place_vconsole(load, emu, placed);
}

static void place_emus(struct conf_load *load)
{
    const struct ax_config *conf = load->conf;
    struct placed placed = {0};

    for (unsigned i = 0; conf_has(load, KEY_EMU_DEVICES) && i < conf->emu_count;
         i++)
        place_emu(load, &conf->emu[i], &placed);
    take_axvisor_disk(load);
}

/* ---- together ---- */

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
    static const char help[] = "cid = 3: the guest's address, which no other "
                               "guest has";
    const struct ax_vsock_conf *conf = &load->conf->vsock;
    const struct conf_given *vhost = &load->given[KEY_VSOCK_VHOST];
    const enum conf_key_id other =
        load->given[KEY_VSOCK_UDS].given ? KEY_VSOCK_UDS : KEY_VSOCK_VHOST;

    if (conf_has(load, other))
        ax_config_need_key(load, KEY_VSOCK_CID, load->given[other].val, help);
    if (conf->uds && conf->vhost == AX_VHOST_ON)
        ax_config_say(load, AX_SEVERITY_ERROR, load->given[KEY_VSOCK_UDS].val,
                      NULL,
                      "'uds' has no use with vhost = \"on\": leave one of them "
                      "out");
    else if (conf->cid && conf->vhost == AX_VHOST_OFF &&
             !load->given[KEY_VSOCK_UDS].given)
        ax_config_say(load, AX_SEVERITY_ERROR, vhost->val, NULL,
                      "vhost = \"off\" needs 'uds', the path of a socket");
    /* One socket for each port that somebody listens at: "PATH_PORT". */
    ax_config_check_socket(load, KEY_VSOCK_UDS, load->conf->vsock.uds,
                           strlen("_4294967295"));
}

static void check_balloon(struct conf_load *load)
{
    static const enum conf_key_id ids[] = {KEY_DEFLATE_ON_OOM,
                                           KEY_FREE_PAGE_REPORTING};

    for (unsigned i = 0; i < AX_ARRAY_LEN(ids); i++) {
        if (conf_has(load, ids[i]) && !load->given[KEY_BALLOON_ENABLED].given)
            ax_config_say(load, AX_SEVERITY_WARNING, load->given[ids[i]].val,
                          &(struct conf_hint){.help = "enabled = true"},
                          "'%s' has no effect: there is no balloon",
                          ax_config_keys[ids[i]].name);
    }
}

void ax_config_check_virtio(struct conf_load *load)
{
    place_emus(load);
    check_consoles(load);
    check_vsock(load);
    check_balloon(load);
}

/*
 * fuzz_share.c - a client that says anything to the 9P server of a small
 * directory.
 *
 * The input is a byte whose first bit makes the share read-only, and a list of
 * messages, each with a byte in front: the room for its answer, in units of 64
 * bytes, 0 for plenty. A message ends where it says, if it is that long. All
 * begins with a session, its root as fid 0, and names of the directory in fids
 * 1 to 4.
 *
 * The directory is one of this process's own, made anew for every input and
 * removed behind it; a file beside it must stay as it is. Should the server let
 * a client out, then into a Landlock domain that ends where the directory does:
 * each input runs on a thread of its own, in one. Where the kernel has no
 * Landlock, and this is root, nothing runs.
 */
#include "devices/share.h"
#include "fake/p9_client.h"
#include "fuzz/input.h"
#include "log.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/landlock.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);

enum {
    MESSAGES = 64,
    UNIT = 64,
    STACK = 8 << 20,
    FILE_MAX = 1 << 20, /* a write far behind makes no file of petabytes */
};

static const char secret[] = "secret";

struct place {
    char top[32];
    char in[40], out[48];
};

static void must(bool truth, const char *what)
{
    if (!truth) {
        warn("%s", what);
        abort();
    }
}

static void put_file(const char *dir, const char *name, const char *text)
{
    int at = open(dir, O_PATH | O_DIRECTORY);
    int fd = openat(at, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    must(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text),
         name);
    close(fd);
    close(at);
}

static void place_make(struct place *p)
{
    char path[64];

    strcpy(p->top, "/tmp/axvm-fuzz-XXXXXX");
    must(mkdtemp(p->top), "a directory");
    snprintf(p->in, sizeof(p->in), "%s/in", p->top);
    snprintf(p->out, sizeof(p->out), "%s/secret", p->top);
    must(!mkdir(p->in, 0755), p->in);
    put_file(p->top, "secret", secret);
    put_file(p->in, "file", "text");
    snprintf(path, sizeof(path), "%s/dir", p->in);
    must(!mkdir(path, 0755), path);
    put_file(path, "below", "text below");
    snprintf(path, sizeof(path), "%s/link", p->in);
    must(!symlink("../secret", path), path);
    snprintf(path, sizeof(path), "%s/pipe", p->in);
    must(!mkfifo(path, 0666), path);
}

static int remove_one(const char *path, const struct stat *st, int kind,
                      struct FTW *ftw)
{
    return remove(path);
}

/* A directory without rights can be listed again first. */
static int allow_one(const char *path, const struct stat *st, int kind,
                     struct FTW *ftw)
{
    return S_ISDIR(st->st_mode) ? chmod(path, 0700) : 0;
}

static void place_check(const struct place *p)
{
    char buf[16] = "";
    FILE *f = fopen(p->out, "r");
    struct stat st;

    must(f && fread(buf, 1, sizeof(buf) - 1, f) == strlen(secret) &&
             !strcmp(buf, secret),
         "what is outside stays as it is");
    fclose(f);
    must(!stat(p->top, &st) && st.st_nlink == 3, "nothing new beside it");
}

static void place_remove(const struct place *p)
{
    for (unsigned tries = 0; tries < 16 && !access(p->top, F_OK); tries++) {
        nftw(p->top, allow_one, 16, FTW_PHYS);
        nftw(p->top, remove_one, 16, FTW_PHYS | FTW_DEPTH);
    }
}

static void begin(struct p9_client *c, struct ax_share *share)
{
    static const char *const names[] = {"file", "dir", "link", "pipe"};

    c->carry = p9_carry_to_share;
    c->ctx = share;
    must(!p9_start(c, P9_MSIZE, 0), "a session");
    for (unsigned i = 0; i < 4; i++)
        must(!p9_walk(c, P9_ROOT, i + 1, names[i]), names[i]);
}

/* One message; returns what of the input it was. */
static size_t say(struct p9_client *c, const uint8_t *data, size_t size)
{
    uint32_t claim = 0;
    size_t len = size - 1;

    if (size >= 5)
        memcpy(&claim, data + 1, 4);
    if (claim >= P9_FRAME && claim < len)
        len = claim;
    c->room = data[0] ? (size_t)data[0] * UNIT : P9_MSIZE;
    if (len >= P9_FRAME && len <= P9_MSIZE)
        p9_ask_raw(c, data + 1, len);
    return len + 1;
}

/* ---- the fence ---- */

/* All rights that this kernel can deny, of those that we know; 0: none. */
static uint64_t fence_rights(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0,
                       LANDLOCK_CREATE_RULESET_VERSION);

    if (abi < 2) /* the first one denies every rename between directories */
        return 0;
    return (1ULL << (abi < 3 ? 14 : 15)) - 1;
}

/* From now on this thread changes and reads files below dir alone. */
static void fence(const char *dir)
{
    const struct landlock_ruleset_attr attr = {fence_rights()};
    struct landlock_path_beneath_attr rule = {attr.handled_access_fs, -1};
    int rules;

    if (!attr.handled_access_fs) {
        must(geteuid() != 0, "root without Landlock");
        return;
    }
    rule.parent_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
    must(rule.parent_fd >= 0 && rules >= 0 &&
             !syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH,
                      &rule, 0) &&
             !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
             !syscall(SYS_landlock_restrict_self, rules, 0),
         "a fence");
    close(rules);
    close(rule.parent_fd);
}

/* ---- one input ---- */

struct run {
    struct place place;
    const uint8_t *data;
    size_t size;
};

static void *run_input(void *arg)
{
    static const struct ax_share_limits limits = {
        .fids = 100, .open = 20, .live = 1, .parked_bytes = 2000};
    struct run *run = arg;
    struct p9_client *c = calloc(1, sizeof(*c));
    bool readonly = run->size && *run->data & 1;
    size_t at = 1;
    struct ax_share *share;

    must(c, "memory");
    fence(run->place.in);
    must(!ax_share_create(run->place.in, readonly, &limits, NULL, &share),
         run->place.in);
    begin(c, share);
    for (unsigned i = 0; at < run->size && i < MESSAGES; i++)
        at += say(c, run->data + at, run->size - at);
    ax_share_destroy(share);
    free(c);
    return NULL;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const struct rlimit limit = {FILE_MAX, FILE_MAX};

    umask(0);
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run run = {.data = data, .size = size};
    pthread_attr_t attr;
    pthread_t thread;

    if (!fence_rights() && geteuid() == 0) {
        warnx("not run: root, and the kernel has no Landlock");
        return 0;
    }
    place_make(&run.place);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK);
    must(!pthread_create(&thread, &attr, run_input, &run) &&
             !pthread_join(thread, NULL),
         "a thread");
    pthread_attr_destroy(&attr);
    place_check(&run.place);
    place_remove(&run.place);
    return 0;
}

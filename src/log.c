/*
 * log.c - one shared sink, any number of named logs that write to it.
 *
 * A line is composed on the caller's stack and leaves in one write(2), so lines
 * of different threads never mix and no lock is held around the host's I/O.
 */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 1024, NAME_MAX_BYTES = 64, GUEST_LINES = 10 };

struct sink {
    int fd;     /* the number never changes, see ax_log_reopen */
    char *path; /* NULL: standard error, which is not ours */
    enum ax_log_level level;
};

struct ax_log {
    struct sink *sink;
    bool root; /* owns the sink */
    char name[NAME_MAX_BYTES];
    pthread_mutex_t lock; /* the rate limit below */
    time_t second;
    unsigned passed, dropped;
};

static const char *const level_names[AX_LOG_LEVELS] = {
    [AX_LOG_OFF] = "off",   [AX_LOG_ERROR] = "error", [AX_LOG_WARN] = "warn",
    [AX_LOG_INFO] = "info", [AX_LOG_DEBUG] = "debug",
};

int ax_log_parse_level(const char *word, enum ax_log_level *out)
{
    for (int i = 0; i < AX_LOG_LEVELS; i++) {
        if (!strcmp(word, level_names[i])) {
            *out = (enum ax_log_level)i;
            return 0;
        }
    }
    return -EINVAL;
}

static struct ax_log *log_new(struct sink *sink, bool root, const char *name)
{
    struct ax_log *log = calloc(1, sizeof(*log));

    if (!log)
        return NULL;
    log->sink = sink;
    log->root = root;
    snprintf(log->name, sizeof(log->name), "%s", name);
    pthread_mutex_init(&log->lock, NULL);
    return log;
}

/* The descriptor, or -errno. */
static int open_log_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

    if (fd < 0)
        return -errno;
    return fd;
}

/* Accepts NULL. */
static void sink_destroy(struct sink *sink)
{
    if (!sink)
        return;
    if (sink->path && sink->fd >= 0)
        close(sink->fd);
    free(sink->path);
    free(sink);
}

static int sink_create(const char *path, enum ax_log_level level,
                       struct sink **out)
{
    struct sink *sink = calloc(1, sizeof(*sink));
    int err = 0;

    *out = NULL;
    if (!sink)
        return -ENOMEM;
    sink->level = level;
    sink->fd = STDERR_FILENO;
    if (path) {
        sink->path = strdup(path);
        sink->fd = sink->path ? open_log_file(path) : -ENOMEM;
        err = sink->fd < 0 ? sink->fd : 0;
    }
    if (err)
        sink_destroy(sink);
    else
        *out = sink;
    return err;
}

int ax_log_create(const char *path, enum ax_log_level level,
                  struct ax_log **out)
{
    struct sink *sink;
    int err = sink_create(path, level, &sink);

    *out = NULL;
    if (err)
        return err;
    *out = log_new(sink, true, "axvm-run");
    if (*out)
        return 0;
    sink_destroy(sink);
    return -ENOMEM;
}

int ax_log_create_child(struct ax_log *parent, const char *name,
                        struct ax_log **out)
{
    *out = NULL;
    if (!parent)
        return 0;
    *out = log_new(parent->sink, false, name);
    return *out ? 0 : -ENOMEM;
}

int ax_log_reopen(struct ax_log *log)
{
    int fd, err = 0;

    if (!log || !log->sink->path)
        return 0;
    fd = open_log_file(log->sink->path);
    if (fd < 0)
        return fd;
    /*
     * The kernel swaps the file behind the number at once: a line that another
     * thread is writing goes to the one or the other, and needs no lock.
     */
    if (dup3(fd, log->sink->fd, O_CLOEXEC) < 0)
        err = -errno;
    close(fd);
    return err;
}

void ax_log_destroy(struct ax_log *log)
{
    if (!log)
        return;
    if (log->root)
        sink_destroy(log->sink);
    pthread_mutex_destroy(&log->lock);
    free(log);
}

bool ax_log_enabled(const struct ax_log *log, enum ax_log_level level)
{
    return log && level <= log->sink->level;
}

__attribute__((format(printf, 3, 0))) static void
log_write(struct ax_log *log, enum ax_log_level level, const char *fmt,
          va_list args)
{
    char line[LINE_MAX_BYTES];
    const size_t room = sizeof(line) - 1; /* the newline */
    size_t len;
    int n;

    n = snprintf(line, room, "%s %s: ", level_names[level], log->name);
    len = n < 0 ? 0 : (size_t)n;
    n = vsnprintf(line + len, room - len, fmt, args);
    len += n < 0 ? 0 : (size_t)n;
    if (len >= room) {
        len = room - 1;
        memcpy(line + len - 3, "...", 3);
    }
    line[len++] = '\n';
    /* A log that cannot be written must not disturb the VM: ignore it. */
    if (write(log->sink->fd, line, len) < 0)
        return;
}

void ax_log(struct ax_log *log, enum ax_log_level level, const char *fmt, ...)
{
    va_list args;

    if (!ax_log_enabled(log, level))
        return;
    va_start(args, fmt);
    log_write(log, level, fmt, args);
    va_end(args);
}

/* Counts this line; true if it may pass. *dropped: to be told first. */
static bool log_admit(struct ax_log *log, unsigned *dropped)
{
    struct timespec now;
    bool pass;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    *dropped = 0;
    pthread_mutex_lock(&log->lock);
    if (log->second != now.tv_sec) {
        *dropped = log->dropped;
        log->second = now.tv_sec;
        log->passed = 0;
        log->dropped = 0;
    }
    pass = log->passed < GUEST_LINES;
    if (pass)
        log->passed++;
    else
        log->dropped++;
    pthread_mutex_unlock(&log->lock);
    return pass;
}

void ax_log_guest(struct ax_log *log, enum ax_log_level level, const char *fmt,
                  ...)
{
    unsigned dropped;
    va_list args;

    if (!ax_log_enabled(log, level) || !log_admit(log, &dropped))
        return;
    if (dropped)
        ax_log(log, level, "%u more lines like the last ones left out",
               dropped);
    va_start(args, fmt);
    log_write(log, level, fmt, args);
    va_end(args);
}

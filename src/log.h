/*
 * log.h - leveled log lines with the name of the VM they speak about.
 *
 * One line is "LEVEL vm: text". error: the VM ends; warn: guest or host did
 * something odd; info: lifecycle, a dozen lines a boot; debug: per exit.
 * Every function may be called from any thread; a NULL log is silent.
 */
#ifndef AX_LOG_H
#define AX_LOG_H

#include <stdbool.h>

enum ax_log_level {
    AX_LOG_OFF,
    AX_LOG_ERROR,
    AX_LOG_WARN,
    AX_LOG_INFO,
    AX_LOG_DEBUG,
    AX_LOG_LEVELS,
};

struct ax_log;

/*
 * Opens a log that appends to the file at path, or writes to standard error
 * when path is NULL. Returns 0 or -errno of open(2).
 */
int ax_log_create(const char *path, enum ax_log_level level,
                  struct ax_log **out);

/*
 * A log that writes where parent writes, with its own name in each line and
 * its own rate limit for guest-caused lines. The parent must outlive it.
 * Returns 0 or -ENOMEM.
 */
int ax_log_create_child(struct ax_log *parent, const char *name,
                        struct ax_log **out);

/*
 * Opens the file at the path of ax_log_create anew, for who has renamed it (log
 * rotation), and uses that from now on; children follow. 0, also where there is
 * no file, or -errno: the old one stays.
 */
int ax_log_reopen(struct ax_log *log);

/* Accepts NULL. */
void ax_log_destroy(struct ax_log *log);

/* "off", "error", "warn", "info", "debug" -> level; -EINVAL otherwise. */
int ax_log_parse_level(const char *word, enum ax_log_level *out);

bool ax_log_enabled(const struct ax_log *log, enum ax_log_level level);

/*
 * Writes one line; no newline in fmt. A line longer than the buffer is cut
 * with "...". A host that cannot take it (full disk) loses the line, not us.
 */
void ax_log(struct ax_log *log, enum ax_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * The same for what a guest can provoke at will: at most ten such lines a
 * second and log pass, the rest are counted and the count is told once.
 */
void ax_log_guest(struct ax_log *log, enum ax_log_level level, const char *fmt,
                  ...) __attribute__((format(printf, 3, 4)));

#endif

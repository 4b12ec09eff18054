/*
 * pidfile.c - the lock says who owns the file, its text is for others only.
 *
 * flock(2) belongs to our open file and ends with us, however we end. Removing
 * is what makes this a race: a second starter may have opened the file that the
 * first one is about to unlink, and would lock a file that nobody can see any
 * more. So whoever got the lock looks whether the path still leads to it, and
 * begins anew if not; and only the owner of the lock unlinks.
 */
#include "host/pidfile.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PID_TEXT = 32 };

struct ax_pidfile {
    int fd;
    char *path;
};

/* Does path lead to the file that fd is? */
static bool same_file(int fd, const char *path)
{
    struct stat ours, there;

    return !fstat(fd, &ours) && !lstat(path, &there) &&
           ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

/* Opens and locks what path leads to; the descriptor, or -errno. */
static int open_locked(const char *path)
{
    for (;;) {
        int fd, err;

        fd = open(path,
                  O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY |
                      O_NONBLOCK,
                  0644);
        if (fd < 0)
            return -errno;
        if (flock(fd, LOCK_EX | LOCK_NB)) {
            err = errno == EWOULDBLOCK ? -EEXIST : -errno;
            close(fd);
            return err;
        }
        if (same_file(fd, path))
            return fd;
        close(fd); /* its owner removed it before we had the lock */
    }
}

/*
 * Nothing, or what a dead process has left: a number. Anything else is a file
 * that somebody named by mistake, and not ours to overwrite.
 */
static int check_content(int fd)
{
    char text[PID_TEXT];
    struct stat st;
    ssize_t n;

    if (fstat(fd, &st))
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    n = pread(fd, text, sizeof(text), 0);
    if (n < 0)
        return -errno;
    if (n == sizeof(text))
        return -EINVAL;
    for (ssize_t i = 0; i < n; i++) {
        if (!isdigit((unsigned char)text[i]) && text[i] != '\n')
            return -EINVAL;
    }
    return 0;
}

/* Nothing half-written stays behind. */
static int write_pid(int fd, const char *path)
{
    char text[PID_TEXT];
    const int len = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    ssize_t n = -1;
    int err;

    if (!ftruncate(fd, 0))
        n = pwrite(fd, text, (size_t)len, 0);
    if (n == len)
        return 0;
    err = n < 0 ? -errno : -ENOSPC;
    unlink(path);
    return err;
}

int ax_pidfile_create(const char *path, struct ax_pidfile **out)
{
    struct ax_pidfile *file = calloc(1, sizeof(*file));
    int err;

    *out = NULL;
    if (!file)
        return -ENOMEM;
    file->path = strdup(path);
    file->fd = file->path ? open_locked(path) : -ENOMEM;
    err = file->fd < 0 ? file->fd : check_content(file->fd);
    if (!err)
        err = write_pid(file->fd, path);
    if (!err) {
        *out = file;
        return 0;
    }
    if (file->fd >= 0)
        close(file->fd);
    free(file->path);
    free(file);
    return err;
}

void ax_pidfile_destroy(struct ax_pidfile *pidfile)
{
    if (!pidfile)
        return;
    if (same_file(pidfile->fd, pidfile->path))
        unlink(pidfile->path);
    close(pidfile->fd);
    free(pidfile->path);
    free(pidfile);
}

/*
 * place.c - the sockets' directory, and how to connect to one of them.
 */
#include "control/place.h"

#include "devices/unixsock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int ax_control_dir(char *out, size_t size)
{
    /* A relative value is to be ignored, says the XDG base directory spec. */
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    const uid_t uid = geteuid();
    int len;

    if (runtime && runtime[0] == '/')
        len = snprintf(out, size, "%s/axvm", runtime);
    else if (uid == 0)
        len = snprintf(out, size, "/run/axvm");
    else
        len = snprintf(out, size, "/tmp/axvm-%u", uid);
    return len >= 0 && (size_t)len < size ? 0 : -ENAMETOOLONG;
}

int ax_control_check_dir(const char *dir)
{
    struct stat st;

    if (lstat(dir, &st))
        return -errno;
    return S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
                   !(st.st_mode & (S_IRWXG | S_IRWXO))
               ? 0
               : -EPERM;
}

int ax_control_make_dir(const char *dir)
{
    if (mkdir(dir, S_IRWXU) && errno != EEXIST)
        return -errno;
    return ax_control_check_dir(dir);
}

int ax_control_connect(const char *path)
{
    return ax_unix_connect(path);
}

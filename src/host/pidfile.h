/*
 * pidfile.h - a file with our process id, for those who signal us. Loop thread.
 */
#ifndef AX_HOST_PIDFILE_H
#define AX_HOST_PIDFILE_H

struct ax_pidfile;

/*
 * Writes path, locked for as long as we live. -EEXIST: another process that
 * lives holds it; a file left by a dead one is taken over. Else 0 or -errno.
 */
int ax_pidfile_create(const char *path, struct ax_pidfile **out);

/* Accepts NULL. Removes the file, if it is still ours. */
void ax_pidfile_destroy(struct ax_pidfile *pidfile);

#endif

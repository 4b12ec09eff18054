/*
 * shell.h - axvm's shell on our terminal: a child process in the foreground.
 *
 * A program of its own, so that line editing costs a process without a shell
 * nothing. Loop thread.
 */
#ifndef AX_HOST_SHELL_H
#define AX_HOST_SHELL_H

struct ax_log;
struct ax_loop;
struct ax_shell;

/*
 * Starts `axvm --socket SOCKET shell` from where this program is, or from PATH.
 * It has the terminal until ended(ctx) is called. 0; -ENOTTY: standard input is
 * no terminal of ours; -ENOENT: there is no axvm; else -errno.
 */
int ax_shell_create(struct ax_loop *loop, const char *socket,
                    void (*ended)(void *ctx), void *ctx, struct ax_shell **out);

/* Accepts NULL. Ends the child if it lives, and takes the terminal back. */
void ax_shell_destroy(struct ax_shell *shell);

#endif

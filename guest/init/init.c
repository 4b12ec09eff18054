/*
 * init.c - the first process of a guest that `axvm-run --run` starts.
 *
 * Loads the modules that it was given, takes the shared directory as its root
 * with a layer of memory above it, runs one command, and ends the guest with
 * the command's status through the debug-exit port. axvm-run carries it and
 * packs it into an initramfs (src/initramfs.c), where lies what it is told:
 *
 *   /ax/modules   paths of modules, one a line, in the order of loading
 *   /ax/command   the text for the shell
 *   /ax/cwd       where it runs, if that is there
 *   /ax/env       NAME=VALUE, one a line
 *   /ax/plain     is there: no terminal reads what the command writes
 *
 * No C library: a handful of system calls, so that it is small and is built
 * with nothing but a compiler.
 */
#include "syscalls.h"

#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <linux/fcntl.h>
#include <linux/mount.h>
#include <linux/reboot.h>
#include <linux/time_types.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TEXT_MAX = 128 * 1024,
    ENV_MAX = 64,
    CANNOT = 126, /* as a shell says that a command could not be run */
    EXIT_PORT = 0xf4,
    TRIES = 10000, /* of a millisecond each, for the console to appear */
};

static char modules[TEXT_MAX], command[TEXT_MAX], env[TEXT_MAX], cwd[4096];
static const char *envp[ENV_MAX + 1];

/* ---- the end ---- */

static _Noreturn void end_guest(int status)
{
    const uint8_t code = (uint8_t)status;

    if (!SYS3(__NR_ioperm, EXIT_PORT, 1, 1))
        __asm__ volatile("outb %0, %w1" : : "a"(code), "Nd"(EXIT_PORT));
    SYS4(__NR_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
         LINUX_REBOOT_CMD_POWER_OFF, 0);
    for (;;)
        SYS0(__NR_pause);
}

static size_t length(const char *s)
{
    size_t n = 0;

    while (s[n])
        n++;
    return n;
}

static void say(const char *s)
{
    SYS3(__NR_write, 2, s, length(s));
}

static void say_number(long n)
{
    char digits[24];
    size_t at = sizeof(digits);

    digits[--at] = '\0';
    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    say(digits + at);
}

/* what: what was attempted; result: what the system call returned. */
static _Noreturn void die(const char *what, long result)
{
    say("axvm-run: in the guest: ");
    say(what);
    if (result < 0) {
        say(": error ");
        say_number(-result);
    }
    say("\n");
    SYS3(__NR_ioctl, 2, TCSBRK, 1); /* all of it is out */
    end_guest(CANNOT);
}

static void need(long result, const char *what)
{
    if (result < 0)
        die(what, result);
}

/* ---- what we were told ---- */

static void read_text(const char *path, char *text, size_t size)
{
    const long fd = SYS3(__NR_open, path, O_RDONLY, 0);
    size_t done = 0;
    long n = 0;

    need(fd, path);
    while (done < size - 1 &&
           (n = SYS3(__NR_read, fd, text + done, size - 1 - done)) > 0)
        done += (size_t)n;
    need(n, path);
    text[done] = '\0';
    SYS1(__NR_close, fd);
}

/* The next line of *at, which moves behind it; NULL: there is none. */
static char *next_line(char **at)
{
    char *line = *at, *end = line;

    if (!*line)
        return NULL;
    while (*end && *end != '\n')
        end++;
    *at = *end ? end + 1 : end;
    *end = '\0';
    return line;
}

/* ---- the way to the command ---- */

static void mount_at(const char *source, const char *target, const char *type,
                     unsigned long flags, const char *options)
{
    SYS2(__NR_mkdir, target, 0755);
    need(SYS5(__NR_mount, source, target, type, flags, options), target);
}

/* One that is there already, or finds no device, is no reason to stop: what is
 * missing in the end says so itself. */
static void load_modules(void)
{
    char *at = modules;

    for (const char *line = next_line(&at); line; line = next_line(&at)) {
        const long fd = SYS3(__NR_open, line, O_RDONLY, 0);

        need(fd, line);
        SYS3(__NR_finit_module, fd, "", 0);
        SYS1(__NR_close, fd);
    }
}

/* The driver makes it when the host has told of its ports. */
static long open_console(void)
{
    const struct __kernel_timespec millisecond = {0, 1000000};
    long fd = -1;

    for (int i = 0; i < TRIES && fd < 0; i++) {
        fd = SYS3(__NR_open, "/dev/hvc0", O_RDWR | O_NOCTTY, 0);
        if (fd < 0)
            SYS2(__NR_nanosleep, &millisecond, 0);
    }
    return fd;
}

static void take_console(void)
{
    const long fd = open_console();
    struct termios mode;

    need(fd, "no virtio console");
    for (long to = 0; to <= 2; to++)
        SYS2(__NR_dup2, fd, to);
    if (fd > 2)
        SYS1(__NR_close, fd);
    if (SYS2(__NR_access, "/ax/plain", 0) ||
        SYS3(__NR_ioctl, 0, TCGETS, &mode) < 0)
        return;
    mode.c_oflag &= ~(tcflag_t)OPOST;
    mode.c_lflag &= ~(tcflag_t)ECHO;
    SYS3(__NR_ioctl, 0, TCSETS, &mode);
}

static void take_root(void)
{
    static const char *const kept[] = {"dev", "proc", "sys"};
    char from[16] = "/", to[16] = "/root/";

    mount_at("axroot", "/lower", "9p", MS_RDONLY | MS_NODEV,
             "trans=virtio,version=9p2000.L,msize=491520,cache=loose");
    mount_at("layer", "/layer", "tmpfs", 0, "mode=755");
    SYS2(__NR_mkdir, "/layer/upper", 0755);
    SYS2(__NR_mkdir, "/layer/work", 0755);
    mount_at("root", "/root", "overlay", 0,
             "lowerdir=/lower,upperdir=/layer/upper,workdir=/layer/work");
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        for (size_t j = 0; j <= length(kept[i]); j++) {
            from[1 + j] = kept[i][j];
            to[6 + j] = kept[i][j];
        }
        SYS2(__NR_mkdir, to, 0755);
        need(SYS5(__NR_mount, from, to, 0, MS_MOVE, 0), to);
    }
    mount_at("run", "/root/run", "tmpfs", 0, "mode=755");
    mount_at("tmp", "/root/tmp", "tmpfs", 0, "mode=1777");
    need(SYS1(__NR_chdir, "/root"), "/root");
    need(SYS5(__NR_mount, ".", "/", 0, MS_MOVE, 0), "the root");
    need(SYS1(__NR_chroot, "."), "the root");
    SYS1(__NR_chdir, "/");
}

static void run_command(void)
{
    static const char *const argv[] = {"/bin/sh", "-c", command, NULL};

    SYS0(__NR_setsid);
    SYS3(__NR_ioctl, 0, TIOCSCTTY, 0);
    if (*cwd)
        SYS1(__NR_chdir, cwd);
    die("/bin/sh", SYS3(__NR_execve, argv[0], argv, envp));
}

static int await(long child)
{
    long pid;
    int status = 0;

    do {
        pid = SYS4(__NR_wait4, -1, &status, 0, 0);
    } while (pid != child && pid >= 0);
    return status & 0x7f ? 128 + (status & 0x7f) : status >> 8 & 0xff;
}

static void find_env(void)
{
    char *at = env;
    size_t count = 0;

    while (count < ENV_MAX && (envp[count] = next_line(&at)))
        count++;
    envp[count] = NULL;
}

_Noreturn void init_main(void);
_Noreturn void init_main(void)
{
    long child;
    int status;

    mount_at("dev", "/dev", "devtmpfs", 0, "");
    mount_at("proc", "/proc", "proc", 0, "");
    mount_at("sys", "/sys", "sysfs", 0, "");
    read_text("/ax/modules", modules, sizeof(modules));
    load_modules();
    take_console();
    read_text("/ax/command", command, sizeof(command));
    read_text("/ax/env", env, sizeof(env));
    read_text("/ax/cwd", cwd, sizeof(cwd));
    find_env();
    take_root();
    child = SYS0(__NR_fork);
    need(child, "fork");
    if (!child)
        run_command();
    status = await(child);
    SYS3(__NR_ioctl, 1, TCSBRK, 1);
    end_guest(status);
}

/* The kernel enters with an aligned stack, and nothing returns. */
__asm__(".globl _start\n"
        "_start:\n"
        "    xor %ebp, %ebp\n"
        "    call init_main\n");

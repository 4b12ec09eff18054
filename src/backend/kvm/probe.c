/*
 * probe.c - can this host run guests, and if not, what to do about it.
 *
 * Reads, never changes: /dev/kvm, /proc/cpuinfo, /etc/group. The words for a
 * failed open are shared with the engine's start.
 */
#include "backend/kvm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Runs fn over a file's lines until it returns true. */
static bool file_any(const char *path, bool (*fn)(const char *line))
{
    char line[4096];
    FILE *f = fopen(path, "re");
    bool found = false;

    while (f && !found && fgets(line, sizeof(line), f))
        found = fn(line);
    if (f)
        fclose(f);
    return found;
}

static bool line_has_virtualization(const char *line)
{
    return (!strncmp(line, "flags", 5) || !strncmp(line, "Features", 8)) &&
           (strstr(line, " vmx") || strstr(line, " svm"));
}

static bool line_is_hypervisor(const char *line)
{
    return !strncmp(line, "flags", 5) && strstr(line, " hypervisor");
}

static bool in_container(void)
{
    return !access("/.dockerenv", F_OK) ||
           !access("/run/.containerenv", F_OK) || getenv("container");
}

/* Name of the group that owns /dev/kvm; members: does it list this user? */
static void kvm_group(char *name, size_t size, gid_t gid, bool *listed)
{
    const struct passwd *user = NULL;
    const struct group *group;
    FILE *f = fopen("/etc/passwd", "re");

    *listed = false;
    snprintf(name, size, "%u", (unsigned)gid);
    while (f && (user = fgetpwent(f)) && user->pw_uid != getuid())
        ;
    if (f)
        fclose(f);
    f = fopen("/etc/group", "re");
    while (f && (group = fgetgrent(f))) {
        if (group->gr_gid != gid)
            continue;
        snprintf(name, size, "%s", group->gr_name);
        for (char **m = group->gr_mem; user && *m; m++)
            *listed |= !strcmp(*m, user->pw_name);
        break;
    }
    if (f)
        fclose(f);
}

static bool session_has_group(gid_t gid)
{
    gid_t groups[256];
    int n = getgroups((int)AX_ARRAY_LEN(groups), groups);

    if (getegid() == gid)
        return true;
    for (int i = 0; i < n; i++) {
        if (groups[i] == gid)
            return true;
    }
    return false;
}

static void explain_access(char *cure, size_t size)
{
    char name[64];
    struct stat st;
    bool listed;

    if (stat("/dev/kvm", &st)) {
        snprintf(cure, size, "cannot even look at it: %s", strerror(errno));
        return;
    }
    kvm_group(name, sizeof(name), st.st_gid, &listed);
    if (!(st.st_mode & S_IRGRP) || !(st.st_mode & S_IWGRP))
        snprintf(cure, size,
                 "its group has no access: as root, 'chown root:kvm /dev/kvm "
                 "&& chmod 660 /dev/kvm'");
    else if (session_has_group(st.st_gid))
        snprintf(cure, size,
                 "this session is in group '%s' already, so something else "
                 "forbids it: %s",
                 name,
                 in_container()
                     ? "the container's device rules (run it with "
                       "'--device /dev/kvm')"
                     : "a security module, or an access control list "
                       "('getfacl /dev/kvm')");
    else if (listed)
        snprintf(cure, size,
                 "your user is in group '%s', but this login started before: "
                 "log in again, or run 'newgrp %s'",
                 name, name);
    else
        snprintf(cure, size,
                 "it belongs to group '%s', which this session does not have: "
                 "'sudo usermod -aG %s $USER', then log in again",
                 name, name);
}

static void explain_missing(char *cure, size_t size)
{
    bool able = file_any("/proc/cpuinfo", line_has_virtualization);

    if (in_container())
        snprintf(cure, size,
                 "this is a container: run it with '--device /dev/kvm', if "
                 "the host has it");
    else if (able)
        snprintf(cure, size,
                 "the CPU can: 'sudo modprobe kvm_intel' or 'sudo modprobe "
                 "kvm_amd'; 'dmesg | grep -i kvm' tells if firmware disabled "
                 "it");
    else if (file_any("/proc/cpuinfo", line_is_hypervisor))
        snprintf(cure, size,
                 "this machine is itself a virtual one: turn on nested "
                 "virtualization in the outer hypervisor");
    else
        snprintf(cure, size,
                 "the CPU shows no VT-x or SVM: enable virtualization in the "
                 "firmware setup");
}

void ax_kvm_explain(int err, char *what, size_t what_size, char *cure,
                    size_t cure_size)
{
    switch (-err) {
    case ENOENT:
        snprintf(what, what_size, "/dev/kvm does not exist (ENOENT)");
        explain_missing(cure, cure_size);
        break;
    case EACCES:
    case EPERM:
        snprintf(what, what_size, "no permission to open /dev/kvm (%s)",
                 err == -EPERM ? "EPERM" : "EACCES");
        explain_access(cure, cure_size);
        break;
    case ENODEV:
    case ENXIO:
        snprintf(what, what_size, "/dev/kvm is there but nobody answers (%s)",
                 err == -ENODEV ? "ENODEV" : "ENXIO");
        snprintf(cure, cure_size,
                 "load the module of your CPU: 'sudo modprobe kvm_intel' or "
                 "'sudo modprobe kvm_amd', and see 'dmesg | grep -i kvm'");
        break;
    case EBUSY:
        snprintf(what, what_size, "the CPU's virtualization is taken (EBUSY)");
        snprintf(cure, cure_size,
                 "another hypervisor (VirtualBox, VMware) uses it: end its "
                 "virtual machines and unload its module");
        break;
    default:
        snprintf(what, what_size, "cannot use /dev/kvm: %s", strerror(-err));
        snprintf(cure, cure_size, "see 'dmesg | grep -i kvm'");
        break;
    }
}

struct probe {
    ax_backend_fact *fact;
    void *ctx;
    int err; /* the first obstacle */
};

static void probe_tell(struct probe *p, int err, const char *what,
                       const char *value, const char *cure)
{
    if (err && !p->err)
        p->err = err;
    if (p->fact)
        p->fact(p->ctx, what, value, err ? cure : NULL);
}

static void probe_failure(struct probe *p, const char *fact, int err)
{
    char what[256], cure[512];

    ax_kvm_explain(err, what, sizeof(what), cure, sizeof(cure));
    probe_tell(p, err, fact, what, cure);
}

static void probe_caps(struct probe *p, int kvm)
{
    char text[32];

    for (const struct ax_kvm_need *need = ax_kvm_arch_needs; need->name;
         need++) {
        bool has = ax_kvm_cap(kvm, need->cap);

        probe_tell(p, has ? 0 : -EOPNOTSUPP, need->name,
                   has ? "yes" : "missing", "use a newer kernel");
    }
    snprintf(text, sizeof(text), "%d", ax_kvm_cap(kvm, KVM_CAP_MAX_VCPUS));
    probe_tell(p, 0, "vCPUs per guest at most", text, NULL);
    snprintf(text, sizeof(text), "%d", ax_kvm_cap(kvm, KVM_CAP_NR_MEMSLOTS));
    probe_tell(p, 0, "memory slots", text, NULL);
}

int ax_kvm_probe(ax_backend_fact *fact, void *ctx)
{
    struct probe p = {.fact = fact, .ctx = ctx};
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    char text[32];
    int vm, version;

    if (kvm < 0) {
        probe_failure(&p, "/dev/kvm", -errno);
        return p.err;
    }
    probe_tell(&p, 0, "/dev/kvm", "opens", NULL);
    version = ax_kvm_ioctl(kvm, KVM_GET_API_VERSION, 0);
    snprintf(text, sizeof(text), "%d", version);
    probe_tell(&p, version == KVM_API_VERSION ? 0 : -ENODEV, "KVM API version",
               text, "12 is needed: use Linux's own KVM");
    vm = ax_kvm_ioctl(kvm, KVM_CREATE_VM, 0);
    if (vm < 0)
        probe_failure(&p, "creating a VM", vm);
    else
        probe_tell(&p, 0, "creating a VM", "works", NULL);
    if (vm >= 0)
        close(vm);
    probe_caps(&p, kvm);
    close(kvm);
    return p.err;
}

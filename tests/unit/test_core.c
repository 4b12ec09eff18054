/* test_core.c - a guest on the fake engine as a core file, read back. */
#include "fake/guest.h"

#include "arch/x86_64/regs.h"
#include "devices/loop.h"
#include "memory/memory.h"
#include "vcpu/vcpu.h"
#include "vmm/core.h"
#include "vmm/elfcore.h"

#include <criterion/criterion.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/user.h>
#include <unistd.h>

enum { P = 1, W = 2, LARGE = 0x80 };

/* The guest's own tables, in memory that nothing else uses. */
enum { PML4 = 0x20000, PDPT = 0x21000, PD = 0x22000, PT = 0x30000 };

static const uint64_t kernel = 0xffffffff80000000ULL;

static const struct ax_fake_step spin[] = {
    {.op = AX_FAKE_SPIN}, {.op = AX_FAKE_LOOP, .target = AX_FAKE_ENTRY}};

static struct ax_fake_guest guest;
static struct ax_dump *dump;
static int fd = -1;
static int unread = -1; /* the other end of a pipe */
static bool told, gone;
static int result;
static uint64_t result_bytes;
static char *file;
static uint64_t file_size;

static void done(void *ctx, int err, uint64_t bytes)
{
    cr_assert_eq(ctx, &guest);
    cr_assert_not(told, "told twice");
    told = true;
    result = err;
    result_bytes = bytes;
    ax_loop_stop(guest.loop);
}

static void suspended(unsigned cpus)
{
    ax_fake_guest_create(&guest, NULL, "core", cpus, spin, AX_ARRAY_LEN(spin));
    cr_assert_eq(ax_vm_start(guest.vm), 0);
    cr_assert_eq(ax_vm_suspend(guest.vm), 0);
}

static void fini(void)
{
    ax_dump_destroy(dump);
    if (!gone)
        ax_fake_guest_destroy(&guest);
    ax_loop_destroy(guest.loop);
    free(file);
    if (fd >= 0)
        close(fd);
    if (unread >= 0)
        close(unread);
}

TestSuite(core, .fini = fini, .timeout = 60);

static void *at(ax_gpa gpa, uint64_t size)
{
    void *p = ax_memory_at(ax_vm_memory(guest.vm), gpa, size, AX_PROT_WRITE);

    cr_assert_not_null(p);
    return p;
}

/* ---- registers ---- */

struct assign {
    unsigned reg;
    uint64_t val;
};

static int do_assign(void *ctx, const struct ax_backend_ops *ops,
                     struct ax_engine_vcpu *engine)
{
    const struct assign *a = ctx;

    return ops->reg_set(engine, a->reg, a->val);
}

static void assign(unsigned cpu, unsigned reg, uint64_t val)
{
    struct assign a = {reg, val};

    cr_assert_eq(ax_vcpu_call(ax_vm_vcpu(guest.vm, cpu), do_assign, &a, 5000),
                 0);
}

/* A value that says whose it is. */
static uint64_t mark(unsigned cpu, unsigned reg)
{
    return (uint64_t)(cpu + 1) << 32 | (reg + 1) << 8;
}

static void put(ax_gpa table, unsigned index, uint64_t entry)
{
    memcpy(at(table + 8 * (ax_gpa)index, 8), &entry, 8);
}

static void page_on(void)
{
    put(PML4, 511, PDPT | P | W);
    put(PDPT, 510, PD | P | W);
    assign(0, AX_X86_CR0, AX_X86_CR0_PG | AX_X86_CR0_PE);
    assign(0, AX_X86_CR3, PML4);
    assign(0, AX_X86_CR4, AX_X86_CR4_PAE);
    assign(0, AX_X86_EFER, AX_X86_EFER_LME | AX_X86_EFER_LMA);
}

/* ---- files ---- */

static void make_file(void)
{
    char name[] = "/tmp/axvm-test-core-XXXXXX";

    fd = mkstemp(name);
    cr_assert_geq(fd, 0);
    unlink(name);
}

static int start(void)
{
    told = false;
    return ax_dump_start(guest.vm, fd, done, &guest, &dump);
}

static void run(int err)
{
    cr_assert_eq(start(), 0);
    while (!told)
        ax_loop_run(guest.loop);
    cr_assert_eq(result, err, "%s", strerror(-result));
    ax_dump_destroy(dump);
    dump = NULL;
}

static void load(void)
{
    file_size = result_bytes;
    free(file);
    file = malloc(file_size);
    cr_assert_not_null(file);
    cr_assert_eq(pread(fd, file, file_size, 0), (ssize_t)file_size);
}

static void dump_to_file(void)
{
    struct stat st;

    make_file();
    run(0);
    cr_assert_eq(fstat(fd, &st), 0);
    cr_assert_eq((uint64_t)st.st_size, result_bytes);
    load();
}

static const Elf64_Ehdr *ehdr(void)
{
    return (const void *)file;
}

static const Elf64_Phdr *phdr(unsigned index)
{
    cr_assert_lt(index, ehdr()->e_phnum);
    return (const Elf64_Phdr *)(const void *)(file + ehdr()->e_phoff) + index;
}

/* The first segment that has va, as gdb looks for it. */
static const Elf64_Phdr *find(uint64_t va)
{
    for (unsigned i = 1; i < ehdr()->e_phnum; i++) {
        if (ax_range_within(va, 1, phdr(i)->p_vaddr, phdr(i)->p_memsz))
            return phdr(i);
    }
    return NULL;
}

static ax_gpa physical(uint64_t va)
{
    const Elf64_Phdr *ph = find(va);

    cr_assert_not_null(ph);
    return ph->p_paddr + (va - ph->p_vaddr);
}

static const void *bytes_at(uint64_t va, uint64_t size)
{
    const Elf64_Phdr *ph = find(va);

    cr_assert(ph && ax_range_within(va, size, ph->p_vaddr, ph->p_filesz));
    return file + ph->p_offset + (va - ph->p_vaddr);
}

static void check_memory(uint64_t aside)
{
    const struct ax_memory *mem = ax_vm_memory(guest.vm);

    for (unsigned i = 0; i < mem->count; i++) {
        const struct ax_region *r = &mem->regions[i];
        const Elf64_Phdr *ph = find(aside + r->gpa);

        cr_assert_not_null(ph);
        cr_assert_eq(ph->p_vaddr, aside + r->gpa);
        cr_assert_eq(ph->p_paddr, r->gpa);
        cr_assert_eq(ph->p_memsz, r->size);
        cr_assert_eq(memcmp(bytes_at(ph->p_vaddr, r->size), r->hva, r->size),
                     0);
    }
}

/* The segments must not contradict each other, nor leave the file. */
static void check_segments(void)
{
    for (unsigned i = 1; i < ehdr()->e_phnum; i++) {
        const Elf64_Phdr *ph = phdr(i);

        cr_assert_eq(ph->p_type, PT_LOAD);
        cr_assert_eq(ph->p_filesz, ph->p_memsz);
        cr_assert(ax_range_within(ph->p_offset, ph->p_filesz, 0, file_size));
        cr_assert_eq((ph->p_offset ^ ph->p_vaddr) % ph->p_align, 0);
        for (unsigned j = 1; j < i; j++)
            cr_assert_not(ax_range_overlaps(
                ph->p_vaddr, ph->p_memsz, phdr(j)->p_vaddr, phdr(j)->p_memsz));
    }
}

/* The note at *off, which moves on; its contents. */
static const void *note(uint64_t *off, const char *name, uint32_t type,
                        uint64_t size)
{
    const Elf64_Nhdr *head = (const void *)(file + phdr(0)->p_offset + *off);
    const char *text = (const char *)(head + 1);

    cr_assert_eq(head->n_type, type);
    cr_assert_eq(head->n_descsz, size);
    cr_assert_str_eq(text, name);
    *off += sizeof(*head) + (head->n_namesz + 3) / 4 * 4 +
            (head->n_descsz + 3) / 4 * 4;
    return text + (head->n_namesz + 3) / 4 * 4;
}

/* ---- contents ---- */

Test(core, has_registers_and_memory)
{
    enum { CPUS = 3, QEMU_STATE = 432 };
    uint64_t off = 0;

    suspended(CPUS);
    for (unsigned cpu = 0; cpu < CPUS; cpu++) {
        for (unsigned reg = 0; reg < AX_X86_REGS; reg++)
            assign(cpu, reg, mark(cpu, reg));
        assign(cpu, AX_X86_CR0, AX_X86_CR0_PE);
    }
    memcpy(at(0x5000, 5), "hello", 5);
    memcpy(at(0x7ffff, 1), "x", 1);
    dump_to_file();

    cr_assert_eq(memcmp(ehdr()->e_ident, ELFMAG, SELFMAG), 0);
    cr_assert_eq(ehdr()->e_ident[EI_CLASS], ELFCLASS64);
    cr_assert_eq(ehdr()->e_type, ET_CORE);
    cr_assert_eq(ehdr()->e_machine, EM_X86_64);
    cr_assert_eq(phdr(0)->p_type, PT_NOTE);
    for (unsigned cpu = 0; cpu < CPUS; cpu++) {
        struct elf_prstatus s;
        struct user_regs_struct r;

        memcpy(&s, note(&off, "CORE", NT_PRSTATUS, sizeof(s)), sizeof(s));
        memcpy(&r, s.pr_reg, sizeof(r));
        cr_assert_eq(s.pr_pid, (int)cpu + 1);
        cr_assert_eq(s.pr_cursig, 0);
        cr_assert_eq(r.rax, mark(cpu, AX_X86_RAX));
        cr_assert_eq(r.rsi, mark(cpu, AX_X86_RSI));
        cr_assert_eq(r.rsp, mark(cpu, AX_X86_RSP));
        cr_assert_eq(r.r15, mark(cpu, AX_X86_R15));
        cr_assert_eq(r.rip, mark(cpu, AX_X86_RIP));
        cr_assert_eq(r.eflags, mark(cpu, AX_X86_RFLAGS));
        cr_assert_eq(r.cs, mark(cpu, AX_X86_CS));
        cr_assert_eq(r.gs, mark(cpu, AX_X86_GS));
        cr_assert_eq(r.fs_base, mark(cpu, AX_X86_FS + AX_X86_SEG_BASE));
        cr_assert_eq(r.gs_base, mark(cpu, AX_X86_GS + AX_X86_SEG_BASE));
        cr_assert_eq(r.orig_rax, 0);
    }
    for (unsigned cpu = 0; cpu < CPUS; cpu++) {
        const char *state = note(&off, "QEMU", 0, QEMU_STATE);
        uint32_t head[2];
        uint64_t val;

        memcpy(head, state, sizeof(head));
        cr_assert_eq(head[0], 1);
        cr_assert_eq(head[1], QEMU_STATE);
        memcpy(&val, state + 8, 8);
        cr_assert_eq(val, mark(cpu, AX_X86_RAX));
        memcpy(&val, state + 384, 8); /* the last segment's base */
        cr_assert_eq(val, mark(cpu, AX_X86_IDT_BASE));
        memcpy(&val, state + 416, 8);
        cr_assert_eq(val, mark(cpu, AX_X86_CR3));
        memcpy(&val, state + 424, 8);
        cr_assert_eq(val, mark(cpu, AX_X86_CR4));
    }
    cr_assert_eq(off, phdr(0)->p_filesz);
    cr_assert_eq(ehdr()->e_phnum, 1 + ax_vm_memory(guest.vm)->count);
    check_segments();
    check_memory(0);
}

static uint64_t allocated(int file_fd)
{
    struct stat st;

    cr_assert_eq(fstat(file_fd, &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

Test(core, zero_pages_are_holes)
{
    suspended(1);
    memset(at(0x100000, 4096), 'y', 4096);
    dump_to_file();
    cr_assert_gt(file_size, AX_MIB(2));
    cr_assert_lt(allocated(fd), AX_KIB(256));
    check_memory(0);
    /* Nothing is in the way of it being dumped again. */
    run(0);
    cr_assert_eq(ax_vm_resume(guest.vm), 0);
}

Test(core, memory_without_data_is_not_read)
{
    const struct ax_memory *mem;

    strcpy(ax_fake_guest_base, "[memory]\nbacking = \"memfd\"");
    suspended(1);
    memset(at(0x100000, 4096), 'y', 4096);
    dump_to_file();
    mem = ax_vm_memory(guest.vm);
    for (unsigned i = 0; i < mem->count; i++) /* reading would allocate it */
        cr_assert_lt(allocated(mem->regions[i].fd), AX_KIB(256));
    cr_assert_lt(allocated(fd), AX_KIB(256));
    check_memory(0);
}

Test(core, what_was_in_the_file_is_gone)
{
    enum { OLD = 8 << 20 };
    char *old = malloc(OLD);

    suspended(1);
    make_file();
    memset(old, 0xee, OLD);
    cr_assert_eq(write(fd, old, OLD), OLD);
    cr_assert_eq(lseek(fd, 0, SEEK_SET), 0);
    run(0);
    cr_assert_eq((uint64_t)lseek(fd, 0, SEEK_END), result_bytes);
    load();
    check_memory(0);
    /* A file for appending has no holes. */
    cr_assert_eq(ftruncate(fd, 0), 0);
    cr_assert_eq(fcntl(fd, F_SETFL, O_APPEND), 0);
    run(0);
    load();
    check_memory(0);
    free(old);
}

/* ---- paging ---- */

Test(core, virtual_addresses_are_the_guests)
{
    uint64_t loads;

    suspended(1);
    page_on();
    put(PD, 0, PT | P | W);
    for (unsigned i = 0; i < 4; i++) /* in a row in both spaces */
        put(PT, i, (0x10000 + i * 4096) | P | W);
    put(PT, 4, 0x12000 | P | W);           /* again, elsewhere */
    put(PT, 5, 0xfee00000 | P | W);        /* a device */
    put(PT, 6, 0x000ffffffffff000ULL | P); /* nothing */
    memcpy(at(0x11ff0, 32), "across the border of two pages.", 32);
    dump_to_file();
    loads = ehdr()->e_phnum - 1;
    cr_assert_eq(loads, ax_vm_memory(guest.vm)->count + 2);
    check_segments();
    check_memory(AX_ELFCORE_PHYSICAL);
    cr_assert_eq(find(kernel)->p_memsz, 4 * 4096);
    cr_assert_eq(find(kernel)->p_paddr, 0x10000);
    cr_assert_str_eq(bytes_at(kernel + 0x1ff0, 32),
                     "across the border of two pages.");
    cr_assert_eq(find(kernel + 0x4000)->p_paddr, 0x12000);
    cr_assert_str_eq(bytes_at(kernel + 0x4000, 16), "r of two pages.");
    cr_assert_null(find(kernel + 0x5000));
    cr_assert_null(find(kernel + 0x6000));
    cr_assert_null(find(0)); /* a null pointer points nowhere */
}

Test(core, a_large_page_is_cut_to_what_is_there)
{
    const struct ax_memory *mem;
    uint64_t sum = 0;

    suspended(1);
    page_on();
    put(PDPT, 511, P | W | LARGE); /* 1 GiB from 0, of which there is little */
    dump_to_file();
    check_segments();
    mem = ax_vm_memory(guest.vm);
    cr_assert_eq(ehdr()->e_phnum, 1 + 2 * mem->count);
    for (unsigned i = 0; i < mem->count; i++) {
        const struct ax_region *r = &mem->regions[i];

        cr_assert_eq(memcmp(bytes_at(kernel + AX_GIB(1) + r->gpa, r->size),
                            r->hva, r->size),
                     0);
        sum += r->size;
    }
    cr_assert_lt(file_size, sum + AX_KIB(64)); /* once in the file */
}

Test(core, addresses_do_not_go_round)
{
    suspended(1);
    page_on();
    put(PDPT, 511, PD | P);
    put(PD, 511, PT | P);
    put(PT, 511, 0x10000 | P); /* the last page */
    put(PML4, 0, 0x23000 | P);
    put(0x23000, 0, 0x24000 | P);
    put(0x24000, 0, 0x25000 | P);
    put(0x25000, 0, 0x11000 | P); /* the first one, behind it in memory */
    dump_to_file();
    check_segments();
    cr_assert_eq(physical(0), 0x11000);
    cr_assert_eq(physical(UINT64_MAX - 1), 0x10ffe);
}

Test(core, of_too_many_runs_the_longest_stay)
{
    enum { TABLES = 10, LONG = 4 };
    unsigned small = 0;

    suspended(1);
    page_on();
    for (unsigned t = 0; t < TABLES; t++) {
        put(PD, t, (PT + t * 4096) | P | W);
        for (unsigned i = 0; i < 512; i++) /* every other page: none in a row */
            put(PT + t * 4096, i, (0x10000 + i % 64 * 0x2000) | P | W);
    }
    for (unsigned i = 0; i < LONG; i++)
        put(PT + (TABLES - 1) * 4096, 508 + i, (0x50000 + i * 4096) | P);
    dump_to_file();
    cr_assert_eq(ehdr()->e_phnum,
                 1 + ax_vm_memory(guest.vm)->count + AX_ELFCORE_RUNS);
    for (unsigned i = 1; i < ehdr()->e_phnum; i++)
        small += phdr(i)->p_memsz == 4096;
    cr_assert_eq(small, AX_ELFCORE_RUNS - 1);
    cr_assert_eq(find(kernel + TABLES * AX_MIB(2) - LONG * 4096)->p_memsz,
                 LONG * 4096);
}

Test(core, tables_that_never_end_do_not_matter)
{
    suspended(1);
    page_on();
    for (unsigned i = 0; i < 512; i++)
        put(PML4, i, PML4 | P | W);
    dump_to_file();
    check_memory(AX_ELFCORE_PHYSICAL);
    cr_assert_leq(ehdr()->e_phnum,
                  1 + ax_vm_memory(guest.vm)->count + AX_ELFCORE_RUNS);
    cr_assert_gt(ehdr()->e_phnum, 1000);
}

/* ---- who may, and when ---- */

Test(core, only_of_a_vm_that_stands_still)
{
    ax_fake_guest_create(&guest, NULL, "core", 1, spin, AX_ARRAY_LEN(spin));
    make_file();
    cr_assert_eq(start(), -EPERM); /* Loaded */
    cr_assert_eq(ax_vm_start(guest.vm), 0);
    cr_assert_eq(start(), -EPERM);
    cr_assert_str_eq(ax_vm_refusal(guest.vm),
                     "VM is not suspended, cannot dump");
    cr_assert_null(dump);
    cr_assert_eq(lseek(fd, 0, SEEK_END), 0);
}

/* Takes some bytes, and no more. */
static void unread_pipe(void)
{
    int ends[2];

    cr_assert_eq(pipe(ends), 0);
    unread = ends[0];
    fd = ends[1];
}

Test(core, one_dump_at_a_time)
{
    struct ax_dump *second;

    suspended(2);
    unread_pipe();
    cr_assert_eq(start(), 0);
    cr_assert_eq(ax_dump_start(guest.vm, fd, done, &guest, &second), -EBUSY);
    cr_assert_null(second);
    cr_assert_eq(ax_vm_resume(guest.vm), -EBUSY);
    cr_assert_eq(ax_vm_stop(guest.vm, AX_VM_PATIENCE), -EBUSY);
    ax_dump_destroy(dump);
    dump = NULL;
    cr_assert_not(told);
    cr_assert_eq(ax_vm_resume(guest.vm), 0);
}

Test(core, a_kept_vm_can_be_dumped)
{
    static const struct ax_fake_step crashes[] = {
        {.exit = {.kind = AX_EXIT_FAIL_ENTRY}}};
    struct elf_prstatus s;
    uint64_t off = 0;

    strcpy(ax_fake_guest_base, "on_crash = \"keep\"");
    ax_fake_guest_create(&guest, NULL, "core", 2, crashes,
                         AX_ARRAY_LEN(crashes));
    cr_assert_eq(ax_vm_start(guest.vm), 0);
    ax_loop_run(guest.loop);
    cr_assert(guest.stopped);
    cr_assert(ax_vm_kept(guest.vm));
    dump_to_file();
    memcpy(&s, note(&off, "CORE", NT_PRSTATUS, sizeof(s)), sizeof(s));
    cr_assert_eq(s.pr_reg[16], AX_FAKE_ENTRY + sizeof(crashes[0])); /* rip */
    check_memory(0);
}

static void done_destroys(void *ctx, int err, uint64_t bytes)
{
    done(ctx, err, bytes);
    ax_dump_destroy(dump);
    dump = NULL;
}

Test(core, may_be_destroyed_when_it_is_done)
{
    suspended(1);
    make_file();
    cr_assert_eq(ax_dump_start(guest.vm, fd, done_destroys, &guest, &dump), 0);
    while (!told)
        ax_loop_run(guest.loop);
    cr_assert_eq(result, 0);
    cr_assert_null(dump);
    cr_assert_eq(ax_vm_resume(guest.vm), 0);
}

/* ---- being told to go ---- */

Test(core, force_stop_cancels)
{
    suspended(2);
    unread_pipe();
    cr_assert_eq(start(), 0);
    cr_assert_eq(ax_vm_force_stop(guest.vm), 0);
    while (!told || !guest.stopped)
        ax_loop_run(guest.loop);
    cr_assert_eq(result, -ECANCELED);
}

Test(core, destruction_cancels_and_done_comes_behind)
{
    suspended(1);
    unread_pipe();
    cr_assert_eq(start(), 0);
    ax_fake_guest_destroy(&guest);
    gone = true;
    cr_assert_not(told);
    while (!told)
        ax_loop_run(guest.loop);
    cr_assert_eq(result, -ECANCELED);
}

/* ---- descriptors ---- */

struct reader {
    int fd;
    char *data;
    size_t size, room;
};

static void *read_all(void *arg)
{
    struct reader *r = arg;
    ssize_t n;

    while ((n = read(r->fd, r->data + r->size, r->room - r->size)) > 0)
        r->size += (size_t)n;
    return NULL;
}

Test(core, a_pipe_gets_every_byte)
{
    struct reader reader = {.room = 8 << 20};
    pthread_t thread;
    int ends[2];

    suspended(2);
    memset(at(0x80000, 123), 'z', 123);
    dump_to_file();
    close(fd);
    cr_assert_eq(pipe(ends), 0);
    reader.fd = ends[0];
    reader.data = malloc(reader.room);
    fd = ends[1];
    cr_assert_eq(pthread_create(&thread, NULL, read_all, &reader), 0);
    run(0);
    close(fd);
    fd = -1;
    pthread_join(thread, NULL);
    cr_assert_eq(result_bytes, file_size);
    cr_assert_eq(reader.size, file_size);
    cr_assert_eq(memcmp(reader.data, file, file_size), 0);
    free(reader.data);
    close(reader.fd);
}

Test(core, a_pipe_that_does_not_block_is_waited_for)
{
    struct reader reader = {.room = 8 << 20};
    pthread_t thread;
    int ends[2];

    suspended(1);
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    reader.fd = ends[0];
    reader.data = malloc(reader.room);
    fd = ends[1];
    cr_assert_eq(pthread_create(&thread, NULL, read_all, &reader), 0);
    run(0);
    close(fd);
    fd = -1;
    pthread_join(thread, NULL);
    cr_assert_eq(reader.size, result_bytes);
    free(reader.data);
    close(reader.fd);
}

Test(core, a_full_disk_is_told)
{
    suspended(1);
    fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    cr_assert_geq(fd, 0);
    run(-ENOSPC);
    cr_assert_eq(ax_vm_resume(guest.vm), 0);
}

Test(core, a_reader_that_has_gone_is_told)
{
    int ends[2];

    suspended(1);
    cr_assert_eq(pipe(ends), 0);
    close(ends[0]);
    fd = ends[1];
    run(-EPIPE); /* and no SIGPIPE */
}

Test(core, a_limit_is_told)
{
    struct rlimit limit = {.rlim_cur = 8192, .rlim_max = RLIM_INFINITY};

    suspended(1);
    memset(at(0x5000, 65536), 'q', 65536);
    make_file();
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    run(-EFBIG); /* and no SIGXFSZ */
    limit.rlim_cur = RLIM_INFINITY;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

Test(core, a_file_for_reading_is_told)
{
    suspended(1);
    fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    run(-EBADF);
}

/* ---- gdb ---- */

static bool have_gdb(void)
{
    return system("gdb --version >/dev/null 2>&1") == 0;
}

Test(core, gdb_reads_it)
{
    char command[512], line[256];
    bool rip = false, byte = false, physical = false, null = false;
    FILE *out;

    if (!have_gdb())
        cr_skip_test("gdb is not installed");
    suspended(2);
    page_on();
    put(PD, 0, PT | P | W);
    put(PT, 1, 0x10000 | P | W);
    memcpy(at(0x10008, 8), "\xef\xcd\xab\x89\x67\x45\x23\x01", 8);
    assign(0, AX_X86_RIP, kernel + 0x1234);
    dump_to_file();
    /* From a descriptor's name, which leaves no file behind. */
    snprintf(command, sizeof(command),
             "gdb -nx -batch -ex 'info registers rip' "
             "-ex 'x/1gx 0xffffffff80001008' -ex 'x/1gx 0x1000000000010008' "
             "-ex 'x/1gx 0' -c /proc/%d/fd/%d 2>&1",
             (int)getpid(), fd);
    out = popen(command, "r");
    cr_assert_not_null(out);
    while (fgets(line, sizeof(line), out)) {
        rip |= !strncmp(line, "rip", 3) && strstr(line, "0xffffffff80001234");
        byte |= strstr(line, "0xffffffff80001008:") &&
                strstr(line, "0x0123456789abcdef");
        physical |= strstr(line, "0x1000000000010008:") &&
                    strstr(line, "0x0123456789abcdef");
        null |= strstr(line, "Cannot access memory at address 0x0") != NULL;
    }
    pclose(out);
    cr_assert(rip);
    cr_assert(byte);
    cr_assert(physical);
    cr_assert(null);
}

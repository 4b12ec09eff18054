/*
 * core.h - a guest as an ELF core file: its memory, and registers per vCPU.
 *
 * One PT_LOAD per region of RAM and ROM, p_paddr = gpa, and so its p_vaddr as
 * long as the boot CPU's paging is off. Where it is on, one also per run of
 * mapped pages with its virtual address, so that gdb with the kernel's symbols
 * reads what a debugger inside would; the regions then have their p_vaddr at
 * AX_ELFCORE_PHYSICAL (vmm/elfcore.h), where nothing can be mapped. One
 * NT_PRSTATUS per vCPU, in order, and one note with the rest of its registers,
 * for crash(8). System V gABI ch. 5; Linux fs/binfmt_elf's note layout.
 */
#ifndef AX_VMM_CORE_H
#define AX_VMM_CORE_H

#include "base.h"

struct ax_dump;
struct ax_vm;

/*
 * Starts writing vm to fd, which stays the caller's, on a thread of its own. vm
 * must be Suspended or kept, and stays pinned until the thread has ended. Then
 * done(ctx, err, bytes) is called on the loop: err is 0 or -errno of writing,
 * bytes what has been written, holes included. A VM that is forced to go, or
 * destroyed, cancels its dump: done follows with -ECANCELED, when the VM may be
 * no more. Zero pages become holes where fd is a regular file not opened for
 * appending; its contents from its offset on are replaced. Loop thread.
 * 0, -EPERM (not suspended), -EBUSY, -EOPNOTSUPP (not on this architecture) or
 * another -errno: done is not called.
 */
int ax_dump_start(struct ax_vm *vm, int fd,
                  void (*done)(void *ctx, int err, uint64_t bytes), void *ctx,
                  struct ax_dump **out);

/* Accepts NULL. Cancels what still runs, without calling done. Also to be
 * called after done, from it at the earliest. */
void ax_dump_destroy(struct ax_dump *dump);

#endif

/*
 * layout.h - every fixed address of the x86_64 machine, in one table.
 *
 * Guest-physical, ascending. "AxVisor": its direct and multiboot protocols name
 * this address, so it holds exactly there. The others are preferences: boot
 * data moves out of the way of an image that needs its place.
 */
#ifndef AX_ARCH_X86_64_LAYOUT_H
#define AX_ARCH_X86_64_LAYOUT_H

/* Memory below 1 MiB. The first 0x500 bytes are left to real mode. */
#define AX_X86_GDT_ADDR         0x500U  /* four descriptors */
#define AX_X86_STACK_ADDR       0x5000U /* grows down from its end */
#define AX_X86_STACK_SIZE       0x1000U
#define AX_X86_INFO_ADDR        0x6000U /* multiboot (AxVisor) or PVH info */
#define AX_X86_INFO_SIZE        0x1000U
#define AX_X86_BOOT_PARAMS_ADDR 0x7000U /* Linux zero page (AxVisor) */
#define AX_X86_BOOT_PARAMS_SIZE 0x1000U
#define AX_X86_STUB_ADDR        0x8000U /* real to protected mode (AxVisor) */
#define AX_X86_STUB_SIZE        0x1000U
#define AX_X86_PAGES_ADDR       0x9000U /* identity map of 4 GiB */
#define AX_X86_PAGES_SIZE       0x6000U
#define AX_X86_CMDLINE_ADDR     0x10000U /* up to 64 KiB */
#define AX_X86_MP_TABLE_ADDR    0x9f800U /* may start lower (AxVisor) */
#define AX_X86_MP_POINTER_ADDR  0x9fc00U /* last KiB of 640 - 1 (AxVisor) */
#define AX_X86_ACPI_ADDR        0xe0000U /* RSDP and all tables */
#define AX_X86_ACPI_SIZE        0x2000U
#define AX_X86_HIGH_RAM_ADDR    0x100000U

/* AxVisor's command line lies in the boot_params page. */
#define AX_X86_DIRECT_CMDLINE_OFF  0xe00U
#define AX_X86_DIRECT_CMDLINE_SIZE 0x200U

/* Where images go that name no address. */
#define AX_X86_BOOT_SECTOR_ADDR 0x7c00U
#define AX_X86_FLAT_ADDR        0x100000U
#define AX_X86_KERNEL_ADDR      0x200000U /* AxVisor */

/* Above RAM: [base] memory continues at 4 GiB when it reaches the hole. */
#define AX_X86_HOLE_ADDR      0xc0000000U
#define AX_X86_PCI_ADDR       0xfd000000U /* the bus's: 32 pages; its devices' */
#define AX_X86_VIRTIO_ADDR    0xfe000000U /* ... others are here, a page each */
#define AX_X86_IOAPIC_ADDR    0xfec00000U
#define AX_X86_LAPIC_ADDR     0xfee00000U
#define AX_X86_ENGINE_ADDR    0xfeffc000U /* four pages: an engine's own use */
#define AX_X86_RESET_ADDR     0xfffffff0U
#define AX_X86_HOLE_END       0x100000000ULL
#define AX_X86_GUEST_PHYS_END 0x7ffffffff000ULL /* AxVisor's largest GPA */

/* Ports of the board. */
#define AX_X86_PORT_PIT         0x40U
#define AX_X86_PORT_I8042_DATA  0x60U
#define AX_X86_PORT_PIT_SPEAKER 0x61U
#define AX_X86_PORT_I8042       0x64U
#define AX_X86_PORT_RTC         0x70U
#define AX_X86_PORT_DEBUGCON    0xe9U
#define AX_X86_PORT_DEBUGEXIT   0xf4U
#define AX_X86_PORT_COM1        0x3f8U
#define AX_X86_PORT_PVPANIC     0x505U
#define AX_X86_PORT_PM          0x600U /* +0 events, +4 control, +8 timer */
#define AX_X86_PORT_PCI         0xcf8U /* +1 reset, as the next; +4 data */
#define AX_X86_PORT_RESET       0xcf9U
#define AX_X86_PORT_PCI_IO      0x1000U /* the bus's window: 32 times four */

/* Interrupt lines; ISA IRQ n is GSI n. */
#define AX_X86_IRQ_PIT  0U
#define AX_X86_IRQ_COM1 4U
#define AX_X86_IRQ_RTC  8U
#define AX_X86_IRQ_SCI  9U

/*
 * ... of virtio devices, in this order. Those below 16 are edges by default, as
 * our devices are, also for a guest that knows no ACPI; 7 and 15 stand behind
 * the others because a PIC's spurious interrupts arrive there.
 */
#define AX_X86_IRQS_VIRTIO                                                     \
    5, 6, 10, 11, 3, 14, 7, 15, 16, 17, 18, 19, 20, 21, 22, 23
#define AX_X86_VIRTIO_MAX 16U

#endif

/*
 * main.c - the guest of `axvm-run --demo`: shows in a fraction of a second that
 * memory, interrupts, timers and all CPUs work, then offers a prompt.
 *
 * Where ring 0 is emulated a line of text costs a millisecond, so it says
 * little until asked. It sleeps whenever it waits.
 */
#include "demo.h"

#include "irq.h"
#include "smp.h"
#include "trap.h"

enum { VECTOR_TICK = 0x30, VECTOR_ROLL_CALL = 0x31 };
enum { TICK_HZ = 100, FIRST_TICKS = 5 };

static volatile uint32_t ticks, answers;
static unsigned running;

static void on_tick(struct trap_frame *frame)
{
    (void)frame;
    ticks++;
    lapic_eoi();
}

static void on_roll_call(struct trap_frame *frame)
{
    (void)frame;
    atomic_add(&answers, 1);
    lapic_eoi();
}

static void ap_idle(unsigned cpu)
{
    (void)cpu; /* back to the library, which sleeps between interrupts */
}

/* CPUID's text leaves: 4 or more registers in a row, blanks trimmed. */
static const char *trim(char *text)
{
    size_t len = strlen(text);

    while (len && text[len - 1] == ' ')
        text[--len] = '\0';
    while (*text == ' ')
        text++;
    return text;
}

static void print_brand(void)
{
    union {
        struct cpuid part[3];
        char text[sizeof(struct cpuid[3]) + 1];
    } brand = {0};
    const char *text;

    if (cpuid(0x80000000, 0).eax < 0x80000004)
        return;
    for (unsigned i = 0; i < 3; i++)
        brand.part[i] = cpuid(0x80000002 + i, 0);
    text = trim(brand.text);
    if (*text)
        print(", %s", text);
}

void demo_cpu(const char *arg)
{
    struct cpuid top = cpuid(0, 0), one = cpuid(1, 0);
    uint32_t vendor[4] = {top.ebx, top.edx, top.ecx, 0};

    (void)arg;
    print("CPU     %s", (const char *)vendor);
    print_brand();
    print("\n");
    if (one.ecx & 1U << 31) {
        struct cpuid hv = cpuid(0x40000000, 0);
        uint32_t name[4] = {hv.ebx, hv.ecx, hv.edx, 0};

        print("        under a hypervisor that signs \"%s\"\n",
              (const char *)name);
    }
}

static const char *range_name(uint32_t type)
{
    static const char *const names[] = {"?", "RAM", "reserved", "ACPI tables",
                                        "ACPI NVS"};

    return names[type < sizeof(names) / sizeof(names[0]) ? type : 0];
}

void demo_mem(const char *arg)
{
    uint64_t ram = 0;

    (void)arg;
    for (unsigned i = 0; i < boot.range_count; i++) {
        const struct guest_range *r = &boot.ranges[i];

        ram += r->type == RANGE_RAM ? r->size : 0;
        print("%s%09lx-%09lx %s\n", i ? "        " : "Memory  ", r->base,
              r->base + r->size - 1, range_name(r->type));
    }
    print("        %lu MiB of RAM\n", (ram + (1 << 19)) >> 20);
}

/* The boot CPU asks, each of the others answers from its interrupt. */
void demo_smp(const char *arg)
{
    (void)arg;
    print("CPUs   ");
    for (unsigned cpu = 0; cpu < cpus.count; cpu++) {
        uint32_t before = answers;
        bool self = cpu == smp_self();

        if (!self)
            lapic_send(cpus.id[cpu], IRQ_ASSERT | VECTOR_ROLL_CALL);
        print(" %u:%s", cpu,
              self                          ? "here"
              : wait_for(answers != before) ? "yes"
                                            : "silent");
    }
    print("  (%u of %u run)\n", running, cpus.count);
}

void demo_ticks(const char *arg)
{
    (void)arg;
    print("Timer   %u ticks of the PIT at %u Hz so far\n", ticks, TICK_HZ);
}

static void start_timer(void)
{
    trap_set(VECTOR_TICK, on_tick);
    ioapic_route(cpus.pit_pin, VECTOR_TICK, lapic_id());
    pit_rate(PIT_HZ / TICK_HZ);
}

static void show_ticks(void)
{
    bool alive;

    sti();
    alive = wait_for(ticks >= FIRST_TICKS);
    cli();
    if (alive)
        demo_ticks(NULL);
    else
        print("Timer   only %u interrupts came: something is wrong\n", ticks);
}

void guest_main(void)
{
    print("\nHello from inside the virtual machine.\n\n");
    pic_silence();
    lapic_enable();
    cpus_find(&cpus);
    start_timer();
    demo_cpu(NULL);
    demo_mem(NULL);
    trap_set(VECTOR_ROLL_CALL, on_roll_call);
    running = smp_start_all(ap_idle);
    demo_smp(NULL);
    show_ticks();
    print("\nType help for commands. Ctrl-a x ends axvm-run at any time.\n");
    demo_prompt();
}

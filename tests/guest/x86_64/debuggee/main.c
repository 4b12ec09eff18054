/*
 * main.c - a guest for a debugger to look into: calls, loops, data, memory that
 * lies otherwise than its addresses say, and the modes of the CPU. It checks
 * itself and passes without a debugger as well.
 *
 * What it does after ready() is the order: do=NAME on the command line, or what
 * a debugger has set. Everything that tests refer to by name stays as it is.
 */
#include "guest.h"
#include "irq.h"
#include "trap.h"

/* By name, for the debugger. */
#define KEPT static __attribute__((noinline, used))
#define SEEN __attribute__((used, retain))

enum order {
    ORDER_PASS,  /* the tour, and the end with status 33 */
    ORDER_SPIN,  /* with interrupts off, until go_on is set */
    ORDER_SLEEP, /* cli; hlt for ever */
    ORDER_ECHO,  /* lines of the console, until one says "end" */
    ORDER_COUNT, /* count_for_ever, until go_on is set */
    ORDER_FAULT, /* triple fault */
    ORDER_RESET,
    ORDER_PANIC,
    ORDER_OFF,
};

/* ---- for the debugger to read and to set ---- */

volatile enum order order;
volatile unsigned visits_wanted = 1000, visits, last_visit, readies;
volatile bool go_on, with_ticks;
volatile uint64_t spins, ticks;
volatile uint32_t watched, watched_sum;

SEEN volatile uint8_t wide8 = 0x12;
SEEN volatile uint16_t wide16 = 0x3456;
SEEN volatile uint32_t wide32 = 0x789abcde;
SEEN volatile uint64_t wide64 = 0x0123456789abcdef;
SEEN volatile int8_t less8 = -8;
SEEN volatile int64_t less64 = -64000000000;
SEEN volatile uint32_t numbers[8] = {1, 1, 2, 3, 5, 8, 13, 21};
SEEN char words[32] = "some words";

struct node {
    struct node *next;
    uint16_t id;
    char name[6];
};
struct node last_node = {NULL, 2, "last"};
SEEN struct node first_node = {&last_node, 1, "first"};

/*
 * Pages that do not lie as their addresses say: at SPLIT two pages in reverse
 * order with nothing behind them, at FIXED the page of fixed_add without the
 * permission to write, at UPPER all of the first 512 GiB once more.
 */
#define SPLIT 0x80000000ULL
#define FIXED 0x80010000ULL
#define UPPER 0xffff800000000000ULL
enum { PAGE = 4096, PRESENT = 1, WRITABLE = 2, ENTRIES = 512 };

SEEN char *const split = (char *)SPLIT;
SEEN char *const nowhere = (char *)SPLIT + 2 * PAGE;
SEEN char *const upper = (char *)UPPER;

/* 1 MiB in which every word differs from its neighbours. */
enum { PATTERN_WORDS = 131072, PATTERN_BLOCK = 512 };
uint64_t pattern[PATTERN_WORDS] __attribute__((aligned(PAGE)));

/* XMM0 as store_xmm0 has found it. */
uint8_t stored_xmm0[16] __attribute__((aligned(16)));

extern uint64_t page_directory[2048];
extern const uint8_t low_image[], low_end[];
extern uint8_t low_start[];
uint32_t mode_trip(uint32_t val);

static uint8_t two_pages[2 * PAGE] __attribute__((aligned(PAGE)));
static uint64_t small_pages[ENTRIES] __attribute__((aligned(PAGE)));

/* ---- places to stop at ---- */

KEPT void ready(void)
{
    readies++;
}

KEPT void visit(unsigned i)
{
    last_visit = i;
    visits++;
}

KEPT void visit_all(void)
{
    for (unsigned i = 0; i < visits_wanted; i++)
        visit(i);
}

KEPT int chain_inner(int a, int b)
{
    int both = a * 10;

    both += b;
    return both;
}

KEPT int chain_middle(int a)
{
    int twice = a + a;
    int inner = chain_inner(twice, 3);

    return inner + 1;
}

KEPT int chain_outer(int a)
{
    int first = chain_middle(a);
    int second = chain_middle(first);

    return first + second;
}

KEPT unsigned factorial(unsigned n)
{
    unsigned below;

    if (n < 2)
        return 1;
    below = factorial(n - 1);
    return n * below;
}

/* One line that takes a while, and a loop of several lines. */
KEPT uint32_t long_line(uint32_t count)
{
    uint32_t sum = 7;

    for (uint32_t i = 0; i < count; sum = sum * 31 + i++)
        ;
    sum ^= 0x5a5a5a5a;
    return sum;
}

KEPT uint32_t short_lines(uint32_t count)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < count; i++) {
        sum += numbers[i % 8];
    }
    watched_sum = sum;
    return sum;
}

KEPT void touch_watched(void)
{
    watched = 17;
    watched_sum = 0;
    watched_sum += watched;
    watched = 42;
    watched_sum += watched;
}

/* Called at FIXED, too. */
KEPT __attribute__((section(".text.fixed"))) uint32_t fixed_add(uint32_t a,
                                                                uint32_t b)
{
    return a + b + 1;
}

KEPT void store_xmm0(void)
{
    __asm__ volatile("movups %%xmm0, %0" : "=m"(stored_xmm0));
}

/* Three instructions a round; count_loop is the first. */
KEPT void count_for_ever(void)
{
    __asm__ volatile("xorl %%eax, %%eax\n\t"
                     ".global count_loop\n"
                     "count_loop:\n\t"
                     "incq %%rax\n\t"
                     "cmpb $0, go_on\n\t"
                     "je count_loop"
                     :
                     :
                     : "rax", "cc", "memory");
}

KEPT void spin(void)
{
    while (!go_on)
        spins++;
}

/* ---- memory ---- */

static uint64_t frame(const void *at, unsigned flags)
{
    return (uint64_t)at | flags;
}

static void map_pages(void)
{
    uint64_t *pml4, *upper_half;
    uint64_t page = (uint64_t)fixed_add & ~(uint64_t)(PAGE - 1);

    small_pages[0] = frame(two_pages + PAGE, PRESENT | WRITABLE);
    small_pages[1] = frame(two_pages, PRESENT | WRITABLE);
    small_pages[(FIXED - SPLIT) / PAGE] = page | PRESENT;
    page_directory[SPLIT >> 21] = frame(small_pages, PRESENT | WRITABLE);
    __asm__ volatile("movq %%cr3, %0" : "=r"(pml4));
    upper_half = pml4 + ENTRIES / 2;
    *upper_half = *pml4;
    __asm__ volatile("movq %0, %%cr3" : : "r"(pml4) : "memory");
    for (unsigned i = 0; i < 2 * PAGE; i++)
        split[i] = "0123456789abcdef"[(i ^ i >> 4 ^ i >> 8) & 15];
    memcpy(split + PAGE - 8, "end and beginning", 18);
}

/* A block of other words each time; most of it by string instructions. */
static void fill_pattern(void)
{
    uint64_t val = 0x9e3779b97f4a7c15;

    for (unsigned i = 0; i < PATTERN_BLOCK; i++) {
        val = val * 6364136223846793005 + 1442695040888963407;
        pattern[i] = val;
    }
    for (unsigned i = PATTERN_BLOCK; i < PATTERN_WORDS; i += PATTERN_BLOCK) {
        memcpy(pattern + i, pattern, PATTERN_BLOCK * sizeof(*pattern));
        pattern[i] = i;
    }
}

static void check_memory(void)
{
    uint32_t (*fixed)(uint32_t a, uint32_t b);

    fixed = (void *)(FIXED + ((uint64_t)fixed_add & (PAGE - 1)));
    report(fixed_add(1, 2) == 4, "code where it is linked");
    report(fixed(3, 4) == 8, "code in a page that is read-only");
    report(!memcmp(two_pages + 2 * PAGE - 8, "end and ", 8) &&
               !memcmp(two_pages, "beginning", 9),
           "pages in reverse order");
    report(!memcmp(upper + (uint64_t)words, words, sizeof(words)),
           "the upper half");
}

/* ---- the orders ---- */

static const char *const order_names[] = {
    [ORDER_PASS] = "pass",   [ORDER_SPIN] = "spin",   [ORDER_SLEEP] = "sleep",
    [ORDER_ECHO] = "echo",   [ORDER_COUNT] = "count", [ORDER_FAULT] = "fault",
    [ORDER_RESET] = "reset", [ORDER_PANIC] = "panic", [ORDER_OFF] = "off",
};
enum { ORDERS = sizeof(order_names) / sizeof(order_names[0]) };

static void read_order(void)
{
    for (unsigned i = 0; i < ORDERS; i++)
        if (cmdline_is("do", order_names[i]))
            order = i;
}

static char read_char(void)
{
    while (!(in8(COM1 + 5) & 1))
        pause();
    return in8(COM1);
}

KEPT void echo_line(const char *line)
{
    print("echo: %s\n", line);
}

static void echo(void)
{
    static char line[64];
    unsigned len;
    char c;

    do {
        len = 0;
        while ((c = read_char()) != '\n')
            if (len + 1 < sizeof(line))
                line[len++] = c;
        line[len] = '\0';
        echo_line(line);
    } while (strcmp(line, "end"));
}

static void on_tick(struct trap_frame *frame)
{
    (void)frame;
    ticks++;
    lapic_eoi();
}

static void start_ticks(void)
{
    enum { VECTOR = 0x40, COUNT = 50000 };

    pic_silence();
    lapic_enable();
    trap_set(VECTOR, on_tick);
    lapic_timer(TIMER_PERIODIC | VECTOR, COUNT);
    sti();
    wait_for(ticks);
}

static void tour(void)
{
    report(mode_trip(0x5000) == 0x50ff, "through the modes of the CPU");
    if (with_ticks)
        start_ticks();
    report(chain_outer(4) == 84 + 1684, "calls");
    report(factorial(5) == 120, "recursion");
    report(long_line(300) == 0xb68b5447, "a line: 0x%x", long_line(300));
    report(short_lines(16) == 108, "lines");
    touch_watched();
    report(watched_sum == 59, "what is watched");
    visit_all();
    report(visits == visits_wanted, "%u visits", visits);
    store_xmm0();
    cli();
    report(!with_ticks || ticks > 0, "ticks");
}

static void obey(void)
{
    switch (order) {
    case ORDER_PASS:
        break;
    case ORDER_SPIN:
        spin();
        break;
    case ORDER_SLEEP:
        guest_stop();
    case ORDER_ECHO:
        echo();
        break;
    case ORDER_COUNT:
        count_for_ever();
        break;
    case ORDER_FAULT:
        guest_triple_fault();
    case ORDER_RESET:
        out8(0xcf9, 0x06);
        wait_for(false);
        break;
    case ORDER_PANIC:
        out8(0x505, 0x01);
        wait_for(false);
        break;
    case ORDER_OFF:
        guest_power_off();
    }
}

void guest_main(void)
{
    uint64_t cr4 = read_cr4() | 0x600; /* OSFXSR, OSXMMEXCPT */

    print("debuggee: hello\n");
    __asm__ volatile("movq %0, %%cr4" : : "r"(cr4));
    wrmsr(0xc0000102, 0x123456789abc); /* KernelGSbase */
    memcpy(low_start, low_image, low_end - low_start);
    map_pages();
    fill_pattern();
    read_order();
    ready();
    print("order: %s\n", order_names[order]);
    obey();
    check_memory();
    tour();
    print("debuggee: good bye\n");
}

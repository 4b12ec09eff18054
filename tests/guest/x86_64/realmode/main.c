/*
 * main.c - the CPU as it comes out of reset, in 16-bit real mode: segments,
 * interrupts through the vector table, ports, strings, HLT, and protected mode
 * without paging. Not built on the library, which is 64-bit.
 */
#include <stdbool.h>
#include <stdint.h>

enum { COM1 = 0x3f8, LSR = 5, LSR_THRE = 0x20, DEBUG_EXIT = 0xf4 };
enum { PIC1 = 0x20, PIC2 = 0xa0, PIT_DATA = 0x40, PIT_COMMAND = 0x43 };
enum { VECTOR_DIVIDE = 0, VECTOR_TIMER = 0x70 };
enum { FLAG_IF = 0x200, CR0_PE = 1, NOBODY = 0xabcc, FAR_RESULT = 0xfa4 };

extern const uint16_t entry_cs, entry_ds, entry_ss;
extern const uint32_t entry_flags, entry_cr0;
extern volatile uint32_t divide_count, timer_count;
extern const uint8_t isr_divide[], isr_timer[], far_target[];
uint32_t __attribute__((regparm(1))) protected_trip(uint32_t val);
void real_main(void);

static unsigned passed, failed;

static uint8_t in8(uint16_t port)
{
    uint8_t val;

    __asm__ volatile("inb %1, %0" : "=a"(val) : "Nd"(port));
    return val;
}

static void out8(uint16_t port, uint8_t val)
{
    __asm__ volatile("outb %0, %1" : : "a"(val), "Nd"(port));
}

static void put(char c)
{
    while (!(in8(COM1 + LSR) & LSR_THRE))
        ;
    out8(COM1, (uint8_t)c);
}

static void print(const char *text)
{
    for (; *text; text++) {
        if (*text == '\n')
            put('\r');
        put(*text);
    }
}

static void report(bool ok, const char *name)
{
    *(ok ? &passed : &failed) += 1;
    print(ok ? "PASS " : "FAIL ");
    print(name);
    print("\n");
}

/* At segment:offset, through ES. */
static void far_write(uint16_t segment, uint16_t off, uint32_t val)
{
    __asm__ volatile("movw %w0, %%es; movl %2, %%es:(%1); movw %w3, %%es"
                     :
                     : "r"(segment), "b"((uint32_t)off), "r"(val), "r"(0)
                     : "memory");
}

static uint32_t far_read(uint16_t segment, uint16_t off)
{
    uint32_t val;

    __asm__ volatile("movw %w1, %%es; movl %%es:(%2), %0; movw %w3, %%es"
                     : "=&r"(val)
                     : "r"(segment), "b"((uint32_t)off), "r"(0)
                     : "memory");
    return val;
}

static void vector_set(uint16_t vector, const uint8_t *handler)
{
    far_write(0, vector * 4, (uint32_t)handler);
}

static void check_entry(void)
{
    report(!(entry_cr0 & CR0_PE), "entered in real mode");
    report(!entry_cs && !entry_ds && !entry_ss, "every segment is 0");
    report(!(entry_flags & FLAG_IF) && (entry_flags & 2), "interrupts are off");
}

static void check_segments(void)
{
    uint32_t val;

    far_write(0x1000, 0x0010, 0x12345678);
    report(far_read(0x1001, 0x0000) == 0x12345678 &&
               far_read(0x0fff, 0x0020) == 0x12345678,
           "three segments see the same bytes");
    val = far_read(0, 0);
    far_write(0xffff, 0x0010, ~val);
    report(far_read(0, 0) == val && far_read(0xffff, 0x0010) == ~val,
           "the line A20 is open");
    __asm__ volatile("lcallw $0, $far_target" : "=a"(val) : : "memory");
    report(val == FAR_RESULT, "a far call returns");
}

/* No INT: a KVM that emulates this mode may spin on it for ever. */
static void check_exception(void)
{
    uint16_t low = 1, high = 0;

    vector_set(VECTOR_DIVIDE, isr_divide);
    __asm__ volatile("divw %w2"
                     : "+a"(low), "+d"(high)
                     : "c"(0)
                     : "cc", "memory");
    report(divide_count == 1, "#DE goes through the vector table");
}

static void check_strings(void)
{
    static uint8_t from[32], to[32];
    uint32_t si = (uint32_t)from, di = (uint32_t)to, cx = 32;
    bool same = true;

    for (unsigned i = 0; i < 32; i++)
        from[i] = i;
    __asm__ volatile("rep movsb" : "+S"(si), "+D"(di), "+c"(cx) : : "memory");
    for (unsigned i = 0; i < 32; i++)
        same &= to[i] == i;
    report(same && !cx, "REP MOVSB");
    di = (uint32_t)to;
    cx = 8;
    __asm__ volatile("rep insw" : "+D"(di), "+c"(cx) : "d"(NOBODY) : "memory");
    report(!cx && to[15] == 0xff && to[16] == 16, "REP INSW");
    si = (uint32_t) "[real mode, REP OUTSB]\n";
    cx = 23;
    __asm__ volatile("rep outsb" : "+S"(si), "+c"(cx) : "d"(COM1) : "memory");
    report(!cx, "REP OUTSB");
}

static bool pic_present(void)
{
    out8(PIC1 + 1, 0xa5);
    return in8(PIC1 + 1) == 0xa5;
}

/* Vectors from 0x70 on, all but the timer masked; the PIT at 500 Hz. */
static void check_timer(void)
{
    static const uint8_t init[][2] = {
        {PIC1, 0x11},        {PIC1 + 1, VECTOR_TIMER}, {PIC1 + 1, 4},
        {PIC1 + 1, 1},       {PIC2 + 1, 0xff},         {PIC1 + 1, 0xfe},
        {PIT_COMMAND, 0x34}, {PIT_DATA, 0x52},         {PIT_DATA, 0x09},
    };

    if (!pic_present()) {
        print("SKIP HLT and the timer: there is no 8259\n");
        return;
    }
    vector_set(VECTOR_TIMER, isr_timer);
    for (unsigned i = 0; i < sizeof(init) / sizeof(init[0]); i++)
        out8(init[i][0], init[i][1]);
    while (timer_count < 5)
        __asm__ volatile("sti; hlt; cli" : : : "memory");
    report(true, "HLT, ended by the timer");
    out8(PIC1 + 1, 0xff);
}

void real_main(void)
{
    check_entry();
    check_segments();
    check_exception();
    check_strings();
    report(protected_trip(0x89abcdef) == 0x89abcdef &&
               protected_trip(0x01234567) == 0x01234567,
           "protected mode without paging, and back");
    check_timer();
    print(failed ? "some failed\n" : "all passed\n");
    out8(DEBUG_EXIT, failed || !passed ? 0x11 : 0x10);
}

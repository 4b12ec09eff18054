/*
 * prompt.c - the demo guest's prompt: lines from the UART's receive interrupt,
 * with the editing one expects, and the commands.
 */
#include "demo.h"

#include "irq.h"
#include "trap.h"

enum { VECTOR_INPUT = 0x32, UART_PIN = 4, IER = 1, LSR = 5 };
enum { IER_RX = 0x01, LSR_DR = 0x01 };
enum { RING = 256, LINE = 80, PEEK_BYTES = 16 };
enum { CTRL_C = 0x03, CTRL_U = 0x15, BACKSPACE = 0x08, DELETE = 0x7f };

/* Written by the interrupt alone (head) and by the prompt alone (tail). */
static volatile uint8_t ring[RING];
static volatile unsigned head, tail;

static void on_input(struct trap_frame *frame)
{
    (void)frame;
    while (in8(COM1 + LSR) & LSR_DR) {
        uint8_t byte = in8(COM1);

        if (head - tail < RING)
            ring[head++ % RING] = byte;
    }
    lapic_eoi();
}

/* Sleeps until there is a byte. */
static uint8_t get_byte(void)
{
    uint8_t byte;

    for (cli(); head == tail; cli())
        sti_hlt();
    byte = ring[tail % RING];
    tail++;
    sti();
    return byte;
}

static void rub_out(unsigned count)
{
    while (count--)
        print("\b \b");
}

static void read_line(char line[LINE])
{
    unsigned len = 0;

    for (;;) {
        uint8_t c = get_byte();

        if (c == '\r' || c == '\n') {
            break;
        } else if (c == CTRL_C) {
            print("^C");
            len = 0;
            break;
        } else if (c == CTRL_U) {
            rub_out(len);
            len = 0;
        } else if ((c == BACKSPACE || c == DELETE) && len) {
            rub_out(1);
            len--;
        } else if (c >= ' ' && c < DELETE && len + 1 < LINE) {
            line[len++] = (char)c;
            console_put((char)c);
        }
    }
    line[len] = '\0';
    print("\n");
}

static void peek_bytes(void *arg)
{
    const uint8_t *at = arg;
    uint8_t bytes[PEEK_BYTES];

    memcpy(bytes, at, sizeof(bytes));
    print("%08lx ", (uint64_t)at);
    for (unsigned i = 0; i < PEEK_BYTES; i++)
        print(" %02x", bytes[i]);
    print("  ");
    for (unsigned i = 0; i < PEEK_BYTES; i++)
        console_put(bytes[i] >= ' ' && bytes[i] < DELETE ? bytes[i] : '.');
    print("\n");
}

/* The command's number is hexadecimal, with or without 0x. */
static bool parse_hex(const char *text, uint64_t *out)
{
    static const char digits[] = "0123456789abcdef";

    if (text[0] == '0' && (text[1] | 0x20) == 'x')
        text += 2;
    if (!*text)
        return false;
    for (*out = 0; *text; text++) {
        char c = *text >= 'A' && *text <= 'F' ? *text | 0x20 : *text;
        unsigned val = 0;

        while (val < 16 && digits[val] != c)
            val++;
        if (val == 16 || *out >> 60)
            return false;
        *out = *out << 4 | val;
    }
    return true;
}

static void cmd_peek(const char *arg)
{
    uint64_t addr;

    if (!parse_hex(arg, &addr))
        print("peek ADDR: a hexadecimal address, such as 100000\n");
    else if (trap_try(peek_bytes, (void *)addr) != TRAP_NONE)
        print("%lx is not mapped: a page fault (this guest maps 4 GiB)\n",
              addr);
}

static void cmd_fault(const char *arg)
{
    (void)arg;
    print("Dividing by zero without an interrupt table: a triple fault.\n"
          "axvm-run now reports the crash and ends with status 6.\n");
    guest_triple_fault();
}

static void cmd_poweroff(const char *arg)
{
    (void)arg;
    print("Good bye.\n");
    guest_power_off();
}

static void cmd_help(const char *arg);

static const struct command {
    const char *name, *help;
    void (*run)(const char *arg);
} commands[] = {
    {"help", "this list", cmd_help},
    {"cpu", "the processor, as CPUID tells it", demo_cpu},
    {"mem", "the memory map", demo_mem},
    {"smp", "ask every CPU by an interrupt whether it is there", demo_smp},
    {"ticks", "timer interrupts so far", demo_ticks},
    {"peek", "ADDR: 16 bytes of memory or of a device", cmd_peek},
    {"fault", "crash on purpose, to see axvm-run's report", cmd_fault},
    {"poweroff", "end, with status 0", cmd_poweroff},
};

enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static void cmd_help(const char *arg)
{
    (void)arg;
    for (unsigned i = 0; i < COMMANDS; i++)
        print("%-9s %s\n", commands[i].name, commands[i].help);
}

/* Splits the line at its first blank. */
static char *split(char *line)
{
    char *arg = line;

    while (*arg && *arg != ' ')
        arg++;
    if (*arg)
        *arg++ = '\0';
    while (*arg == ' ')
        arg++;
    return arg;
}

static void run_line(char *line)
{
    char *arg;

    while (*line == ' ')
        line++;
    if (!*line)
        return;
    arg = split(line);
    for (unsigned i = 0; i < COMMANDS; i++)
        if (!strcmp(commands[i].name, line)) {
            commands[i].run(arg);
            return;
        }
    print("%s: no such command, try help\n", line);
}

void demo_prompt(void)
{
    char line[LINE];

    trap_set(VECTOR_INPUT, on_input);
    ioapic_route(UART_PIN, VECTOR_INPUT, lapic_id());
    out8(COM1 + IER, IER_RX);
    for (;;) {
        print("demo> ");
        read_line(line);
        run_line(line);
    }
}

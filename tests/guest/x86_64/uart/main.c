/*
 * main.c - the 16550: scratch, divisor, loopback, its interrupts; then an echo:
 * with lines=N on the command line it reads N lines by interrupt and sends
 * each back by interrupt.
 */
#include "guest.h"
#include "irq.h"
#include "trap.h"

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR, FCR = IIR };
enum { IER_RX = 0x01, IER_TX = 0x02, LCR_8N1 = 0x03, LCR_DLAB = 0x80 };
enum { MCR_USUAL = 0x0b, MCR_LOOP = 0x10, LSR_DR = 0x01, LSR_THRE = 0x20 };
enum { LSR_IDLE = 0x40 };
enum { IIR_NONE = 0x01, IIR_TX = 0x02, IIR_RX = 0x04, IIR_CAUSE = 0x0f };
enum { VECTOR = 0x44, PIN = 4, LINE = 128 };

static volatile uint32_t interrupts, received, sent;
static volatile uint8_t line[LINE];
static volatile bool complete;

static uint8_t get(unsigned reg)
{
    return in8(COM1 + reg);
}

static void put(unsigned reg, uint8_t val)
{
    out8(COM1 + reg, val);
}

static void receive(void)
{
    while (!complete && (get(LSR) & LSR_DR)) {
        uint8_t byte = get(DATA);

        if (received < LINE - 1)
            line[received++] = byte;
        complete = byte == '\n' || byte == '\r';
    }
    if (complete)
        put(IER, 0); /* the rest stays with the host until it is asked for */
}

static void transmit(void)
{
    if (sent < received)
        put(DATA, line[sent++]);
    else
        put(IER, 0);
}

static void on_uart(struct trap_frame *frame)
{
    uint8_t cause = get(IIR) & IIR_CAUSE;

    (void)frame;
    interrupts++;
    if (cause == IIR_RX || cause == 0x0c)
        receive();
    else if (cause == IIR_TX)
        transmit();
    lapic_eoi();
}

static void check_registers(void)
{
    bool kept = true, latched;

    for (unsigned i = 0; i < 256; i += 17) {
        put(SCR, i);
        kept &= get(SCR) == i;
    }
    report(kept, "scratch register");
    put(LCR, LCR_8N1 | LCR_DLAB);
    put(DATA, 0x0c);
    put(IER, 0x00);
    latched = get(DATA) == 0x0c && get(IER) == 0;
    put(LCR, LCR_8N1);
    report(latched, "divisor latch");
    report(get(LCR) == LCR_8N1, "line control");
    put(IER, 0xff);
    report((get(IER) & 0xf0) == 0, "IER has four bits");
    put(IER, 0);
    put(FCR, 0x00);
    report((get(IIR) & 0xc0) == 0x00, "FIFOs off");
    put(FCR, 0x07);
    report((get(IIR) & 0xc0) == 0xc0, "FIFOs on");
    report((get(IIR) & IIR_CAUSE) == IIR_NONE, "no interrupt pending");
}

/* Nothing can be printed while the line is cut off. */
static void check_loopback(void)
{
    bool up, down, same = true;

    while (!(get(LSR) & LSR_IDLE))
        pause();
    put(MCR, MCR_LOOP | 0x0a);
    up = (get(MSR) & 0xf0) == 0x90;
    put(MCR, MCR_LOOP | 0x05);
    down = (get(MSR) & 0xf0) == 0x60;
    for (unsigned i = 0; i < 16; i++) {
        wait_for(get(LSR) & LSR_THRE);
        put(DATA, 0xa0 + i);
    }
    for (unsigned i = 0; i < 16; i++) {
        wait_for(get(LSR) & LSR_DR);
        same &= get(DATA) == 0xa0 + i;
    }
    same &= !(get(LSR) & LSR_DR);
    put(MCR, MCR_USUAL);
    report(up, "loopback: RTS and OUT2 come back");
    report(down, "loopback: DTR and OUT1 come back");
    report(same, "loopback: 16 bytes, in order");
    report((get(MSR) & 0xb0) == 0xb0, "the line is up");
}

static void check_interrupt(void)
{
    interrupts = sent = received = 0;
    put(IER, IER_TX);
    sti();
    report(wait_for(interrupts == 1 && get(IER) == 0),
           "an idle transmitter interrupts");
    cli();
}

static void echo_line(void)
{
    received = sent = 0;
    complete = false;
    put(IER, IER_RX);
    while (!complete)
        sti_hlt();
    report(true, "a line of %u bytes arrived by interrupt", received);
    print("echo: ");
    put(IER, IER_TX);
    wait_for(sent == received && get(IER) == 0);
    cli();
    report(sent == received, "and left by interrupt");
}

void guest_main(void)
{
    unsigned lines = cmdline_number("lines", 0);

    check_registers();
    check_loopback();
    console_init();
    pic_silence();
    lapic_enable();
    trap_set(VECTOR, on_uart);
    ioapic_route(PIN, VECTOR, lapic_id());
    check_interrupt();
    print("ready for %u lines\n", lines);
    for (unsigned i = 0; i < lines; i++)
        echo_line();
}

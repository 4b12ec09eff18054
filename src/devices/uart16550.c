/*
 * uart16550.c - National 16550A, register by register (data sheet PC16550D).
 *
 * Bytes pass through the console at once, so the transmitter is always idle,
 * and the receive FIFO is as deep as the console's ring: it neither overruns
 * nor is it emptied by FCR, which would lose what the host has typed ahead. In
 * loopback the line is cut off from the console, and a FIFO of our own takes
 * what is sent. Not modelled: line errors, and OUT2 as the gate of the
 * interrupt, which small guests do not open.
 */
#include "devices/console.h"
#include "devices/device.h"
#include "devices/registry.h"

#include <string.h>

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR, DLL, DLM, REGS, FCR = IIR };
enum { IER_RX = 0x01, IER_TX = 0x02, IER_MODEM = 0x08 };
enum { FCR_ON = 0x01, FCR_CLEAR_RX = 0x02, LCR_DLAB = 0x80 };
enum { IIR_NONE = 0x01, IIR_RX = 0x04, IIR_TX = 0x02, IIR_MODEM = 0x00 };
enum { IIR_FIFO = 0xc0, LSR_DR = 0x01, LSR_TX_IDLE = 0x60 };
enum { MCR_DTR = 0x01, MCR_RTS = 0x02, MCR_OUTS = 0x0c, MCR_LOOP = 0x10 };
enum { MSR_CTS = 0x10, MSR_DSR = 0x20, MSR_RI = 0x40, MSR_DCD = 0x80 };
enum { LOOP_BYTES = 16, PORTS = 8 };

static const uint8_t writable[REGS] = {
    [IER] = 0x0f, [FCR] = FCR_ON, [LCR] = 0xff, [MCR] = 0x1f,
    [SCR] = 0xff, [DLL] = 0xff,   [DLM] = 0xff,
};

struct uart {
    struct ax_device dev;
    uint8_t reg[REGS];
    uint8_t changed; /* low half of MSR: inputs that moved since it was read */
    bool tx_news;    /* ran empty, and IIR has not told the guest yet */
    uint8_t loop[LOOP_BYTES];
    unsigned looped; /* bytes in loop, the oldest first */
};

/* The divisor latch bit swaps DATA and IER for the divisor's two bytes. */
static uint64_t uart_select(const struct uart *u, uint64_t off)
{
    return off <= IER && (u->reg[LCR] & LCR_DLAB) ? off + DLL : off;
}

/* The modem's outputs, or in loopback our own: RTS DTR OUT1 OUT2 in order. */
static uint8_t uart_inputs(const struct uart *u)
{
    uint8_t mcr = u->reg[MCR];

    if (!(mcr & MCR_LOOP))
        return MSR_CTS | MSR_DSR | MSR_DCD;
    return (mcr & MCR_RTS ? MSR_CTS : 0) | (mcr & MCR_DTR ? MSR_DSR : 0) |
           (uint8_t)((mcr & MCR_OUTS) << 4);
}

static bool uart_ready(const struct uart *u)
{
    return u->reg[MCR] & MCR_LOOP ? u->looped
                                  : ax_console_ready(u->dev.env.console);
}

static uint8_t uart_receive(struct uart *u)
{
    uint8_t byte;

    if (!(u->reg[MCR] & MCR_LOOP))
        return ax_console_get(u->dev.env.console);
    if (!u->looped)
        return 0;
    byte = u->loop[0];
    memmove(u->loop, u->loop + 1, --u->looped);
    return byte;
}

static void uart_send(struct uart *u, uint8_t byte)
{
    unsigned room = u->reg[FCR] & FCR_ON ? LOOP_BYTES : 1;

    if (!(u->reg[MCR] & MCR_LOOP))
        ax_console_put(u->dev.env.console, byte);
    else if (u->looped < room)
        u->loop[u->looped++] = byte;
    u->tx_news = true;
}

/* The most urgent reason to interrupt that IER lets through. */
static uint8_t uart_cause(const struct uart *u)
{
    uint8_t ier = u->reg[IER];

    if ((ier & IER_RX) && uart_ready(u))
        return IIR_RX;
    if ((ier & IER_TX) && u->tx_news)
        return IIR_TX;
    return (ier & IER_MODEM) && u->changed ? IIR_MODEM : IIR_NONE;
}

static void uart_poll(struct ax_device *dev)
{
    struct uart *u = ax_container_of(dev, struct uart, dev);

    ax_irq_set(&dev->env.irq, uart_cause(u) != IIR_NONE);
}

static uint8_t uart_identify(struct uart *u)
{
    uint8_t cause = uart_cause(u);

    if (cause == IIR_TX)
        u->tx_news = false; /* reading acknowledges it, and it alone */
    return cause | (u->reg[FCR] & FCR_ON ? IIR_FIFO : 0);
}

static uint8_t uart_modem_status(struct uart *u)
{
    uint8_t val = uart_inputs(u) | u->changed;

    u->changed = 0;
    return val;
}

static uint64_t uart_read(struct ax_device *dev, uint64_t off, unsigned width)
{
    struct uart *u = ax_container_of(dev, struct uart, dev);
    uint64_t n = uart_select(u, off);
    uint8_t val = u->reg[n];

    if (n == DATA)
        val = uart_receive(u);
    else if (n == IIR)
        val = uart_identify(u);
    else if (n == LSR)
        val = LSR_TX_IDLE | (uart_ready(u) ? LSR_DR : 0);
    else if (n == MSR)
        val = uart_modem_status(u);
    uart_poll(dev);
    return val;
}

/* RI reports its falling edge, the other inputs both. */
static void uart_set_modem(struct uart *u, uint8_t mcr)
{
    uint8_t before = uart_inputs(u), moved;

    u->reg[MCR] = mcr;
    moved = before ^ uart_inputs(u);
    u->changed |= (moved & (before | ~MSR_RI)) >> 4;
    if (!(mcr & MCR_LOOP))
        u->looped = 0;
}

static void uart_write(struct ax_device *dev, uint64_t off, unsigned width,
                       uint64_t val)
{
    struct uart *u = ax_container_of(dev, struct uart, dev);
    uint64_t n = uart_select(u, off);
    uint8_t now = val & writable[n];

    if (n == DATA)
        uart_send(u, (uint8_t)val);
    else if (n == IER && (now & ~u->reg[IER] & IER_TX))
        u->tx_news = true; /* enabling the interrupt reports an idle line */
    else if (n == FCR && ((val & FCR_CLEAR_RX) || now != u->reg[FCR]))
        u->looped = 0;
    else if (n == MCR)
        uart_set_modem(u, now);
    if (writable[n])
        u->reg[n] = now;
    uart_poll(dev);
}

static void uart_reset(struct ax_device *dev)
{
    struct uart *u = ax_container_of(dev, struct uart, dev);

    memset(u->reg, 0, sizeof(u->reg));
    u->changed = 0;
    u->tx_news = false;
    u->looped = 0;
    uart_poll(dev);
}

const struct ax_device_ops ax_uart16550 = {
    .type = "uart16550",
    .compatible = "ns16550a",
    .state = sizeof(struct uart),
    .size = PORTS,
    .widths = AX_WIDTH_1,
    .read = uart_read,
    .write = uart_write,
    .reset = uart_reset,
    .poll = uart_poll,
};

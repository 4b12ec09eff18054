/*
 * fuzz_devices.c - a guest and a host that do anything to every model.
 *
 * The input is a list of operations: one byte each for what and to which model,
 * then its operands. Models sit on a real bus, interrupt lines end at the
 * I/O APIC, the console and the clock are fakes, so a run depends on its input
 * alone. Whatever happens, reads fit their width, messages go to local APICs,
 * and nothing is left locked or allocated.
 */
#include "devices/bus.h"
#include "devices/loop.h"
#include "devices/pci.h"
#include "devices/registry.h"
#include "fake/clock.h"
#include "fake/console.h"
#include "fuzz/input.h"

#include <errno.h>
#include <string.h>

#define MODEL(name) &ax_##name,

static const struct ax_device_ops *const models[] = {AX_DEVICE_MODELS(MODEL)};

enum { MODELS = AX_ARRAY_LEN(models), SPACING = 0x40000 };
enum { READ, WRITE, LINE, EOI, POLL, RESET, BUTTON, ADVANCE, TYPE, OPERATIONS };

struct board {
    struct ax_bus bus;
    struct ax_pci pci; /* with nothing on it: fuzz_virtio_pci.c has functions */
    struct ax_loop *loop;
    struct ax_console *console;
    struct ax_device *devices[MODELS];
    struct ax_device *ioapic;
};

static void on_irq(void *ctx, unsigned line, bool level)
{
    struct board *board = ctx;

    if (board->ioapic)
        ax_device_line(board->ioapic, line, level);
}

static void on_send(void *ctx, uint64_t address, uint32_t data)
{
    require((address & ~UINT64_C(0xffffc)) == 0xfee00000);
    require(!(data & ~0xc7ffU));
}

static void on_route(void *ctx, unsigned pin, uint64_t address, uint32_t data,
                     bool masked)
{
    require(pin < 24);
    on_send(ctx, address, data);
}

static void on_power(void *ctx, enum ax_power_event event, uint64_t code)
{
    require(event <= AX_POWER_EXIT);
    require(event == AX_POWER_EXIT || !code);
}

static struct ax_device *board_find(const struct board *board, const char *type)
{
    for (unsigned i = 0; i < MODELS; i++) {
        if (board->devices[i] && !strcmp(models[i]->type, type))
            return board->devices[i];
    }
    return NULL;
}

static void board_add(struct board *board, unsigned i)
{
    struct ax_device_env env = {
        .irq = {.set = on_irq, .ctx = board, .line = i},
        .power = {.request = on_power, .ctx = board},
        .apic = {.route = on_route, .send = on_send, .ctx = board},
        .console = board->console,
        .loop = board->loop,
        .pci = &board->pci,
    };
    int err;

    if (board->devices[i])
        return;
    if (models[i]->extends) {
        for (unsigned peer = 0; peer < MODELS; peer++) {
            if (!strcmp(models[peer]->type, models[i]->extends))
                board_add(board, peer);
        }
        env.peer = board_find(board, models[i]->extends);
    }
    err = ax_device_create(models[i], AX_SPACE_MMIO, (uint64_t)i * SPACING,
                           &env, &board->devices[i]);
    if (err == -EINVAL)
        return; /* it needs a configuration, and has a target of its own */
    require(!err);
    require(!ax_bus_attach(&board->bus, board->devices[i]));
}

static void board_access(struct board *board, unsigned i, bool write,
                         struct input *in)
{
    /* A little beyond the end as well: the bus must refuse that. */
    uint64_t off = input_take(in, 2) % (models[i]->size + 8);
    unsigned width = 1U << input_take(in, 1) % 4;
    uint64_t data = write ? input_take(in, width) : 0;
    bool taken = ax_bus_access(&board->bus, write, (uint64_t)i * SPACING + off,
                               width, &data);

    require(taken ==
            (off + width <= models[i]->size && (models[i]->widths & width)));
    require(width == 8 || !(data >> width * 8));
    require(taken || write || data == UINT64_MAX >> (64 - width * 8));
}

static void board_operate(struct board *board, struct input *in)
{
    unsigned what = (unsigned)input_take(in, 1) % OPERATIONS;
    unsigned i = (unsigned)input_take(in, 1) % MODELS;
    struct ax_device *dev = board->devices[i];
    char text[2] = {0};
    uint64_t number;

    if (!dev)
        return;

    switch (what) {
    case READ:
    case WRITE:
        board_access(board, i, what == WRITE, in);
        break;
    case LINE:
        number = input_take(in, 1);
        ax_device_line(dev, (unsigned)number, input_take(in, 1) & 1);
        break;
    case EOI:
        ax_device_eoi(dev, (unsigned)input_take(in, 1));
        break;
    case POLL:
        ax_device_poll(dev);
        break;
    case RESET:
        ax_device_reset(dev);
        break;
    case BUTTON:
        ax_device_power_button(dev);
        break;
    case ADVANCE:
        /* A number and its scale: from a nanosecond to weeks. */
        number = input_take(in, 2);
        fake_clock_advance(number << input_take(in, 1) % 36);
        break;
    case TYPE:
        text[0] = (char)input_take(in, 1);
        fake_console_type(board->console, text);
        break;
    default:
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct board board = {0};

    fake_clock_set(UINT64_C(1700000000000000000), UINT64_C(5000000000));
    board.console = fake_console_create();
    require(!ax_loop_create(&board.loop));
    ax_bus_init(&board.bus, AX_SPACE_MMIO);
    for (unsigned i = 0; i < MODELS; i++)
        board_add(&board, i);
    board.ioapic = board_find(&board, "ioapic");
    while (in.size)
        board_operate(&board, &in);
    board.ioapic = NULL;
    /* Extensions go before what they extend. */
    for (unsigned i = MODELS; i-- > 0;) {
        if (models[i]->extends)
            ax_device_destroy(board.devices[i]);
    }
    for (unsigned i = MODELS; i-- > 0;) {
        if (!models[i]->extends)
            ax_device_destroy(board.devices[i]);
    }
    ax_loop_destroy(board.loop);
    fake_console_destroy(board.console);
    fake_clock_set(0, 0);
    return 0;
}

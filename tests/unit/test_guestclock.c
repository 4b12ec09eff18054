/*
 * test_guestclock.c - guest time that stands still, against a clock that the
 * test moves; and with the true one, that no reader ever sees it go back.
 */
#include "devices/guestclock.h"

#include "devices/clock.h"
#include "fake/clock.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>

enum { START = 1000000000 };

static struct ax_clock guest;

static void setup(void)
{
    fake_clock_set(1, START);
}

TestSuite(guestclock, .init = setup);

Test(guestclock, begins_as_the_hosts)
{
    cr_assert_eq(ax_clock_guest_ns(&guest), START);
    fake_clock_advance(12345);
    cr_assert_eq(ax_clock_guest_ns(&guest), START + 12345);
}

Test(guestclock, no_clock_is_the_hosts)
{
    cr_assert_eq(ax_clock_guest_ns(NULL), START);
    fake_clock_advance(500000000);
    cr_assert_eq(ax_clock_guest_ticks(NULL, 1000), 1500);
}

Test(guestclock, stands_still_and_goes_on_from_there)
{
    ax_clock_stop(&guest);
    fake_clock_advance(5000);
    cr_assert_eq(ax_clock_guest_ns(&guest), START);
    cr_assert_eq(ax_clock_go(&guest), 5000);
    cr_assert_eq(ax_clock_guest_ns(&guest), START);
    fake_clock_advance(7);
    cr_assert_eq(ax_clock_guest_ns(&guest), START + 7);
}

Test(guestclock, each_stop_counts_for_itself)
{
    for (uint64_t i = 1; i <= 3; i++) {
        ax_clock_stop(&guest);
        fake_clock_advance(1000 * i);
        cr_assert_eq(ax_clock_go(&guest), 1000 * i);
        fake_clock_advance(10);
        cr_assert_eq(ax_clock_guest_ns(&guest), START + 10 * i);
    }
}

Test(guestclock, twice_is_once)
{
    cr_assert_eq(ax_clock_go(&guest), 0, "it goes already");
    ax_clock_stop(&guest);
    fake_clock_advance(1000);
    ax_clock_stop(&guest);
    fake_clock_advance(1000);
    cr_assert_eq(ax_clock_guest_ns(&guest), START);
    cr_assert_eq(ax_clock_go(&guest), 2000);
    fake_clock_advance(1);
    cr_assert_eq(ax_clock_go(&guest), 0);
    cr_assert_eq(ax_clock_guest_ns(&guest), START + 1);
}

Test(guestclock, ticks_follow_guest_time)
{
    enum { HZ = 3579545 };

    ax_clock_stop(&guest);
    fake_clock_advance(3600000000000);
    cr_assert_eq(ax_clock_guest_ticks(&guest, HZ), HZ);
    ax_clock_go(&guest);
    fake_clock_advance(2 * UINT64_C(1000000000) - 1);
    cr_assert_eq(ax_clock_guest_ticks(&guest, HZ), 3 * HZ - 1, "rounded down");
    fake_clock_advance(1);
    cr_assert_eq(ax_clock_guest_ticks(&guest, HZ), 3 * HZ);
}

/* ---- with the true time: a reader while others stop it and let it go ---- */

enum { ROUNDS = 20000, READERS = 2 };

struct reader {
    pthread_t thread;
    atomic_bool *done;
    uint64_t reads;
    bool back;
};

static void *reader_thread(void *ctx)
{
    struct reader *r = ctx;
    uint64_t last = 0;

    while (!atomic_load(r->done)) {
        uint64_t now = ax_clock_guest_ns(&guest);

        r->back |= now < last;
        last = now;
        r->reads++;
    }
    return NULL;
}

Test(guestclock, never_goes_back)
{
    struct reader readers[READERS] = {{0}};
    uint64_t began, spent, stood = 0, guest_began;
    atomic_bool done = false;

    fake_clock_set(0, 0);
    guest_began = ax_clock_guest_ns(&guest);
    began = ax_clock_now_ns();
    for (unsigned i = 0; i < READERS; i++) {
        readers[i].done = &done;
        cr_assert_eq(pthread_create(&readers[i].thread, NULL, reader_thread,
                                    &readers[i]),
                     0);
    }
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t before = ax_clock_guest_ns(&guest), at;

        ax_clock_stop(&guest);
        at = ax_clock_guest_ns(&guest);
        cr_assert_geq(at, before);
        cr_assert_eq(ax_clock_guest_ns(&guest), at);
        stood += ax_clock_go(&guest);
        cr_assert_geq(ax_clock_guest_ns(&guest), at);
    }
    atomic_store(&done, true);
    for (unsigned i = 0; i < READERS; i++) {
        pthread_join(readers[i].thread, NULL);
        cr_assert_not(readers[i].back, "a reader saw it go back");
    }
    spent = ax_clock_now_ns() - began;
    cr_assert_gt(stood, 0);
    cr_assert_geq(ax_clock_guest_ns(&guest) - guest_began + stood, spent);
}

/* Any bytes into both ends of a leg: used bytes never exceed what was given, and an ended leg stays
 * ended. */
#include <stdlib.h>

#include "tunnel/leg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int swallow(void *ctx, struct slice plain)
{
    (void)ctx, (void)plain;
    return 0;
}

static void on_open(void *arg, const struct frame_open *open)
{
    (void)open;
    if (leg_send_accept(arg)) {
        abort();
    }
}

static void nothing(void *arg)
{
    (void)arg;
}

static void code(void *arg, uint8_t c)
{
    (void)arg, (void)c;
}

static bool data_in(void *arg, struct slice data)
{
    (void)arg;
    return data.n != 7; /* sometimes there is no room */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct leg_ops ops = {on_open, nothing, code, data_in, nothing, code};
    for (int role = LEG_RELAY; role <= LEG_AGENT; role++) {
        struct leg l;
        bool bad;
        leg_init(&l, (enum leg_role)role, (struct seal){swallow, NULL}, &ops, &l);
        struct frame_open open = {.connection = 1, .name = S("a"), .hello = S("h")};
        if (role == LEG_RELAY && leg_send_open(&l, &open)) {
            abort();
        }
        if (leg_input(&l, slice_of(data, size), &bad) > size) {
            abort();
        }
        leg_deinit(&l);
    }
    return 0;
}

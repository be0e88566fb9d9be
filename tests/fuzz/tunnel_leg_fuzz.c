/* Any bytes, in any pieces, into both ends of a leg: nothing after the end, nothing after EOF,
 * accounts that add up. */
#include <errno.h>
#include <stdlib.h>

#include "tunnel/leg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct side {
    struct leg leg;
    size_t got;
    bool eof, over;
};

static void alive(struct side *s)
{
    if (s->over || s->eof) {
        abort();
    }
}

static int swallow(void *ctx, struct slice plain)
{
    (void)ctx;
    return plain.n % 5 == 4 ? BUF_FULL : 0;
}

static void on_open(void *arg, const struct frame_open *open)
{
    struct side *s = arg;
    alive(s);
    if (leg_send_accept(&s->leg) == 0 && (!open->name.n || s->leg.state != LEG_FLOWING)) {
        abort();
    }
}

static void on_accept(void *arg)
{
    alive(arg);
}

static void on_end(void *arg, uint8_t code)
{
    (void)code;
    ((struct side *)arg)->over = true;
}

static bool on_data(void *arg, struct slice data)
{
    struct side *s = arg;
    alive(s);
    s->got += data.n == 7 ? 0 : data.n;
    return data.n != 7; /* sometimes there is no room */
}

static void on_eof(void *arg)
{
    alive(arg);
    ((struct side *)arg)->eof = true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct leg_ops ops = {on_open, on_accept, on_end, on_data, on_eof, on_end};
    for (int role = LEG_RELAY; role <= LEG_AGENT; role++) {
        struct side s = {.got = 0};
        bool bad = false;
        leg_init(&s.leg, (enum leg_role)role, (struct seal){swallow, NULL}, &ops, &s);
        struct frame_open open = {.connection = 1, .name = S("a"), .hello = S("h")};
        if (role == LEG_RELAY && leg_send_open(&s.leg, &open) == -EPROTO) {
            abort();
        }
        for (size_t used = 0, end = size / 3; !bad && end <= size; end += size / 3 + 1) {
            size_t took = leg_input(&s.leg, slice_of(data + used, end - used), &bad);
            if (took > end - used || s.got != s.leg.bytes_in) {
                abort();
            }
            used += took;
        }
        leg_deinit(&s.leg);
    }
    return 0;
}

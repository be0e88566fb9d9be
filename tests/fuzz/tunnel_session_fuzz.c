/* Any bytes into both ends of a session: no message before the greeting, none after the end. */
#include <stdlib.h>

#include "tunnel/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int swallow(void *ctx, struct slice plain)
{
    (void)ctx, (void)plain;
    return 0;
}

static void up(void *arg)
{
    if (((struct session *)arg)->state != SESSION_UP) {
        abort();
    }
}

static void on_hello(void *arg, const struct frame_hello *h)
{
    struct frame_welcome w = {.version = TUNNEL_VERSION};
    if (h->token.n % 2 ? session_send_bye(arg, END_TOKEN, "") : session_send_welcome(arg, &w)) {
        abort();
    }
}

static void on_welcome(void *arg, const struct frame_welcome *w)
{
    (void)w;
    up(arg);
}

static void on_legs(void *arg, uint16_t more)
{
    (void)more;
    up(arg);
}

static void on_closed(void *arg, const struct frame_closed *closed)
{
    (void)closed;
    up(arg);
}

static void on_drain(void *arg, uint32_t seconds)
{
    (void)seconds;
    up(arg);
}

static void on_bye(void *arg, uint8_t reason, struct slice text)
{
    (void)reason, (void)text;
    if (((struct session *)arg)->state != SESSION_ENDED) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct session_ops ops = {on_hello,  on_welcome, on_legs,
                                           on_closed, on_drain,   on_bye};
    for (int role = SESSION_RELAY; role <= SESSION_AGENT; role++) {
        struct session s;
        bool bad;
        struct mono now = {SECONDS(100)};
        session_init(&s, (enum session_role)role, (struct seal){swallow, NULL}, &ops, &s, now);
        struct frame_hello h = {.version = TUNNEL_VERSION};
        if (role == SESSION_AGENT && session_send_hello(&s, &h)) {
            abort();
        }
        if (session_input(&s, now, slice_of(data, size), &bad) > size ||
            session_tick(&s, now) == SESSION_SILENT) {
            abort();
        }
    }
    return 0;
}

#pragma once
/*
 * One leg: the frames that carry one visitor, as a state machine without sockets. The sealed
 * channel below it is behind struct seal, so that what seals (TLS now) can change without this
 * file. Both ends use it.
 *
 *   relay: parked -> opening (OPEN sent) -> flowing (ACCEPT) | refused
 *   agent: parked -> opened  (OPEN read) -> flowing (ACCEPT sent)
 *   flowing: each direction ends by EOF; RESET ends both
 */
#include "tunnel/frame.h"

/* The channel: write seals and sends plaintext, all or nothing: 0, BUF_FULL (try after it drained),
 * -errno. */
struct seal {
    int (*write)(void *ctx, struct slice plain);
    void *ctx;
};

enum leg_role { LEG_RELAY, LEG_AGENT };

enum leg_state { LEG_PARKED, LEG_OPENING, LEG_FLOWING, LEG_ENDED };

struct leg_ops {
    void (*on_open)(void *arg, const struct frame_open *open); /* agent */
    void (*on_accept)(void *arg);                              /* relay */
    void (*on_refuse)(void *arg, uint8_t reason);              /* relay */
    bool (*on_data)(void *arg, struct slice data); /* false: no room, offer it again later */
    void (*on_eof)(void *arg);
    void (*on_reset)(void *arg, uint8_t code);
};

struct leg {
    enum leg_role role;
    enum leg_state state;
    struct seal seal;
    const struct leg_ops *ops;
    void *arg;
    uint64_t connection;
    bool eof_in, eof_out;
    uint64_t bytes_in, bytes_out; /* DATA payload, as seen from this end */
    struct buf scratch;           /* one frame while it is composed; its memory is kept */
};

void leg_init(
    struct leg *l, enum leg_role role, struct seal seal, const struct leg_ops *ops, void *arg);
void leg_deinit(struct leg *l);

/* Plaintext from the channel. Returns what was used; *out_bad when the peer broke the protocol:
 * close the leg. */
size_t leg_input(struct leg *l, struct slice plain, bool *out_bad);

/* Each 0, BUF_FULL (nothing sent) or -errno; -EPROTO when the state does not allow it. */
int leg_send_open(struct leg *l, const struct frame_open *open) MUST_CHECK;
int leg_send_accept(struct leg *l) MUST_CHECK;
int leg_send_refuse(struct leg *l, enum refuse_reason reason) MUST_CHECK;
int leg_send_data(struct leg *l, struct slice data) MUST_CHECK; /* 1 to TUNNEL_DATA_MAX bytes */
int leg_send_eof(struct leg *l) MUST_CHECK;
int leg_send_reset(struct leg *l, enum end_reason code) MUST_CHECK;

static inline bool leg_done(const struct leg *l)
{
    return l->state == LEG_ENDED || (l->eof_in && l->eof_out);
}

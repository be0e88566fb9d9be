#pragma once
/*
 * One session: the control messages between an agent and a relay, as a state machine without
 * sockets or clocks. Both ends use it; time comes in, frames go out through struct seal.
 *
 *   agent: new -> greeting (HELLO sent) -> up (WELCOME read) -> ended (BYE, silence, bad frame)
 *   relay: new -> greeting (HELLO read) -> up (WELCOME sent) -> ended
 *
 * The owner feeds plaintext with session_input(), sets one timer to session_deadline() and calls
 * session_tick() when it fires.
 */
#include "lib/base/clock.h"
#include "tunnel/frame.h"
#include "tunnel/leg.h"

#define SESSION_PING_NS    SECONDS(10) /* the agent asks this often */
#define SESSION_SILENCE_NS SECONDS(30) /* three pings lost: the path is dead */
#define SESSION_GREET_NS   SECONDS(5)  /* for HELLO and WELCOME */

enum session_role { SESSION_RELAY, SESSION_AGENT };

enum session_state { SESSION_NEW, SESSION_GREETING, SESSION_UP, SESSION_ENDED };

/* Members that a role does not get may be NULL. What slices point at is borrowed. */
struct session_ops {
    /* relay: check the token, then session_send_welcome or session_send_bye, now or later */
    void (*on_hello)(void *arg, const struct frame_hello *hello);
    void (*on_welcome)(void *arg, const struct frame_welcome *welcome); /* agent */
    void (*on_legs)(void *arg, uint16_t more);                          /* agent */
    void (*on_closed)(void *arg, const struct frame_closed *closed);    /* agent */
    void (*on_drain)(void *arg, uint32_t seconds);                      /* agent */
    void (*on_bye)(void *arg, uint8_t reason, struct slice text);       /* both */
};

struct session {
    enum session_role role;
    enum session_state state;
    struct seal seal;
    const struct session_ops *ops;
    void *arg;
    struct mono heard; /* last input, or the beginning */
    struct mono asked; /* agent: last PING */
    uint64_t ping;     /* agent: number of the last PING */
};

void session_init(struct session *s,
                  enum session_role role,
                  struct seal seal,
                  const struct session_ops *ops,
                  void *arg,
                  struct mono now);

/* Plaintext from the channel. Returns what was used; *out_bad when the peer broke the protocol:
 * close it. */
size_t session_input(struct session *s, struct mono now, struct slice plain, bool *out_bad);

/* When session_tick() wants to be called next. */
struct mono session_deadline(const struct session *s);

/* SESSION_SILENT: nothing was heard for too long, close it. 0 otherwise; the agent's PING goes out
 * here. */
enum { SESSION_SILENT = 1 };

int session_tick(struct session *s, struct mono now) MUST_CHECK;

/* Each 0, BUF_FULL (nothing sent) or -errno; -EPROTO when role or state does not allow it. */
int session_send_hello(struct session *s, const struct frame_hello *f) MUST_CHECK; /* agent */
int session_send_welcome(struct session *s, const struct frame_welcome *f) MUST_CHECK;
int session_send_legs(struct session *s, uint16_t more) MUST_CHECK;
int session_send_closed(struct session *s, const struct frame_closed *f) MUST_CHECK;
int session_send_drain(struct session *s, uint32_t seconds) MUST_CHECK;
int session_send_bye(struct session *s,
                     enum end_reason why,
                     const char *text) MUST_CHECK; /* both */

/*
 * Numbers that are used once, in about rising order: leg numbers of a session, connection ids. A
 * number is taken when it is new and not more than the window behind the highest.
 */
#define NUMBER_WINDOW 1024 /* legs that may overtake each other on the way */

struct number_window {
    bool any;
    uint64_t highest;
    uint64_t bits[NUMBER_WINDOW / 64]; /* bit n % NUMBER_WINDOW: n was seen */
};

bool number_take(struct number_window *w, uint64_t number) MUST_CHECK;

#pragma once
/*
 * The ClientHello, read incrementally (RFC 8446 section 4.1.2, RFC 6066 section 3): any split over
 * TCP segments and TLS records. Knows no policy and no socket; never guesses: what is not a
 * well-formed hello with exactly one canonical host name is refused.
 */
#include "lib/base/buf.h"
#include "lib/base/text.h"

#define HELLO_WIRE_MAX \
    (64 * KIB) /* with record headers; post-quantum hellos have 2 KiB, the largest seen 17 KiB */

enum hello_verdict {
    HELLO_OK,
    HELLO_MORE,    /* not whole yet */
    HELLO_NOT_TLS, /* no TLS handshake record, or broken inside */
    HELLO_TOO_BIG,
    HELLO_NO_NAME, /* no server_name, or none that is a host name */
};

struct hello {
    char name[TEXT_NAME_SIZE]; /* canonical */
    size_t wire_len; /* bytes of the records that carry the hello, from the start of the input */
    bool early_data; /* offers 0-RTT */
};

/*
 * Reads on from where it stopped, so that a client that drips bytes costs what the bytes cost. The
 * bytes themselves are not kept: who needs them for OPEN keeps them.
 */
struct hello_reader {
    struct buf msg;        /* the handshake message so far, without record headers */
    size_t wire_len, need; /* bytes read; the message's length once it is known, else 0 */
    uint8_t header[5];
    size_t header_len, record_left;
    enum hello_verdict verdict; /* does not change any more once it is not HELLO_MORE */
};

void hello_init(struct hello_reader *r);
void hello_deinit(struct hello_reader *r);
/* The next bytes. *out is written with HELLO_OK; what follows the hello is not looked at. */
enum hello_verdict hello_feed(struct hello_reader *r, struct slice more, struct hello *out);

/* All at once: `wire` is everything received so far, from the first byte. */
enum hello_verdict hello_parse(struct slice wire, struct hello *out);

/* Frames: bytes as docs/tunnel-protocol.md says, limits, every truncation, round trips. */
#include "tests/unit/support/test.h"
#include "tunnel/frame.h"

static struct frame only(struct buf *b)
{
    struct frame f = {.type = 0};
    size_t len = 0;
    assert_true(buf_ok(b));
    for (size_t n = 0; n < b->len; n++) {
        assert_int_equal(frame_parse(slice_sub(buf_slice(b), 0, n), &f, &len), FRAME_MORE);
    }
    assert_int_equal(frame_parse(buf_slice(b), &f, &len), 0);
    assert_int_equal(len, b->len);
    return f;
}

/* No prefix and no extension of a payload is one. */
#define ONLY_WHOLE(f, read)                                          \
    do {                                                             \
        for (size_t n_ = 0; n_ < (f).payload.n; n_++) {              \
            struct slice payload = slice_sub((f).payload, 0, n_);    \
            assert_false(read);                                      \
        }                                                            \
        char longer_[600] = {0};                                     \
        memcpy(longer_, (f).payload.p, (f).payload.n);               \
        struct slice payload = slice_of(longer_, (f).payload.n + 1); \
        assert_false(read);                                          \
    } while (0)

static void bytes_on_the_wire(void **state)
{
    (void)state;
    struct buf b = BUF_MAX(1000);
    frame_u64(&b, FRAME_PING, 0x0102030405060708);
    frame_bytes(&b, FRAME_EOF, S(""));
    frame_refuse(&b, 1, REFUSE_SNI);
    frame_bytes(&b, FRAME_DATA, S("hi"));
    static const char want[] = "\x04\0\0\x08\x01\x02\x03\x04\x05\x06\x07\x08"
                               "\x15\0\0\0"
                               "\x13\0\0\x09\0\0\0\0\0\0\0\x01\x02"
                               "\x14\0\0\x02hi";
    assert_int_equal(b.len, sizeof want - 1);
    assert_memory_equal(buf_slice(&b).p, want, sizeof want - 1);
    buf_deinit(&b);
}

static void session_frames(void **state)
{
    (void)state;
    struct buf b = BUF_MAX(8000);
    struct frame_hello hello = {.version = 1, .parked = 4, .token = S("to.ken")}, hello2;
    frame_hello(&b, &hello);
    struct frame f = only(&b);
    assert_int_equal(f.type, FRAME_HELLO);
    ONLY_WHOLE(f, frame_read_hello(payload, &hello2));
    assert_true(frame_read_hello(f.payload, &hello2));
    assert_int_equal(hello2.parked, 4);
    assert_slice(hello2.token, "to.ken");

    struct frame_welcome welcome = {.version = 1, .parked = 9, .session_id = {1, 2, 3}}, welcome2;
    buf_clear(&b);
    frame_welcome(&b, &welcome);
    f = only(&b);
    ONLY_WHOLE(f, frame_read_welcome(payload, &welcome2));
    assert_true(frame_read_welcome(f.payload, &welcome2));
    assert_memory_equal(welcome.session_id, welcome2.session_id, TUNNEL_SESSION_ID);
    assert_int_equal(welcome2.parked, 9);

    struct frame_closed closed = {.connection = 7,
                                  .to_node = 1u << 31,
                                  .to_visitor = 5,
                                  .reason = 4},
                        closed2;
    buf_clear(&b);
    frame_closed(&b, &closed);
    f = only(&b);
    ONLY_WHOLE(f, frame_read_closed(payload, &closed2));
    assert_true(frame_read_closed(f.payload, &closed2));
    assert_int_equal(closed2.to_node, 1u << 31);
    assert_int_equal(closed2.reason, 4);

    uint8_t reason;
    struct slice text;
    buf_clear(&b);
    frame_bye(&b, END_REPLACED, "newer");
    f = only(&b);
    ONLY_WHOLE(f, frame_read_bye(payload, &reason, &text));
    assert_true(frame_read_bye(f.payload, &reason, &text));
    assert_int_equal(reason, END_REPLACED);
    assert_slice(text, "newer");
    buf_deinit(&b);
}

static void leg_frames(void **state)
{
    (void)state;
    struct buf b = BUF_MAX(TUNNEL_OPEN_MAX + 100);
    struct frame_join join = {.session_id = {9}, .number = 77}, join2;
    frame_join(&b, &join);
    struct frame f = only(&b);
    ONLY_WHOLE(f, frame_read_join(payload, &join2));
    assert_true(frame_read_join(f.payload, &join2));
    assert_int_equal(join2.number, 77);

    struct frame_open open = {.connection = 5,
                              .address = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 192, 0, 2, 1},
                              .visitor_port = 50000,
                              .public_port = 443,
                              .name = S("a.example"),
                              .hello = S("hello")},
                      open2;
    buf_clear(&b);
    frame_open(&b, &open);
    f = only(&b);
    ONLY_WHOLE(f, frame_read_open(payload, &open2));
    assert_true(frame_read_open(f.payload, &open2));
    assert_int_equal(open2.visitor_port, 50000);
    assert_int_equal(open2.public_port, 443);
    assert_memory_equal(open2.address, open.address, 16);
    assert_slice(open2.name, "a.example");
    assert_slice(open2.hello, "hello");

    open.name = S("");
    buf_clear(&b);
    frame_open(&b, &open);
    f = only(&b);
    assert_false(frame_read_open(f.payload, &open2));
    buf_deinit(&b);
}

static int verdict(uint8_t type, uint32_t length)
{
    struct frame f;
    size_t len;
    char head[TUNNEL_HEADER] = {(char)type, (char)(length >> 16), (char)(length >> 8),
                                (char)length};
    return frame_parse(slice_of(head, sizeof head), &f, &len);
}

static void limits(void **state)
{
    (void)state;
    assert_int_equal(verdict(FRAME_DATA, TUNNEL_DATA_MAX), FRAME_MORE);
    assert_int_equal(verdict(FRAME_DATA, TUNNEL_DATA_MAX + 1), FRAME_BAD);
    assert_int_equal(verdict(FRAME_OPEN, TUNNEL_OPEN_MAX), FRAME_MORE);
    assert_int_equal(verdict(FRAME_OPEN, TUNNEL_OPEN_MAX + 1), FRAME_BAD);
    assert_int_equal(verdict(FRAME_HELLO, TUNNEL_SMALL_MAX), FRAME_MORE);
    assert_int_equal(verdict(FRAME_HELLO, TUNNEL_SMALL_MAX + 1), FRAME_BAD);
    for (int type = 0; type < 256; type++) {
        bool known = (type >= 0x01 && type <= 0x08) || (type >= 0x10 && type <= 0x17);
        assert_int_equal(verdict((uint8_t)type, 1), known ? FRAME_MORE : FRAME_BAD);
    }
    struct frame f;
    size_t len;
    assert_int_equal(frame_parse(S(""), &f, &len), FRAME_MORE);
    assert_int_equal(frame_parse(S("\xff"), &f, &len), FRAME_BAD); /* told by the first byte */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_on_the_wire),
        cmocka_unit_test(session_frames),
        cmocka_unit_test(leg_frames),
        cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

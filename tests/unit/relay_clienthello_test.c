/* ClientHellos as OpenSSL makes them, split in every way (field.md section 5), and hostile ones. */
#include <stdio.h>

#include "lib/base/mem.h"
#include "lib/base/wire.h"
#include "lib/io/tls.h"
#include "tests/unit/support/test.h"
#include "tunnel/clienthello.h"

static struct buf make_hello(const char *name)
{
    char why[100];
    struct tls_ctx *ctx = NULL;
    struct buf out = BUF_MAX(HELLO_WIRE_MAX), sink = BUF_MAX(64);
    assert_int_equal(
        tls_client_ctx(&(struct tls_client_opts){.verify = TLS_VERIFY_NONE}, why, sizeof why, &ctx),
        0);
    struct tls *t = tls_client(ctx, name);
    assert_int_equal(tls_read(t, &sink), TLS_AGAIN);
    buf_add(&out, tls_output(t));
    tls_free(t);
    tls_ctx_unref(ctx);
    buf_deinit(&sink);
    return out;
}

/* The same handshake message in records of `size` bytes. */
static struct buf resplit(struct slice hello, size_t size)
{
    struct buf out = BUF_MAX(2 * HELLO_WIRE_MAX);
    struct slice msg = slice_skip(hello, 5);
    while (msg.n) {
        struct slice part = slice_sub(msg, 0, size);
        buf_add(&out, slice_of("\x16\x03\x01", 3));
        wr_vec16(&out, part);
        msg = slice_skip(msg, part.n);
    }
    return out;
}

static void expect_whole_only_at_end(struct slice wire, const char *name)
{
    struct hello h;
    for (size_t n = 0; n < wire.n; n++) {
        assert_int_equal(hello_parse(slice_sub(wire, 0, n), &h), HELLO_MORE);
    }
    assert_int_equal(hello_parse(wire, &h), HELLO_OK);
    assert_string_equal(h.name, name);
    assert_int_equal(h.wire_len, wire.n);
}

static void any_split(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 2, 3, 50, 100, 16000};
    struct buf hello = make_hello("laptop.pango-lin.ts.example.net");
    expect_whole_only_at_end(buf_slice(&hello), "laptop.pango-lin.ts.example.net");
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct buf split = resplit(buf_slice(&hello), sizes[i]);
        expect_whole_only_at_end(buf_slice(&split), "laptop.pango-lin.ts.example.net");
        buf_deinit(&split);
    }
    buf_deinit(&hello);
}

static void names_are_canonical(void **state)
{
    (void)state;
    struct hello h;
    struct buf hello = make_hello("LAPTOP.Pango-Lin.TS.example.net");
    assert_int_equal(hello_parse(buf_slice(&hello), &h), HELLO_OK);
    assert_string_equal(h.name, "laptop.pango-lin.ts.example.net");
    buf_deinit(&hello);
}

static void what_follows_is_not_the_hello(void **state)
{
    (void)state;
    struct hello h;
    struct buf hello = make_hello("a.example");
    size_t n = hello.len;
    buf_adds(&hello, "\x14\x03\x03");
    assert_int_equal(hello_parse(buf_slice(&hello), &h), HELLO_OK);
    assert_int_equal(h.wire_len, n);
    buf_deinit(&hello);
}

/* A hello by hand: `exts` as given. */
static struct buf by_hand(struct slice exts)
{
    struct buf body = BUF_MAX(HELLO_WIRE_MAX), msg = BUF_MAX(HELLO_WIRE_MAX),
               out = BUF_MAX(2 * HELLO_WIRE_MAX);
    char random[32] = {0};
    wr_u16(&body, 0x0303);
    buf_add(&body, slice_of(random, sizeof random));
    wr_vec8(&body, S(""));
    wr_vec16(&body, slice_of("\x13\x01", 2));
    wr_vec8(&body, slice_of("\0", 1));
    wr_vec16(&body, exts);
    wr_u8(&msg, 1);
    wr_vec24(&msg, buf_slice(&body));
    struct slice rest = buf_slice(&msg);
    while (rest.n) {
        struct slice part = slice_sub(rest, 0, 16384);
        buf_add(&out, slice_of("\x16\x03\x01", 3));
        wr_vec16(&out, part);
        rest = slice_skip(rest, part.n);
    }
    buf_deinit(&body);
    buf_deinit(&msg);
    return out;
}

static void put_sni(struct buf *exts, struct slice name)
{
    struct buf entry = BUF_MAX(1024), list = BUF_MAX(1024);
    wr_u8(&entry, 0);
    wr_vec16(&entry, name);
    wr_vec16(&list, buf_slice(&entry));
    wr_u16(exts, 0);
    wr_vec16(exts, buf_slice(&list));
    buf_deinit(&entry);
    buf_deinit(&list);
}

static void expect(struct buf *exts, enum hello_verdict want)
{
    struct hello h;
    struct buf wire = by_hand(buf_slice(exts));
    assert_int_equal(hello_parse(buf_slice(&wire), &h), want);
    buf_deinit(&wire);
    buf_deinit(exts);
    buf_init(exts, HELLO_WIRE_MAX);
}

static void big_hello_name_last(void **state)
{
    (void)state;
    struct buf exts = BUF_MAX(HELLO_WIRE_MAX);
    char *pad = mem_new(17000);
    wr_u16(&exts, 21);
    wr_vec16(&exts, slice_of(pad, 17000));
    put_sni(&exts, S("big.example"));
    expect(&exts, HELLO_OK);
    mem_free(pad);
    buf_deinit(&exts);
}

static void bad_names(void **state)
{
    (void)state;
    struct buf exts = BUF_MAX(HELLO_WIRE_MAX);
    static const char *const bad[] = {"",    "192.0.2.1",     "a..b", "-a.b",
                                      "a b", "under_score.x", "[::1]"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        put_sni(&exts, slice_str(bad[i]));
        expect(&exts, HELLO_NO_NAME);
    }
    put_sni(&exts, slice_of("a\0b.example", 11));
    expect(&exts, HELLO_NO_NAME);
    put_sni(&exts, S("trailing.dot.example."));
    expect(&exts, HELLO_OK);
    put_sni(&exts, S("a.example"));
    put_sni(&exts, S("b.example"));
    expect(&exts, HELLO_NOT_TLS);
    expect(&exts, HELLO_NO_NAME); /* no extension at all */
    wr_u16(&exts, 0);
    wr_u16(&exts, 200); /* longer than what follows */
    expect(&exts, HELLO_NOT_TLS);
    buf_deinit(&exts);
}

static void not_tls(void **state)
{
    (void)state;
    struct hello h;
    assert_int_equal(hello_parse(S("GET / HTTP/1.1\r\n"), &h), HELLO_NOT_TLS);
    assert_int_equal(hello_parse(slice_of("\x16\x03\x01\x00\x00", 5), &h), HELLO_NOT_TLS);
    assert_int_equal(hello_parse(slice_of("\x16\x03\x01\x00\x04\x02\x00\x00\x00", 9), &h),
                     HELLO_NOT_TLS);
    assert_int_equal(hello_parse(slice_of("\x16\x03\x01\x40\x01", 5), &h), HELLO_NOT_TLS);
    assert_int_equal(hello_parse(slice_of("\x16\x03\x01\x00\x04\x01\xff\xff\xff", 9), &h),
                     HELLO_TOO_BIG);
    assert_int_equal(hello_parse(S(""), &h), HELLO_MORE);
}

/* Fed piece by piece, the reader says the same as with everything at once, and keeps its verdict.
 */
static void fed_in_pieces(void **state)
{
    (void)state;
    struct buf hello = make_hello("a.example");
    struct slice wire = buf_slice(&hello);
    for (size_t step = 1; step < wire.n; step = step * 2 + 1) {
        struct hello_reader r;
        struct hello h;
        hello_init(&r);
        for (size_t at = 0; at < wire.n; at += step) {
            bool last = at + step >= wire.n;
            assert_int_equal(hello_feed(&r, slice_sub(wire, at, step), &h),
                             last ? HELLO_OK : HELLO_MORE);
        }
        assert_string_equal(h.name, "a.example");
        assert_int_equal(h.wire_len, wire.n);
        assert_int_equal(hello_feed(&r, S("GET /"), &h), HELLO_OK); /* not the hello's any more */
        hello_deinit(&r);
    }
    buf_deinit(&hello);
}

/* field.md section 5: the rows of the conformance table that are about size and cuts. */
static void cuts_of_the_field(void **state)
{
    (void)state;
    static const size_t pads[] = {1500, 9300};
    for (size_t i = 0; i < ARRAY_LEN(pads); i++) {
        struct buf exts = BUF_MAX(HELLO_WIRE_MAX);
        char *pad = mem_new(pads[i]);
        wr_u16(&exts, 51); /* key shares as large as post-quantum ones */
        wr_vec16(&exts, slice_of(pad, pads[i]));
        put_sni(&exts, S("last.example"));
        struct buf wire = by_hand(buf_slice(&exts));
        struct slice all = buf_slice(&wire);
        static const size_t cuts[] = {1, 100, 1400};
        for (size_t c = 0; c < ARRAY_LEN(cuts); c++) {
            struct hello_reader r;
            struct hello h;
            hello_init(&r);
            assert_int_equal(hello_feed(&r, slice_sub(all, 0, cuts[c]), &h), HELLO_MORE);
            assert_int_equal(hello_feed(&r, slice_skip(all, cuts[c]), &h), HELLO_OK);
            assert_string_equal(h.name, "last.example");
            hello_deinit(&r);
        }
        struct buf two = resplit(all, all.n / 2), small = resplit(all, 50);
        struct hello h;
        assert_int_equal(hello_parse(buf_slice(&two), &h), HELLO_OK);
        assert_int_equal(hello_parse(buf_slice(&small), &h), HELLO_OK);
        assert_string_equal(h.name, "last.example");
        buf_deinit(&two);
        buf_deinit(&small);
        buf_deinit(&wire);
        buf_deinit(&exts);
        mem_free(pad);
    }
}

/* 64 KiB are counted on the wire, record headers included: up to the last byte, and not one more.
 */
static void the_limit(void **state)
{
    (void)state;
    struct buf exts = BUF_MAX(2 * HELLO_WIRE_MAX);
    char *pad = mem_new(HELLO_WIRE_MAX);
    struct hello h;
    size_t fits = 0;
    for (size_t n = 65400; n <= 65460; n++) {
        buf_clear(&exts);
        put_sni(&exts, S("a.example"));
        wr_u16(&exts, 21);
        wr_vec16(&exts, slice_of(pad, n));
        struct buf wire = by_hand(buf_slice(&exts));
        assert_true(buf_ok(&wire));
        bool in = wire.len <= HELLO_WIRE_MAX;
        assert_int_equal(hello_parse(buf_slice(&wire), &h), in ? HELLO_OK : HELLO_TOO_BIG);
        fits = in ? wire.len : fits;
        buf_deinit(&wire);
    }
    assert_int_equal(fits, HELLO_WIRE_MAX);
    /* A small hello in records of one byte: 12,000 of them are more wire than a client may use. */
    buf_clear(&exts);
    put_sni(&exts, S("a.example"));
    wr_u16(&exts, 21);
    wr_vec16(&exts, slice_of(pad, 12000));
    struct buf wire = by_hand(buf_slice(&exts)), ones = BUF_MAX(HELLO_WIRE_MAX * 2);
    for (size_t i = 5; i < wire.len; i++) {
        buf_add(&ones, slice_of("\x16\x03\x01\x00\x01", 5));
        buf_addc(&ones, buf_slice(&wire).p[i]);
    }
    assert_int_equal(hello_parse(slice_sub(buf_slice(&ones), 0, HELLO_WIRE_MAX - 1), &h),
                     HELLO_MORE);
    assert_int_equal(hello_parse(slice_sub(buf_slice(&ones), 0, HELLO_WIRE_MAX), &h),
                     HELLO_TOO_BIG);
    buf_deinit(&wire);
    buf_deinit(&ones);
    buf_deinit(&exts);
    mem_free(pad);
}

static void long_names(void **state)
{
    (void)state;
    struct buf exts = BUF_MAX(HELLO_WIRE_MAX);
    char name[400];
    for (size_t n = 250; n < 260; n++) {
        for (size_t i = 0; i < n; i++) {
            name[i] = i % 64 == 63 ? '.' : 'a';
        }
        put_sni(&exts, slice_of(name, n));
        expect(&exts, n <= 253 ? HELLO_OK : HELLO_NO_NAME);
    }
    memset(name, 'a', sizeof name);
    put_sni(&exts, slice_of(name, 64)); /* one label too long */
    expect(&exts, HELLO_NO_NAME);
    put_sni(&exts, S("xn--bcher-kva.example"));
    expect(&exts, HELLO_OK);
    put_sni(&exts, S("b\xc3\xbc"
                     "cher.example"));
    expect(&exts, HELLO_NO_NAME);
    put_sni(&exts, S("two.dots.example.."));
    expect(&exts, HELLO_NO_NAME);
    buf_deinit(&exts);
}

static void odd_hellos(void **state)
{
    (void)state;
    struct buf exts = BUF_MAX(HELLO_WIRE_MAX);
    struct hello h;
    put_sni(&exts, S("a.example"));
    wr_u16(&exts, 42);
    wr_vec16(&exts, S(""));
    struct buf wire = by_hand(buf_slice(&exts));
    assert_int_equal(hello_parse(buf_slice(&wire), &h), HELLO_OK);
    assert_true(h.early_data);
    /* More handshake in the hello's record, or a record that ends after it. */
    struct buf more = BUF_MAX(4096);
    buf_add(&more, slice_of("\x16\x03\x01", 3));
    wr_u16(&more, (uint16_t)(wire.len - 5 + 1));
    buf_add(&more, slice_skip(buf_slice(&wire), 5));
    assert_int_equal(hello_parse(buf_slice(&more), &h), HELLO_NOT_TLS);
    /* Two host names in one list; a name of another type only. */
    buf_clear(&exts);
    wr_u16(&exts, 0);
    wr_vec16(&exts, slice_of("\0\x0c\0\0\3a.b\0\0\3c.d", 14));
    expect(&exts, HELLO_NO_NAME);
    wr_u16(&exts, 0);
    wr_vec16(&exts, slice_of("\0\6\1\0\3a.b", 8));
    expect(&exts, HELLO_NO_NAME);
    wr_u16(&exts, 0);
    wr_vec16(&exts, slice_of("\0\7\0\0\3a.b", 8)); /* the list is longer than the extension */
    expect(&exts, HELLO_NO_NAME);
    buf_deinit(&more);
    buf_deinit(&wire);
    buf_deinit(&exts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_split),
        cmocka_unit_test(names_are_canonical),
        cmocka_unit_test(what_follows_is_not_the_hello),
        cmocka_unit_test(big_hello_name_last),
        cmocka_unit_test(bad_names),
        cmocka_unit_test(not_tls),
        cmocka_unit_test(fed_in_pieces),
        cmocka_unit_test(cuts_of_the_field),
        cmocka_unit_test(the_limit),
        cmocka_unit_test(long_names),
        cmocka_unit_test(odd_hellos),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

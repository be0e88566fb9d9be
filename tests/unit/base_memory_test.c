/* Buffers, arenas, maps, slices, times, lists and cursors at their edges. */
#include <errno.h>
#include <stdio.h>

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/list.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/secret.h"
#include "lib/base/text.h"
#include "lib/base/wire.h"
#include "tests/unit/support/test.h"

static void buffers(void **state)
{
    struct buf b = BUF_MAX(1000), tiny = BUF_MAX(3);
    (void)state;
    assert_string_equal(buf_cstr(&b), "");
    assert_int_equal(buf_room(&b), 0);
    assert_null(buf_tail(&b));
    assert_int_equal(buf_push(&b, S("")), 0);
    assert_int_equal(buf_push(&tiny, S("1234")), BUF_FULL);
    assert_int_equal(buf_push(&tiny, S("123")), 0);
    assert_true(buf_ok(&tiny)); /* push is not sticky, add is */
    buf_addf(&tiny, "%s", "");
    assert_true(buf_ok(&tiny));
    buf_addf(&tiny, "%d", 4);
    assert_false(buf_ok(&tiny) || tiny.starved);
    buf_clear(&tiny);
    assert_true(buf_ok(&tiny));
    /* What was consumed in front makes room without growing. */
    for (int i = 0; i < 250; i++) {
        buf_addf(&b, "%04d", i);
    }
    assert_true(buf_ok(&b) && b.len == 1000);
    assert_int_equal(buf_push(&b, S("x")), BUF_FULL);
    buf_consume(&b, 500);
    assert_int_equal(buf_push(&b, S("tail")), 0);
    assert_true(slice_starts(buf_slice(&b), S("0125")) && slice_ends(buf_slice(&b), S("0249tail")));
    buf_truncate(&b, 2000);
    assert_int_equal(b.len, 504);
    buf_truncate(&b, 4);
    assert_string_equal(buf_cstr(&b), "0125");
    buf_consume(&b, 4);
    assert_int_equal(b.head, 0);
    buf_adds(&b, "stolen");
    char *text = buf_steal_cstr(&b);
    assert_string_equal(text, "stolen");
    assert_int_equal(b.len, 0);
    mem_free(text);
    buf_deinit(&tiny);
    buf_deinit(&b);
    secret_wipe_buf(&b); /* of nothing */
}

static void arenas(void **state)
{
    struct arena *a = arena_new(64 * KIB);
    (void)state;
    char *p = arena_alloc(a, 1), *q = arena_alloc(a, 1);
    assert_int_equal((uintptr_t)p % 16, 0);
    assert_int_equal(q - p, 16);
    assert_non_null(arena_alloc(a, 40 * KIB)); /* more than a chunk */
    assert_null(arena_alloc(a, 40 * KIB));     /* more than there may be */
    assert_null(arena_alloc(a, SIZE_MAX));
    assert_int_equal(arena_used(a), 32 + 40 * KIB);
    assert_string_equal(arena_strdup(a, S("copy")), "copy");
    assert_string_equal(arena_strdup(a, S("")), "");
    arena_free(a);
    arena_free(NULL);
    AUTO(arena_freep) struct arena *scoped = arena_new(100);
    assert_null(arena_strdup(scoped, slice_of("", 200)));
}

static void maps(void **state)
{
    AUTO(map_freep) struct map *m = map_new();
    int one = 1;
    (void)state;
    assert_null(map_get(m, S("k")));
    assert_null(map_del(m, S("k")));
    assert_null(map_set(m, S(""), &one)); /* the empty key is a key */
    assert_ptr_equal(map_get(m, S("")), &one);
    assert_ptr_equal(map_set(m, S(""), NULL), &one);
    assert_int_equal(map_count(m), 1);
    map_free(NULL);
    map_free_values(NULL);
    struct map *owned = map_new();
    for (int i = 0; i < 100; i++) {
        char key[64];
        /* every length of a key's rest, for the hash */
        int n = snprintf(key, sizeof key, "%.*s%d", i % 20, "xxxxxxxxxxxxxxxxxxxx", i);
        map_set(owned, slice_of(key, (size_t)n), mem_strdup(key));
    }
    assert_int_equal(map_count(owned), 100);
    map_free_values(owned);
}

static void slices(void **state)
{
    static const char *const words[] = {"status", "reset", "enable"};
    struct slice rest = S("a,,b"), part;
    uint64_t v;
    char out[4];
    (void)state;
    assert_int_equal(slice_str(NULL).n, 0);
    assert_true(slice_cmp(S("a"), S("b")) < 0 && slice_cmp(S("ab"), S("a")) > 0);
    assert_true(slice_cmp(S("a"), S("ab")) < 0 && slice_cmp(S(""), S("")) == 0);
    assert_false(slice_starts(S("a"), S("ab")) || slice_starts_nocase(S("a"), S("ab")));
    assert_false(slice_starts_nocase(S("ab"), S("ac")));
    assert_true(slice_eq_nocase(S("Host"), S("hOST")));
    assert_true(slice_ends(S("a.b"), S(".b")) && !slice_ends(S("b"), S(".b")));
    assert_slice(slice_sub(S("abc"), 1, 99), "bc");
    assert_slice(slice_skip(S("abc"), 99), "");
    assert_slice(slice_trim(S(" \t\r\n")), "");
    assert_slice(slice_trim(S(" a b\n")), "a b");
    assert_int_equal(slice_find(S("abc"), 'x'), -1);
    assert_int_equal(slice_rfind(S("aba"), 'a'), 2);
    assert_int_equal(slice_rfind(S("aba"), 'x'), -1);
    assert_true(slice_split(&rest, ',', &part) && slice_eq(part, S("a")));
    assert_true(slice_split(&rest, ',', &part) && part.n == 0);
    assert_true(slice_split(&rest, ',', &part) && slice_eq(part, S("b")));
    assert_false(slice_split(&rest, ',', &part));
    assert_false(slice_u64(S(""), 9, &v) || slice_u64(S("-1"), 9, &v) || slice_u64(S("10"), 9, &v));
    assert_false(slice_u64(S("18446744073709551616"), UINT64_MAX, &v));
    assert_true(slice_u64(S("18446744073709551615"), UINT64_MAX, &v) && v == UINT64_MAX);
    assert_true(slice_copy(S("abc"), out, sizeof out) && slice_copy(S(""), out, sizeof out));
    assert_false(slice_copy(S("abcd"), out, sizeof out) || slice_copy(S("a\0b"), out, sizeof out));
    assert_string_equal(slice_nearest(S("stauts"), words, 3), "status");
    assert_string_equal(slice_nearest(S("rset"), words, 3), "reset");
    assert_null(slice_nearest(S("x"), words, 3));
    assert_null(
        slice_nearest(S("a-word-that-is-longer-than-every-name-that-we-know-of"), words, 3));
    static const char *const long_one[] = {
        "a-candidate-that-is-longer-than-every-name-that-we-know-of"};
    assert_null(slice_nearest(S("a-candidate"), long_one, 1));
}

static void times(void **state)
{
    static const struct {
        int64_t s;
        const char *text;
    } known[] = {
        {0, "1970-01-01T00:00:00Z"},
        {951782400, "2000-02-29T00:00:00Z"},
        {-1, "1969-12-31T23:59:59Z"},
        {-62167219200, "0000-01-01T00:00:00Z"},
        {253402300799, "9999-12-31T23:59:59Z"},
    };

    static const char *const bad[] = {
        "",
        "2026-11-24 12:00:00Z",
        "2026-11-24T12:00:00",
        "2026-11-24T12:00:00z",
        "2026/11-24T12:00:00Z",
        "2026-11/24T12:00:00Z",
        "2026-11-24T12.00:00Z",
        "2026-11-24T12:00.00Z",
        "2026-13-24T12:00:00Z",
        "2026-00-24T12:00:00Z",
        "2026-11-00T12:00:00Z",
        "2026-11-32T12:00:00Z",
        "2026-11-24T24:00:00Z",
        "2026-11-24T12:60:00Z",
        "2026-11-24T12:00:61Z",
        "x026-11-24T12:00:00Z",
    };
    char text[WALL_TEXT_SIZE];
    struct wall t;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        wall_format((struct wall){known[i].s}, text);
        assert_string_equal(text, known[i].text);
        assert_true(wall_parse(slice_str(text), &t));
        assert_int_equal(t.s, known[i].s);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_false(wall_parse(slice_str(bad[i]), &t));
    }
    assert_true(mono_reached((struct mono){2}, (struct mono){2}));
    assert_false(mono_reached((struct mono){1}, (struct mono){2}));
}

static void lists(void **state)
{
    struct list from, to, a, b, loose = {NULL, NULL};
    (void)state;
    list_init(&from);
    list_init(&to);
    assert_true(list_empty(&loose));
    list_unlink(&loose); /* was never linked */
    list_push_back(&from, &b);
    list_push_front(&from, &a);
    list_move_all(&from, &to);
    assert_true(list_empty(&from) && !list_first(&from));
    assert_ptr_equal(list_first(&to), &a);
    list_unlink(&a);
    list_unlink(&a);
    assert_ptr_equal(list_first(&to), &b);
}

static void hex_and_names(void **state)
{
    uint8_t bytes[2];
    struct buf out = BUF_MAX(3), b64 = BUF_MAX(64);
    char name[TEXT_NAME_SIZE];
    (void)state;
    assert_true(text_unhex(S("aF09"), bytes, 2) && bytes[0] == 0xaf && bytes[1] == 9);
    assert_false(text_unhex(S("aF0"), bytes, 2) || text_unhex(S("aG09"), bytes, 2) ||
                 text_unhex(S("/:@`"), bytes, 2));
    text_hex(&out, S("ab"));
    assert_false(buf_ok(&out)); /* four do not fit into three */
    buf_clear(&out);
    assert_false(text_unb64(S("YWJjZA=="), &out)); /* nor four here */
    text_b64url(&b64, S("?>"));
    assert_slice(buf_slice(&b64), "Pz4");
    assert_false(text_label(S("")) || text_label(S("-a")) || text_label(S("a-")) ||
                 text_label(S("A")));
    assert_false(text_name(S("fe80::1"), TEXT_NAME_HOST, name));
    assert_false(text_name(S("1.2.3.4."), TEXT_NAME_HOST, name));
    assert_true(text_name(S("1.2.3.x4"), TEXT_NAME_HOST, name));
    assert_true(text_printable(S("a b"), 3) && !text_printable(S("a b"), 2));
    static const char *const deceit[] = {"\x7f",         "\xc2\x85",     "\xe2\x80\x8b",
                                         "\xe2\x80\xa8", "\xe2\x81\xa6", "\xef\xbb\xbf",
                                         "\n",           "\xff"};
    for (size_t i = 0; i < ARRAY_LEN(deceit); i++) {
        assert_false(text_printable(slice_str(deceit[i]), 10));
    }
    assert_true(text_printable(S("\xe2\x80\x90\xe2\x80\xaf\xe2\x81\xaa\xc2\xa0"), 20));
    buf_deinit(&out);
    buf_deinit(&b64);
}

/* The first read past the end makes all later ones empty. */
static void cursors(void **state)
{
    struct rd r = rd_of(slice_of("\1\0\2ab\0\3x", 8));
    (void)state;
    assert_int_equal(rd_u8(&r), 1);
    assert_slice(rd_vec16(&r), "ab");
    assert_false(rd_end(&r)); /* something is left */
    assert_int_equal(rd_vec16(&r).n, 0);
    assert_false(rd_ok(&r) || rd_end(&r));
    assert_int_equal(rd_u64(&r), 0);
    assert_int_equal(rd_bytes(&r, 1).n, 0);
    struct buf b = BUF_MAX(1000);
    static const char many[300];
    wr_vec8(&b, slice_of(many, 255));
    assert_true(buf_ok(&b));
    wr_vec8(&b, slice_of(many, 256)); /* no length byte says that */
    assert_false(buf_ok(&b));
    buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffers), cmocka_unit_test(arenas),        cmocka_unit_test(maps),
        cmocka_unit_test(slices),  cmocka_unit_test(times),         cmocka_unit_test(lists),
        cmocka_unit_test(cursors), cmocka_unit_test(hex_and_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

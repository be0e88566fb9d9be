/* Configuration tables: what is refused, with place and nearest name; what is printed loads again.
 */
#include <stddef.h>

#include "lib/base/macros.h"
#include "lib/hujson/conf.h"
#include "tests/unit/support/test.h"

struct sample {
    char *name;
    int64_t count;
    bool flag;
    int level;
    struct conf_list items;
    struct conf_map_int ports;
};

static const char *const levels[] = {"low", "high", NULL};
static const struct conf_option table[] = {
    {.key = "name", .kind = CONF_STR, .offset = offsetof(struct sample, name), .help = "a name"},
    {.key = "limits.count",
     .kind = CONF_INT,
     .offset = offsetof(struct sample, count),
     .fallback = "3",
     .min = 1,
     .max = 9,
     .help = "how many"},
    {.key = "limits.flag",
     .kind = CONF_BOOL,
     .offset = offsetof(struct sample, flag),
     .fallback = "true",
     .help = "yes or no"},
    {.key = "level",
     .kind = CONF_ENUM,
     .offset = offsetof(struct sample, level),
     .fallback = "high",
     .names = levels,
     .help = "how high"},
    {.key = "items",
     .kind = CONF_STR_LIST,
     .offset = offsetof(struct sample, items),
     .fallback = "a,b",
     .help = "some"},
    {.key = "ports",
     .kind = CONF_MAP_INT,
     .offset = offsetof(struct sample, ports),
     .fallback = "443:8443",
     .help = "ports"},
};

#define X50  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define LONG X50 X50 X50 X50 X50 X50 X50 X50 "x"

static void loads_and_prints(void **state)
{
    (void)state;
    struct sample s = {0}, again = {0};
    struct conf_diag d;
    struct buf out = BUF_MAX(8192);
    const char *text =
        "{ // c\n\"name\": \"x\\\"y\", \"limits\": {\"count\": 7,}, \"items\": [], \"ports\": {\"1\": 2, \"3\": 4},}\n";
    assert_int_equal(conf_parse(slice_str(text), table, ARRAY_LEN(table), &s, &d), 0);
    assert_string_equal(s.name, "x\"y");
    assert_true(s.count == 7 && s.flag && s.level == 1 && s.items.count == 0 &&
                s.ports.items[1].value == 4);
    conf_print(table, ARRAY_LEN(table), &s, &out);
    assert_int_equal(conf_parse(buf_slice(&out), table, ARRAY_LEN(table), &again, &d), 0);
    assert_string_equal(again.name, s.name);
    assert_true(again.count == 7 && again.items.count == 0 && again.ports.count == 2);
    conf_free(table, ARRAY_LEN(table), &s);
    conf_free(table, ARRAY_LEN(table), &again);
    buf_deinit(&out);
}

static void refuses(void **state)
{
    (void)state;

    static const struct {
        const char *text, *words;
        int line, column;
    } cases[] = {
        {"{\n  \"name\": \"x\",\n  \"lvel\": \"low\"}", "did you mean \"level\"", 3, 3},
        {"{\"name\": \"x\", \"limits\": {\"cuont\": 1}}", "did you mean \"limits.count\"", 1, 26},
        {"{\"name\": \"x\", \"limits\": {\"count\": 10}}", "from 1 to 9", 1, 35},
        {"{\"name\": 3}", "must be a string", 1, 10},
        {"{\"name\": \"x\", \"level\": \"mid\"}", "\"low\" or \"high\"", 1, 24},
        {"{\"name\": \"x\", \"name\": \"y\"}", "twice", 1, 15},
        {"{}", "name is missing", 1, 1},
        {"[]", "must hold an object", 1, 1},
        {"{\"name\": \"" LONG "\"}", "too long", 1, 10},
        {"{\"name\": \"x\", \"items\": [\"" LONG "\"]}", "too long", 1, 24},
        {"{\"name\": }", "invalid character", 1, 10},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct sample s = {0};
        struct conf_diag d;
        assert_int_equal(conf_parse(slice_str(cases[i].text), table, ARRAY_LEN(table), &s, &d),
                         CONF_INVALID);
        if (!strstr(d.text, cases[i].words) || d.line != cases[i].line ||
            d.column != cases[i].column) {
            fail_msg("%s: %d:%d %s", cases[i].text, d.line, d.column, d.text);
        }
        assert_null(s.name); /* a bad file changes nothing */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(loads_and_prints),
                                       cmocka_unit_test(refuses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

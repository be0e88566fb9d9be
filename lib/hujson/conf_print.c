/* The effective configuration as a file that loads again to the same values. */
#include <inttypes.h>

#include "lib/hujson/conf.h"

static void put_string(struct buf *out, const char *text)
{
    buf_addc(out, '"');
    for (const char *c = text; *c; c++) {
        if (*c == '"' || *c == '\\') {
            buf_addf(out, "\\%c", *c);
        } else if ((unsigned char)*c < 0x20) {
            buf_addf(out, "\\u%04x", (unsigned)*c);
        } else {
            buf_addc(out, *c);
        }
    }
    buf_addc(out, '"');
}

static void put_value(const struct conf_option *o, const void *target, struct buf *out)
{
    const void *at = (const char *)target + o->offset;
    const struct conf_list *list = at;
    const struct conf_map_int *map = at;
    switch (o->kind) {
    case CONF_STR:
        put_string(out, *(char *const *)at);
        break;
    case CONF_INT:
        buf_addf(out, "%" PRId64, *(const int64_t *)at);
        break;
    case CONF_BOOL:
        buf_adds(out, *(const bool *)at ? "true" : "false");
        break;
    case CONF_ENUM:
        put_string(out, o->names[*(const int *)at]);
        break;
    case CONF_STR_LIST:
        buf_addc(out, '[');
        for (size_t i = 0; i < list->count; i++) {
            buf_adds(out, i ? ", " : "");
            put_string(out, list->items[i]);
        }
        buf_addc(out, ']');
        break;
    case CONF_MAP_INT:
        buf_addc(out, '{');
        for (size_t i = 0; i < map->count; i++) {
            buf_addf(out, "%s\"%" PRId64 "\": %" PRId64, i ? ", " : "", map->items[i].key,
                     map->items[i].value);
        }
        buf_addc(out, '}');
        break;
    }
}

static struct slice section_of(const struct conf_option *o)
{
    struct slice key = slice_str(o->key);
    ptrdiff_t dot = slice_find(key, '.');
    return dot < 0 ? S("") : slice_of(key.p, (size_t)dot);
}

static bool known_before(const struct conf_option *options, size_t i)
{
    for (size_t k = 0; k < i; k++) {
        if (slice_eq(section_of(&options[k]), section_of(&options[i]))) {
            return true;
        }
    }
    return false;
}

static void put_section(const struct conf_option *options,
                        size_t count,
                        struct slice section,
                        const void *target,
                        struct buf *out)
{
    const char *indent = section.n ? "\t\t" : "\t";
    for (size_t i = 0; i < count; i++) {
        if (slice_eq(section_of(&options[i]), section)) {
            buf_addf(out, "%s// %s\n%s\"%s\": ", indent, options[i].help, indent,
                     options[i].key + (section.n ? section.n + 1 : 0));
            put_value(&options[i], target, out);
            buf_adds(out, ",\n");
        }
    }
}

/* Keys have one dot at most, so two levels are enough. */
void conf_print(const struct conf_option *options,
                size_t count,
                const void *target,
                struct buf *out)
{
    buf_adds(out, "{\n");
    put_section(options, count, S(""), target, out);
    for (size_t i = 0; i < count; i++) {
        struct slice section = section_of(&options[i]);
        if (section.n && !known_before(options, i)) {
            buf_addf(out, "\t\"" SLICE_FMT "\": {\n", SLICE_ARG(section));
            put_section(options, count, section, target, out);
            buf_adds(out, "\t},\n");
        }
    }
    buf_adds(out, "}\n");
}

/* Time: CLOCK_MONOTONIC for deadlines, CLOCK_REALTIME for people. The calendar arithmetic is our
 * own: no locale, no TZ. */
#include "lib/base/clock.h"

#include "lib/base/text.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

struct mono mono_now(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail with this clock */
    return (struct mono){(int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec};
}

struct wall wall_now(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_REALTIME, &ts);
    return (struct wall){ts.tv_sec};
}

/* Days since 1970-01-01 of a civil date and back (proleptic Gregorian). */
static int64_t days_of(int64_t y, int64_t m, int64_t d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + doe - 719468;
}

static void civil_of(int64_t days, int *out_y, int *out_m, int *out_d)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t doe = days - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    *out_d = (int)(doy - (153 * mp + 2) / 5 + 1);
    *out_m = (int)(mp < 10 ? mp + 3 : mp - 9);
    *out_y = (int)(yoe + era * 400 + (*out_m <= 2));
}

static void put2(char *out, int v)
{
    out[0] = (char)('0' + v / 10);
    out[1] = (char)('0' + v % 10);
}

void wall_format(struct wall t, char out[WALL_TEXT_SIZE])
{
    int64_t days = t.s / 86400, rest = t.s % 86400;
    if (rest < 0) {
        days--;
        rest += 86400;
    }
    int y, m, d;
    civil_of(days, &y, &m, &d);
    if (y < 0 || y > 9999) {
        (void)snprintf(out, WALL_TEXT_SIZE, "%04d-%02d-%02dT%02d:%02d:%02dZ", y, m, d,
                       (int)(rest / 3600), (int)(rest / 60 % 60), (int)(rest % 60));
        return;
    }
    /* By hand: lists hold three of them a row. */
    memcpy(out, "0000-00-00T00:00:00Z", sizeof "0000-00-00T00:00:00Z");
    put2(out, y / 100);
    put2(out + 2, y % 100);
    put2(out + 5, m);
    put2(out + 8, d);
    put2(out + 11, (int)(rest / 3600));
    put2(out + 14, (int)(rest / 60 % 60));
    put2(out + 17, (int)(rest % 60));
}

static bool number(struct slice s, size_t at, size_t len, uint64_t max, int64_t *out)
{
    uint64_t v;
    if (!slice_u64(slice_sub(s, at, len), max, &v)) {
        return false;
    }
    *out = (int64_t)v;
    return true;
}

bool wall_parse(struct slice s, struct wall *out_t)
{
    int64_t y, mo, d, h, mi, sec;
    if (s.n != 20 || s.p[4] != '-' || s.p[7] != '-' || s.p[10] != 'T' || s.p[13] != ':' ||
        s.p[16] != ':' || s.p[19] != 'Z') {
        return false;
    }
    if (!number(s, 0, 4, 9999, &y) || !number(s, 5, 2, 12, &mo) || !number(s, 8, 2, 31, &d) ||
        !number(s, 11, 2, 23, &h) || !number(s, 14, 2, 59, &mi) || !number(s, 17, 2, 60, &sec) ||
        !mo || !d) {
        return false;
    }
    out_t->s = days_of(y, mo, d) * 86400 + h * 3600 + mi * 60 + sec;
    return true;
}

void wall_format_now_ms(char out[WALL_TEXT_SIZE + 8])
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    wall_format((struct wall){now.tv_sec}, out);
    size_t n = strlen(out);
    text_fit(out + n - 1, 8, ".%03dZ", (int)(now.tv_nsec / 1000000));
}

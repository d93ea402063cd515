/* SPDX-License-Identifier: ISC */
#include "cli/rfc3339_internal.h"

#include "base/str.h"

#define NANOS_PER_SECOND 1000000000
#define NANOS_PER_MILLI  1000000
#define NANOS_PER_MICRO  1000
#define DATE_TIME_LEN    19   /* "2026-03-01T09:00:00" */
#define OFFSET_LEN       6    /* "+01:00" */
#define YEAR_BASE        1900 /* of struct tm */
#define YEAR_MAX         9999

void rfc3339_fraction(char out[static RFC3339_FRACTION_MAX], int32_t nanos)
{
    uint32_t n = (uint32_t)nanos;
    if (n == 0)
        out[0] = '\0';
    else if (n % NANOS_PER_MILLI == 0)
        snprintf(out, RFC3339_FRACTION_MAX, ".%03u", n / NANOS_PER_MILLI);
    else if (n % NANOS_PER_MICRO == 0)
        snprintf(out, RFC3339_FRACTION_MAX, ".%06u", n / NANOS_PER_MICRO);
    else
        snprintf(out, RFC3339_FRACTION_MAX, ".%09u", n);
}

bool rfc3339_format(char out[static RFC3339_MAX], int64_t seconds, int32_t nanos)
{
    struct tm tm;
    time_t t = seconds;
    if (nanos < 0 || nanos >= NANOS_PER_SECOND || gmtime_r(&t, &tm) == NULL)
        return false;
    if (tm.tm_year < 1 - YEAR_BASE || tm.tm_year > YEAR_MAX - YEAR_BASE)
        return false;
    char fraction[RFC3339_FRACTION_MAX];
    rfc3339_fraction(fraction, nanos);
    snprintf(out, RFC3339_MAX, "%04d-%02d-%02dT%02d:%02d:%02d%sZ", tm.tm_year + YEAR_BASE,
             tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, fraction);
    return true;
}

/* Does s start like pattern, where 0 stands for any digit? */
static bool looks_like(const char *s, const char *pattern)
{
    for (; *pattern != '\0'; s++, pattern++) {
        bool fits = *pattern == '0' ? *s >= '0' && *s <= '9' : *s == *pattern;
        if (!fits)
            return false;
    }
    return true;
}

static int digits(const char *s, int n)
{
    int value = 0;
    for (int i = 0; i < n; i++)
        value = value * 10 + (s[i] - '0');
    return value;
}

/* "Z" or "+hh:mm", up to the end. */
static bool parse_offset(const char *s, int64_t *seconds_out)
{
    if (strcmp(s, "Z") == 0 || strcmp(s, "z") == 0) {
        *seconds_out = 0;
        return true;
    }
    if (!looks_like(s, "+00:00") && !looks_like(s, "-00:00"))
        return false;
    int hours = digits(s + 1, 2);
    int minutes = digits(s + 4, 2);
    if (s[OFFSET_LEN] != '\0' || hours > 23 || minutes > 59)
        return false;
    *seconds_out = (s[0] == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
    return true;
}

/* The digits after the dot as milliseconds; moves *s behind them. */
static bool parse_fraction(const char **s, int64_t *ms_out)
{
    *ms_out = 0;
    if (**s != '.')
        return true;
    const char *p = *s + 1;
    int64_t scale = 100;
    for (; *p >= '0' && *p <= '9'; p++, scale /= 10)
        *ms_out += (*p - '0') * scale;
    bool some = p > *s + 1;
    *s = p;
    return some;
}

bool rfc3339_parse(const char *text, int64_t *unix_ms_out)
{
    if (!looks_like(text, "0000-00-00T00:00:00") && !looks_like(text, "0000-00-00 00:00:00") &&
        !looks_like(text, "0000-00-00t00:00:00"))
        return false;
    struct tm tm = {
        .tm_year = digits(text, 4) - YEAR_BASE,
        .tm_mon = digits(text + 5, 2) - 1,
        .tm_mday = digits(text + 8, 2),
        .tm_hour = digits(text + 11, 2),
        .tm_min = digits(text + 14, 2),
        .tm_sec = digits(text + 17, 2),
    };
    struct tm given = tm;
    time_t t = timegm(&tm);
    /* timegm moves a 31st of June to the 1st of July: such a date is refused. */
    if (tm.tm_mon != given.tm_mon || tm.tm_mday != given.tm_mday || tm.tm_hour != given.tm_hour ||
        tm.tm_min != given.tm_min || tm.tm_sec != given.tm_sec)
        return false;
    const char *rest = text + DATE_TIME_LEN;
    int64_t ms;
    int64_t offset;
    if (!parse_fraction(&rest, &ms) || !parse_offset(rest, &offset))
        return false;
    *unix_ms_out = (t - offset) * 1000 + ms;
    return true;
}

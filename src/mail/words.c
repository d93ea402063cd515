/* SPDX-License-Identifier: ISC */
#include "words_internal.h"

#include "base/buf.h"

#include <time.h>

#define MINUTE_MS       (60 * 1000LL)
#define MINUTES_OF_HOUR 60
#define MINUTES_OF_DAY  (24 * MINUTES_OF_HOUR)
#define YEAR_10000_MS   253402300800000LL

enum unit { UNIT_MINUTE, UNIT_HOUR, UNIT_DAY, N_UNITS };

static const struct words {
    struct str tag;
    const char *months[12];
    /* 25<after_day> November 2026<before_hour>14<between>05<after_time> */
    const char *after_day, *before_hour, *between, *after_time;
    const char *units[N_UNITS][2]; /* one, several */
    const char *after_request;
} words[N_LANGUAGES] = {
    [LANGUAGE_EN] = {{"en", 2},
                     {"January", "February", "March", "April", "May", "June", "July", "August",
                      "September", "October", "November", "December"},
                     "",
                     " at ",
                     ":",
                     " UTC",
                     {{"minute", "minutes"}, {"hour", "hours"}, {"day", "days"}},
                     "after you asked for it"},
    [LANGUAGE_NL] = {{"nl", 2},
                     {"januari", "februari", "maart", "april", "mei", "juni", "juli", "augustus",
                      "september", "oktober", "november", "december"},
                     "",
                     " om ",
                     ".",
                     " uur UTC",
                     {{"minuut", "minuten"}, {"uur", "uur"}, {"dag", "dagen"}},
                     "na uw aanvraag"},
    [LANGUAGE_DE] = {{"de", 2},
                     {"Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August",
                      "September", "Oktober", "November", "Dezember"},
                     ".",
                     " um ",
                     ":",
                     " Uhr UTC",
                     {{"Minute", "Minuten"}, {"Stunde", "Stunden"}, {"Tag", "Tage"}},
                     "nach Ihrer Anforderung"},
};

struct str words_tag(enum language l)
{
    return words[l].tag;
}

enum language words_language(struct str locale)
{
    for (enum language l = 0; l < N_LANGUAGES; l++)
        if (str_equal(locale, words[l].tag))
            return l;
    return LANGUAGE_EN;
}

bool words_can_tell(int64_t unix_ms)
{
    return unix_ms >= 0 && unix_ms < YEAR_10000_MS;
}

static struct tm utc(int64_t unix_ms)
{
    time_t seconds = unix_ms / 1000;
    struct tm t;
    gmtime_r(&seconds, &t);
    return t;
}

void words_time(struct buf *out, enum language l, int64_t unix_ms)
{
    const struct words *w = &words[l];
    struct tm t = utc(unix_ms);
    buf_printf(out, "%d%s %s %d%s%02d%s%02d%s", t.tm_mday, w->after_day, w->months[t.tm_mon],
               t.tm_year + 1900, w->before_hour, t.tm_hour, w->between, t.tm_min, w->after_time);
}

/* In the largest unit that it is a whole number of. */
static void tell_length(struct buf *out, const struct words *w, int64_t minutes)
{
    enum unit unit = UNIT_MINUTE;
    int64_t n = minutes;
    if (minutes > 0 && minutes % MINUTES_OF_DAY == 0) {
        unit = UNIT_DAY;
        n = minutes / MINUTES_OF_DAY;
    } else if (minutes > 0 && minutes % MINUTES_OF_HOUR == 0) {
        unit = UNIT_HOUR;
        n = minutes / MINUTES_OF_HOUR;
    }
    buf_printf(out, "%lld %s", (long long)n, w->units[unit][n == 1 ? 0 : 1]);
}

void words_expiry(struct buf *out, enum language l, int64_t begin_ms, int64_t end_ms)
{
    words_time(out, l, end_ms);
    buf_printf(out, " (");
    tell_length(out, &words[l], (end_ms - begin_ms) / MINUTE_MS);
    buf_printf(out, " %s)", words[l].after_request);
}

void words_header_date(struct buf *out, int64_t unix_ms)
{
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct tm t = utc(unix_ms);
    buf_printf(out, "%s, %02d %s %04d %02d:%02d:%02d +0000", days[t.tm_wday], t.tm_mday,
               months[t.tm_mon], t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
}

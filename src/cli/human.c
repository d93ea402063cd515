/* SPDX-License-Identifier: ISC */
#include "cli/human_internal.h"

#include "cli/rfc3339_internal.h"

#include <inttypes.h>

void human_duration(char out[static HUMAN_MAX], const Google__Protobuf__Duration *d)
{
    int64_t seconds = d->seconds;
    if (d->nanos > 0 && seconds < INT64_MAX)
        seconds++;
    if (seconds >= 3600 && seconds % 3600 == 0)
        snprintf(out, HUMAN_MAX, "%" PRId64 " h", seconds / 3600);
    else if (seconds >= 120 && seconds % 60 == 0)
        snprintf(out, HUMAN_MAX, "%" PRId64 " min", seconds / 60);
    else
        snprintf(out, HUMAN_MAX, "%" PRId64 " s", seconds);
}

void human_time(char out[static HUMAN_MAX], const Google__Protobuf__Timestamp *t)
{
    char text[RFC3339_MAX];
    bool has_text = rfc3339_format(text, t->seconds, 0);
    snprintf(out, HUMAN_MAX, "%s", has_text ? text : "no time");
}

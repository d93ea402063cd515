/* SPDX-License-Identifier: ISC */
#ifndef CLI_HUMAN_INTERNAL_H
#define CLI_HUMAN_INTERNAL_H

/* Times and durations for people. Thread: any. */

#include "google/protobuf/duration.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"

#define HUMAN_MAX 96

/* "90 s", "10 min", "24 h": the largest unit that is exact, seconds rounded up. */
void human_duration(char out[static HUMAN_MAX], const Google__Protobuf__Duration *d);

/* RFC 3339 in whole seconds, UTC. */
void human_time(char out[static HUMAN_MAX], const Google__Protobuf__Timestamp *t);

#endif

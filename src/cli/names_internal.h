/* SPDX-License-Identifier: ISC */
#ifndef CLI_NAMES_INTERNAL_H
#define CLI_NAMES_INTERNAL_H

/* The short names of enum values: what is left of VERIFY_OUTCOME_WRONG_CODE without the
 * prefix that the values of an enum share. Thread: any. */

#include "base/err.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

/* "WRONG_CODE"; "UNKNOWN" for a number that the enum does not have. */
const char *names_short(const ProtobufCEnumDescriptor *type, int value);

/* The value with this short name, in either case; false when there is none. The zero
 * value cannot be named. */
MUST_CHECK bool names_parse(const ProtobufCEnumDescriptor *type, const char *text, int *out);

#endif

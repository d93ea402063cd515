/* SPDX-License-Identifier: ISC */
#include "trace_internal.h"

#include "grpc/call.h"

#include <stdio.h>
#include <string.h>

/* version "-" trace-id "-" parent-id "-" flags */
enum { VERSION_LEN = 2, PARENT_LEN = 16, FLAGS_LEN = 2 };
#define TRACE_AT        (VERSION_LEN + 1)
#define PARENT_AT       (TRACE_AT + TRACE_ID_LEN + 1)
#define FLAGS_AT        (PARENT_AT + PARENT_LEN + 1)
#define TRACEPARENT_LEN (FLAGS_AT + FLAGS_LEN)

static bool is_hex(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'a' && p[i] <= 'f')))
            return false;
    return true;
}

static bool is_zero(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] != '0')
            return false;
    return true;
}

struct str trace_id_in(struct str s)
{
    static const struct str none = {"", 0};
    if (s.len < TRACEPARENT_LEN)
        return none;
    bool first_version = s.p[0] == '0' && s.p[1] == '0';
    /* A later version may have more behind a dash. */
    if (s.len > TRACEPARENT_LEN && (first_version || s.p[TRACEPARENT_LEN] != '-'))
        return none;
    if (s.p[TRACE_AT - 1] != '-' || s.p[PARENT_AT - 1] != '-' || s.p[FLAGS_AT - 1] != '-')
        return none;
    if (!is_hex(s.p, VERSION_LEN) || (s.p[0] == 'f' && s.p[1] == 'f') ||
        !is_hex(s.p + TRACE_AT, TRACE_ID_LEN) || is_zero(s.p + TRACE_AT, TRACE_ID_LEN) ||
        !is_hex(s.p + PARENT_AT, PARENT_LEN) || is_zero(s.p + PARENT_AT, PARENT_LEN) ||
        !is_hex(s.p + FLAGS_AT, FLAGS_LEN))
        return none;
    return (struct str){s.p + TRACE_AT, TRACE_ID_LEN};
}

static void copy(char *out, struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        out[i] = s.p[i];
    out[s.len] = '\0';
}

void trace_read(struct trace *out, const struct grpc_call *call)
{
    struct str value;
    out->id[0] = out->request_id[0] = '\0';
    if (grpc_call_metadata_get(call, "traceparent", &value))
        copy(out->id, trace_id_in(value));
    if (grpc_call_metadata_get(call, "x-request-id", &value) && value.len <= TRACE_REQUEST_MAX &&
        str_is_plain(value))
        copy(out->request_id, value);
}

void trace_set_request(struct trace *t, const uint8_t *u)
{
    char hex[2 * 16 + 1];
    str_hex_encode(hex, u, 16);
    snprintf(t->request_id, sizeof t->request_id, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8,
             hex + 12, hex + 16, hex + 20);
}

size_t trace_fields(const struct trace *t, struct log_field out[static TRACE_FIELDS_MAX])
{
    size_t n = 0;
    if (t->request_id[0] != '\0')
        out[n++] = log_c("request_id", t->request_id);
    if (t->id[0] != '\0')
        out[n++] = log_c("trace_id", t->id);
    return n;
}

/* SPDX-License-Identifier: ISC */
#include "grpc/fields_internal.h"

#include "base/mem.h"
#include "grpc/codec_internal.h"

#include <stdio.h>
#include <string.h>

#define STATUS_FIELDS   3  /* grpc-status, grpc-message, grpc-status-details-bin */
#define STATUS_TEXT_MAX 12 /* an int and a NUL */

const nghttp2_nv fields_status_ok = FIELDS_FIXED("grpc-status", "0");

static size_t room_for_status(const struct grpc_answer *a)
{
    return STATUS_TEXT_MAX + CODEC_PERCENT_MAX(a->status_message.len) +
           CODEC_BASE64_MAX(a->status_details.len);
}

struct fields *fields_new(size_t n_fixed, const struct grpc_answer *status,
                          const struct grpc_metadata *metadata, size_t n_metadata)
{
    size_t room = status != NULL ? room_for_status(status) : 0;
    for (size_t i = 0; i < n_metadata; i++)
        room += metadata[i].name.len + CODEC_BASE64_MAX(metadata[i].value.len);
    size_t table = (n_fixed + STATUS_FIELDS + n_metadata) * sizeof(nghttp2_nv);
    struct fields *f = mem_alloc(sizeof *f + table + room);
    f->n = 0;
    f->free_at = (char *)f->nv + table;
    return f;
}

void fields_add_fixed(struct fields *f, const nghttp2_nv *field)
{
    f->nv[f->n++] = *field;
}

/* The value has been written to free_at. */
static void add(struct fields *f, struct str name, size_t value_len)
{
    f->nv[f->n++] = (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name.p,
                                 .namelen = name.len,
                                 .value = (uint8_t *)f->free_at,
                                 .valuelen = value_len};
    f->free_at += value_len;
}

void fields_add_status(struct fields *f, const struct grpc_answer *a)
{
    if (a->status == GRPC_OK)
        fields_add_fixed(f, &fields_status_ok);
    else
        add(f, STR("grpc-status"),
            (size_t)snprintf(f->free_at, STATUS_TEXT_MAX, "%d", (int)a->status));
    if (a->status_message.len > 0)
        add(f, STR("grpc-message"), codec_percent_encode(f->free_at, a->status_message));
    if (a->status_details.len > 0)
        add(f, STR("grpc-status-details-bin"), codec_base64_encode(f->free_at, a->status_details));
}

static bool is_sendable(const struct grpc_metadata *m)
{
    static const char *const reserved[] = {"te", "content-type", "content-length", "connection"};
    if (m->name.len == 0 || m->name.p[0] == ':' || str_has_prefix(m->name, STR("grpc-")))
        return false;
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
        if (str_equal(m->name, str_from(reserved[i])))
            return false;
    return nghttp2_check_header_name((const uint8_t *)m->name.p, m->name.len) &&
           (codec_is_binary(m->name) ||
            nghttp2_check_header_value_rfc9113((const uint8_t *)m->value.p, m->value.len));
}

static size_t write_value(char *out, const struct grpc_metadata *m)
{
    if (codec_is_binary(m->name))
        return codec_base64_encode(out, m->value);
    if (m->value.len > 0)
        memcpy(out, m->value.p, m->value.len);
    return m->value.len;
}

void fields_add_metadata(struct fields *f, const struct grpc_metadata *metadata, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct grpc_metadata *m = &metadata[i];
        if (!is_sendable(m))
            continue;
        struct str name = {.p = f->free_at, .len = m->name.len};
        memcpy(f->free_at, m->name.p, m->name.len);
        f->free_at += m->name.len;
        add(f, name, write_value(f->free_at, m));
    }
}

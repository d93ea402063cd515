/* SPDX-License-Identifier: ISC */
#include "grpc/head_internal.h"

#include "base/mem.h"
#include "grpc/codec_internal.h"
#include "grpc/scrub_internal.h"

#include <stdlib.h>
#include <strings.h>

#define ENTRY_OVERHEAD 32 /* RFC 9113 section 6.5.2: what an entry counts beside its bytes */
#define FIRST_ENTRIES  8
#define KEEP_ENTRIES   64 /* more are given back instead of being kept for the next call */

/* Places, not pointers: text moves while it grows. */
struct head_entry {
    uint32_t name, name_len;
    uint32_t value, value_len;
};

void head_release(struct head *h)
{
    buf_release(&h->text);
    free(h->entries);
    free(h->metadata);
    *h = (struct head){0};
}

void head_reset(struct head *h)
{
    if (h->cap_entries > KEEP_ENTRIES) {
        free(h->entries);
        free(h->metadata);
        h->entries = NULL;
        h->metadata = NULL;
        h->cap_entries = 0;
    }
    scrub(&h->text);
    *h = (struct head){.text = h->text,
                       .entries = h->entries,
                       .metadata = h->metadata,
                       .cap_entries = h->cap_entries};
}

struct str head_path(const struct head *h)
{
    return (struct str){.p = (const char *)h->text.data, .len = h->path_len};
}

static void take_path(struct head *h, struct str value)
{
    /* nghttp2 lets pseudo-headers come first only, and each once. */
    buf_append_str(&h->text, value);
    h->path_len = value.len;
}

static void take_method(struct head *h, struct str value)
{
    if (str_equal(value, STR("POST")))
        h->http_method = HEAD_METHOD_POST;
    else if (str_equal(value, STR("HEAD")))
        h->http_method = HEAD_METHOD_HEAD;
}

/* Is rest, what follows "application/grpc", the end of the type or the form we speak?
 * "application/grpc-web" is another protocol. */
static bool is_own_subtype(struct str rest)
{
    if (str_has_prefix(rest, STR("+proto")))
        rest = (struct str){.p = rest.p + 6, .len = rest.len - 6};
    return rest.len == 0 || rest.p[0] == ';' || rest.p[0] == ' ';
}

static void take_content_type(struct head *h, struct str value)
{
    static const struct str grpc = {.p = "application/grpc", .len = 16};
    h->is_grpc = value.len >= grpc.len && strncasecmp(value.p, grpc.p, grpc.len) == 0 &&
                 is_own_subtype((struct str){.p = value.p + grpc.len, .len = value.len - grpc.len});
}

static void take_timeout(struct head *h, struct str value)
{
    if (h->has_timeout || !codec_timeout_parse(value, &h->timeout_ms))
        h->bad_timeout = true;
    h->has_timeout = true;
}

static void take_encoding(struct head *h, struct str value)
{
    if (h->encoding == FRAME_NO_ENCODING && str_equal(value, STR("gzip")))
        h->encoding = FRAME_GZIP;
    else if (h->encoding == FRAME_NO_ENCODING && str_equal(value, STR("identity")))
        h->encoding = FRAME_IDENTITY;
    else
        h->encoding = FRAME_FOREIGN;
}

/* Cuts the first element from a comma-separated list; false when *rest is used up. */
static bool next_element(struct str *rest, struct str *element_out)
{
    if (rest->p == NULL)
        return false;
    size_t end = 0;
    while (end < rest->len && rest->p[end] != ',')
        end++;
    struct str element = {.p = rest->p, .len = end};
    while (element.len > 0 && element.p[0] == ' ') {
        element.p++;
        element.len--;
    }
    while (element.len > 0 && element.p[element.len - 1] == ' ')
        element.len--;
    *element_out = element;
    if (end == rest->len)
        rest->p = NULL;
    else
        *rest = (struct str){.p = rest->p + end + 1, .len = rest->len - end - 1};
    return true;
}

static void take_accept_encoding(struct head *h, struct str value)
{
    for (struct str element; next_element(&value, &element);)
        if (str_equal(element, STR("gzip")))
            h->takes_gzip = true;
}

static void ignore(struct head *h, struct str value)
{
    (void)h;
    (void)value;
}

/* The next entry; its name stands in text from name_at on, its value will follow. */
static struct head_entry *add_entry(struct head *h, uint32_t name_at, size_t name_len)
{
    if (h->n_entries == h->cap_entries) {
        h->cap_entries = h->cap_entries > 0 ? h->cap_entries * 2 : FIRST_ENTRIES;
        h->entries = mem_realloc(h->entries, h->cap_entries * sizeof *h->entries);
        h->metadata = mem_realloc(h->metadata, h->cap_entries * sizeof *h->metadata);
    }
    struct head_entry *entry = &h->entries[h->n_entries++];
    *entry = (struct head_entry){
        .name = name_at, .name_len = (uint32_t)name_len, .value = (uint32_t)h->text.len};
    return entry;
}

static void add_text(struct head *h, uint32_t name_at, size_t name_len, struct str value)
{
    struct head_entry *entry = add_entry(h, name_at, name_len);
    entry->value_len = (uint32_t)value.len;
    buf_append_str(&h->text, value);
}

/* Several values of one binary name may come joined by commas, which base64 has not. */
static void add_binary(struct head *h, uint32_t name_at, size_t name_len, struct str value)
{
    for (struct str element; next_element(&value, &element);) {
        struct head_entry *entry = add_entry(h, name_at, name_len);
        char *out = (char *)buf_reserve(&h->text, CODEC_BASE64_DECODED_MAX(element.len));
        size_t len = 0;
        if (!codec_base64_decode(out, &len, element))
            h->bad_binary = true;
        entry->value_len = (uint32_t)len;
        h->text.len += len;
    }
}

static void take_metadata(struct head *h, struct str name, struct str value)
{
    uint32_t name_at = (uint32_t)h->text.len;
    buf_append_str(&h->text, name);
    if (codec_is_binary(name))
        add_binary(h, name_at, name.len, value);
    else
        add_text(h, name_at, name.len, value);
}

/* What the transport reads itself. Other names that begin with ':' or "grpc-" are
 * nobody's business: the first are HTTP's, the second are reserved. */
static const struct head_rule {
    struct str name;
    void (*take)(struct head *h, struct str value);
} rules[] = {
    {{":path", 5}, take_path},
    {{":method", 7}, take_method},
    {{":scheme", 7}, ignore},
    {{":authority", 10}, ignore},
    {{"te", 2}, ignore},
    {{"content-type", 12}, take_content_type},
    {{"grpc-timeout", 12}, take_timeout},
    {{"grpc-encoding", 13}, take_encoding},
    {{"grpc-accept-encoding", 20}, take_accept_encoding},
};

static void sort_in(struct head *h, struct str name, struct str value)
{
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        if (name.len == rules[i].name.len && str_equal(name, rules[i].name)) {
            rules[i].take(h, value);
            return;
        }
    }
    if (name.p[0] != ':' && !str_has_prefix(name, STR("grpc-")))
        take_metadata(h, name, value);
}

bool head_take_trailer(struct head *h, struct str name, struct str value, size_t limit)
{
    h->counted += name.len + value.len + ENTRY_OVERHEAD;
    return h->counted <= limit * HEAD_HARD_LIMIT;
}

bool head_take(struct head *h, struct str name, struct str value, size_t limit)
{
    if (!head_take_trailer(h, name, value, limit))
        return false;
    if (h->counted <= limit && name.len > 0)
        sort_in(h, name, value);
    return true;
}

int head_http_status(const struct head *h, size_t limit)
{
    if (h->counted > limit)
        return 200; /* not all has been taken; head_finish says so */
    if (h->http_method != HEAD_METHOD_POST)
        return 405;
    return h->is_grpc ? 200 : 415;
}

static struct str place(const struct head *h, uint32_t at, uint32_t len)
{
    return (struct str){.p = (const char *)h->text.data + at, .len = len};
}

struct refusal head_finish(struct head *h, size_t limit)
{
    if (h->counted > limit)
        return (struct refusal){GRPC_RESOURCE_EXHAUSTED, "metadata too large"};
    if (h->bad_timeout)
        return (struct refusal){GRPC_INTERNAL, "malformed grpc-timeout"};
    if (h->encoding == FRAME_FOREIGN)
        return (struct refusal){GRPC_UNIMPLEMENTED, "unknown compression"};
    if (h->bad_binary)
        return (struct refusal){GRPC_INTERNAL, "malformed binary metadata"};
    for (size_t i = 0; i < h->n_entries; i++) {
        const struct head_entry *entry = &h->entries[i];
        h->metadata[i] = (struct grpc_metadata){
            .name = place(h, entry->name, entry->name_len),
            .value = place(h, entry->value, entry->value_len),
        };
    }
    return REFUSAL_NONE;
}

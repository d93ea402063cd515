/* SPDX-License-Identifier: ISC */
#ifndef RPC_CHECK_INTERNAL_H
#define RPC_CHECK_INTERNAL_H

/* The rules of the fields. Each function notes what is wrong, with the field's name, and
 * returns the value, or an empty one. Strings are those of wire_unpack: UTF-8 without NUL.
 * Thread: any. */

#include "base/str.h"
#include "domain/domain.h"
#include "grpc/status.h"

struct job;
struct violations;

void check_note(struct violations *v, const char *field, const char *text);

/* 1 to ID_MAX bytes without control characters. */
struct tenant_id check_tenant(struct violations *v, const char *field, const char *value);
struct user_id check_user(struct violations *v, const char *field, const char *value);

/* At most max bytes without control characters; may be empty. */
struct str check_text(struct violations *v, const char *field, const char *value, size_t max);

/* As check_text, and without a colon: it stands in a key URI. */
struct str check_label(struct violations *v, const char *field, const char *value, size_t max);

/* An IPv4 or IPv6 address, or empty. */
struct str check_ip(struct violations *v, const char *field, const char *value);

/* A mail address (RFC 5321) of printable ASCII with one @, or empty. */
struct str check_mail(struct violations *v, const char *field, const char *value);

/* "en", "nl", "de", or empty. */
struct str check_locale(struct violations *v, const char *field, const char *value);

/* A link with {token} in it: https, or http on a loopback address; or empty. */
struct str check_link(struct violations *v, const char *field, const char *value);

/* A UUID that is not all zeros into out[REQUEST_ID_LEN]; false when empty or wrong. */
bool check_uuid(struct violations *v, const char *field, const char *value, uint8_t *out);

/* Only ASCII digits, as many as some policy's codes have; may be empty. */
struct str check_code(struct violations *v, const char *field, const char *value);

/* Who asks: the caller, for a user at client_address. */
struct actor check_actor(struct violations *v, const struct job *job, const char *client_address);

/* The channel that the caller asks for, or the only one it has. GRPC_PERMISSION_DENIED for
 * one that it does not have. */
enum grpc_status check_channel(struct violations *v, const struct job *job, int wanted,
                               enum channel *out);

#endif

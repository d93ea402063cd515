/* SPDX-License-Identifier: ISC */
#ifndef MAIL_HEADER_INTERNAL_H
#define MAIL_HEADER_INTERNAL_H

/* Header fields (RFC 5322, RFC 2047) and what may stand in them. Each is appended whole, as
 * "Name: value" in ASCII, folded where it is long, ended by a NUL. Thread: any. */

#include "base/str.h"

struct buf;

#define HEADER_ADDRESS_MAX 254
#define HEADER_LOCAL_MAX   64

/* A mailbox without frills: dot-atom @ dot-atom, of ASCII. */
bool header_is_address(struct str s);

/* Parts between dots, of the characters that an atom may have. */
bool header_is_dot_atom(struct str s);

/* A field whose value needs nothing. */
void header_raw(struct buf *out, const char *name, struct str value);

/* A field of text. value is plain (str_is_plain); what is not short ASCII is encoded. */
void header_text(struct buf *out, const char *name, struct str value);

/* A field of one mailbox; display is plain, and may be empty. */
void header_mailbox(struct buf *out, const char *name, struct str display, struct str address);

#endif

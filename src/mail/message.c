/* SPDX-License-Identifier: ISC */
#include "message_internal.h"

#include "catalog_internal.h"
#include "header_internal.h"
#include "words_internal.h"

#include <stdio.h>
#include <string.h>

#define LINK_MAX_LEN       2048
#define NAME_MAX_LEN       256
#define MESSAGE_ID_MAX_LEN 64

/* ---- what may be sent -------------------------------------------------------------------------
 */

/* A link to click on, and nothing else that a browser would run or that could end an attribute. */
static bool is_link(struct str s)
{
    if (!str_has_prefix(s, STR("https://")) && !str_has_prefix(s, STR("http://")))
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] <= 0x20 || s.p[i] > 0x7e || strchr("\"<>\\^`{|}", s.p[i]) != NULL)
            return false;
    return s.len <= LINK_MAX_LEN;
}

static bool is_name(struct str s)
{
    return s.len <= NAME_MAX_LEN && str_is_plain(s);
}

static bool is_kind(enum mail_kind kind)
{
    return kind == MAIL_RESET || kind == MAIL_ENROLLED || kind == MAIL_REPLACED;
}

static enum err check(const struct mail_message *m, struct err_text *why)
{
    bool reset = m->kind == MAIL_RESET;
    const struct {
        bool ok;
        const char *what;
    } rules[] = {
        {is_kind(m->kind), "the kind is none that there is a text for"},
        {header_is_address(m->to), "the address is not one that mail can be sent to"},
        {header_is_address(m->from), "the sender's address is not one that mail can come from"},
        {is_name(m->from_name), "the sender's name has characters that cannot be in a mail"},
        {is_name(m->issuer), "the issuer has characters that cannot be in a mail"},
        {m->message_id.len <= MESSAGE_ID_MAX_LEN && header_is_dot_atom(m->message_id),
         "the message id is not one"},
        {words_can_tell(m->date_ms), "the date is not one"},
        {!reset || is_link(m->link), "the link is not one that can be in a mail"},
        {!reset || (words_can_tell(m->expire_ms) && m->expire_ms > m->date_ms),
         "the link ends before it begins"},
    };
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        if (!rules[i].ok)
            return err_set(why, ERR_INVALID, NULL, "%s", rules[i].what);
    return ERR_OK;
}

/* ---- headers ------------------------------------------------------------------------------------
 */

static struct str domain_of(struct str address)
{
    const char *at = memchr(address.p, '@', address.len);
    return (struct str){at + 1, address.len - (size_t)(at - address.p) - 1};
}

static void write_headers(struct buf *out, const struct mail_message *m, struct str subject,
                          enum language l)
{
    struct str domain = domain_of(m->from);
    struct buf date = BUF_INIT, id = BUF_INIT;
    words_header_date(&date, m->date_ms);
    buf_printf(&id, "<%.*s@%.*s>", (int)m->message_id.len, m->message_id.p, (int)domain.len,
               domain.p);
    header_raw(out, "Date", buf_str(&date));
    header_mailbox(out, "From", m->from_name, m->from);
    header_raw(out, "To", m->to);
    header_text(out, "Subject", subject);
    header_raw(out, "Message-ID", buf_str(&id));
    header_raw(out, "Auto-Submitted", STR("auto-generated"));
    header_raw(out, "Content-Language", words_tag(l));
    header_raw(out, "MIME-Version", STR("1.0"));
    buf_release(&id);
    buf_release(&date);
}

/* ---- all of it ----------------------------------------------------------------------------------
 */

static void wipe(struct buf *b)
{
    if (b->data != NULL)
        explicit_bzero(b->data, b->cap);
    buf_release(b);
}

static void write_html(struct buf *out, const struct mail_templates *t,
                       const struct catalog_entry *entry, struct template_values values)
{
    struct buf body = BUF_INIT;
    template_fill(&body, &entry->html, &values, TEMPLATE_HTML);
    values.of[SLOT_BODY] = buf_str(&body);
    template_fill(out, catalog_frame(t), &values, TEMPLATE_HTML);
    wipe(&body);
}

static void write_path(char out[static MESSAGE_PATH_MAX + 1], struct str address)
{
    snprintf(out, MESSAGE_PATH_MAX + 1, "<%.*s>", (int)address.len, address.p);
}

enum err message_compose(struct message *out, const struct mail_templates *t,
                         const struct mail_message *m, struct err_text *why)
{
    *out = (struct message){0};
    TRY(check(m, why));
    enum language l = words_language(m->locale);
    const struct catalog_entry *entry = catalog_entry(t, m->kind, l);
    struct buf date = BUF_INIT, expires = BUF_INIT, subject = BUF_INIT;
    words_time(&date, l, m->date_ms);
    if (m->kind == MAIL_RESET)
        words_expiry(&expires, l, m->date_ms, m->expire_ms);
    struct template_values values = {.of = {[SLOT_ISSUER] = m->issuer,
                                            [SLOT_LINK] = m->link,
                                            [SLOT_EXPIRES] = buf_str(&expires),
                                            [SLOT_DATE] = buf_str(&date),
                                            [SLOT_LANGUAGE] = words_tag(l)}};
    template_fill(&subject, &entry->subject, &values, TEMPLATE_PLAIN);
    values.of[SLOT_SUBJECT] = buf_str(&subject);
    write_path(out->from, m->from);
    write_path(out->to, m->to);
    write_headers(&out->headers, m, buf_str(&subject), l);
    template_fill(&out->text, &entry->text, &values, TEMPLATE_PLAIN);
    write_html(&out->html, t, entry, values);
    buf_release(&subject);
    buf_release(&expires);
    buf_release(&date);
    return ERR_OK;
}

void message_release(struct message *m)
{
    wipe(&m->text);
    wipe(&m->html);
    buf_release(&m->headers);
}

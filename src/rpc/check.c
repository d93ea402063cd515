/* SPDX-License-Identifier: ISC */
#include "check_internal.h"

#include "rpc_internal.h"
#include "twostep/v1/twostep.pb-c.h"

#include <arpa/inet.h>
#include <string.h>

#define MAIL_MAX       254
#define MAIL_LOCAL_MAX 64
#define UUID_LEN       36

void check_note(struct violations *v, const char *field, const char *text)
{
    if (v->n < VIOLATIONS_MAX)
        v->list[v->n++] = (struct violation){.field = field, .text = text};
}

static struct str check_id(struct violations *v, const char *field, const char *value)
{
    struct str s = str_from(value);
    if (s.len == 0)
        check_note(v, field, "missing");
    else if (s.len > ID_MAX)
        check_note(v, field, "longer than 128 bytes");
    else if (!str_is_plain(s))
        check_note(v, field, "has a control character");
    else
        return s;
    return STR("");
}

struct tenant_id check_tenant(struct violations *v, const char *field, const char *value)
{
    return (struct tenant_id){check_id(v, field, value)};
}

struct user_id check_user(struct violations *v, const char *field, const char *value)
{
    return (struct user_id){check_id(v, field, value)};
}

struct str check_text(struct violations *v, const char *field, const char *value, size_t max)
{
    struct str s = str_from(value);
    if (s.len > max)
        check_note(v, field, "too long");
    else if (!str_is_plain(s))
        check_note(v, field, "has a control character");
    else
        return s;
    return STR("");
}

struct str check_label(struct violations *v, const char *field, const char *value, size_t max)
{
    struct str s = check_text(v, field, value, max);
    if (s.len == 0 || memchr(s.p, ':', s.len) == NULL)
        return s;
    check_note(v, field, "has a colon, which authenticator apps do not take");
    return STR("");
}

struct str check_ip(struct violations *v, const char *field, const char *value)
{
    uint8_t address[16];
    if (value[0] == '\0' || inet_pton(AF_INET, value, address) == 1 ||
        inet_pton(AF_INET6, value, address) == 1)
        return str_from(value);
    check_note(v, field, "not an IP address");
    return STR("");
}

/* Printable ASCII without what could end an address or begin another. */
static bool is_mail_text(struct str s)
{
    static const char refused[] = " <>()[],;:\\\"";
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] < 0x21 || s.p[i] > 0x7e || strchr(refused, s.p[i]) != NULL)
            return false;
    return s.len > 0 && s.p[0] != '.' && s.p[s.len - 1] != '.';
}

struct str check_mail(struct violations *v, const char *field, const char *value)
{
    struct str s = str_from(value);
    if (s.len == 0)
        return s;
    const char *at = strchr(value, '@');
    if (at == NULL || s.len > MAIL_MAX || at - value > MAIL_LOCAL_MAX ||
        strchr(at + 1, '@') != NULL ||
        !is_mail_text((struct str){.p = value, .len = (size_t)(at - value)}) ||
        !is_mail_text(str_from(at + 1))) {
        check_note(v, field, "not a mail address in ASCII");
        return STR("");
    }
    return s;
}

struct str check_locale(struct violations *v, const char *field, const char *value)
{
    static const char *const known[] = {"", "en", "nl", "de"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(value, known[i]) == 0)
            return str_from(value);
    check_note(v, field, "none of en, nl and de");
    return STR("");
}

/* http is for a CRM on the developer's own machine. */
static bool has_safe_scheme(struct str s)
{
    static const char *const starts[] = {
        "https://",          "http://localhost/", "http://localhost:", "http://127.0.0.1/",
        "http://127.0.0.1:", "http://[::1]/",     "http://[::1]:"};
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++)
        if (str_has_prefix(s, str_from(starts[i])))
            return s.len > strlen(starts[i]);
    return false;
}

struct str check_link(struct violations *v, const char *field, const char *value)
{
    struct str s = str_from(value);
    if (s.len == 0)
        return s;
    if (s.len > POLICY_LINK_MAX)
        check_note(v, field, "longer than 512 bytes");
    else if (!has_safe_scheme(s))
        check_note(v, field, "not https, nor http on a loopback address");
    else if (strstr(value, "{token}") == NULL)
        check_note(v, field, "has no {token}");
    else if (strpbrk(value, " \"<>\\^`|") != NULL || !str_is_plain(s))
        check_note(v, field, "has a character that a URI cannot have");
    else
        return s;
    return STR("");
}

bool check_uuid(struct violations *v, const char *field, const char *value, uint8_t *out)
{
    if (value[0] == '\0')
        return false;
    char hex[2 * REQUEST_ID_LEN];
    size_t n = 0, len = strlen(value);
    for (size_t i = 0; i < len && len == UUID_LEN; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash != (value[i] == '-'))
            break;
        if (!dash)
            hex[n++] = value[i];
    }
    static const uint8_t zero[REQUEST_ID_LEN];
    if (n == sizeof hex && str_hex_decode(out, REQUEST_ID_LEN, (struct str){hex, n}) &&
        !str_equal_bytes(out, zero, REQUEST_ID_LEN))
        return true;
    check_note(v, field, "not a UUID, or the nil one");
    return false;
}

struct str check_code(struct violations *v, const char *field, const char *value)
{
    struct str s = str_from(value);
    size_t digits = strspn(value, "0123456789");
    if (s.len == 0 || (digits == s.len && (s.len == 6 || s.len == 8)))
        return s;
    check_note(v, field, "not 6 or 8 ASCII digits");
    return STR("");
}

struct actor check_actor(struct violations *v, const struct job *job, const char *client_address)
{
    return (struct actor){
        .caller = str_from(job->caller->name),
        .client_address = check_ip(v, "client_address", client_address),
    };
}

enum grpc_status check_channel(struct violations *v, const struct job *job, int wanted,
                               enum channel *out)
{
    uint32_t has = job->caller->permissions & PERMISSION_LOGIN;
    *out = CHANNEL_WEB;
    switch (wanted) {
    case TWOSTEP__V1__CHANNEL__CHANNEL_UNSPECIFIED:
        if (has == PERMISSION_LOGIN)
            check_note(v, "channel", "missing: this caller has two channels");
        *out = has == PERMISSION_LOGIN_MOBILE ? CHANNEL_MOBILE : CHANNEL_WEB;
        return GRPC_OK;
    case TWOSTEP__V1__CHANNEL__CHANNEL_WEB:
        return has & PERMISSION_LOGIN_WEB ? GRPC_OK : GRPC_PERMISSION_DENIED;
    case TWOSTEP__V1__CHANNEL__CHANNEL_MOBILE:
        *out = CHANNEL_MOBILE;
        return has & PERMISSION_LOGIN_MOBILE ? GRPC_OK : GRPC_PERMISSION_DENIED;
    }
    check_note(v, "channel", "unknown");
    return GRPC_OK;
}

/* SPDX-License-Identifier: ISC */
#include "cli/enrollment_internal.h"

#include "base/file.h"
#include "base/str.h"
#include "cli/arg_internal.h"
#include "cli/human_internal.h"
#include "cli/term_internal.h"

static bool is_image(Twostep__V1__QrFormat format)
{
    return format == TWOSTEP__V1__QR_FORMAT__QR_FORMAT_PNG ||
           format == TWOSTEP__V1__QR_FORMAT__QR_FORMAT_SVG;
}

enum { KEY_QR_FILE = 0x100, KEY_NOTIFY, KEY_LOCALE, KEY_CLIENT_ADDRESS };

const struct argp_option enrollment_options[] = {
    {"password-verified", 'p', 0, 0, "You have checked the user's password just now", 0},
    {"account-name", 'a', "NAME", 0, "The name beside the issuer in the app", 0},
    {"channel", 'c', "CHANNEL", 0, "How the user signs in: web or mobile", 0},
    {"qr", 'q', "FORMAT", 0, "How to draw the QR code: text (default), png, svg or none", 0},
    {"qr-file", KEY_QR_FILE, "FILE", 0, "Write the QR code to this file, mode 0600", 0},
    {"notify-address", KEY_NOTIFY, "MAIL", 0, "Where a notice of the change is mailed", 0},
    {"locale", KEY_LOCALE, "LANG", 0, "The language of the notice", 0},
    {"client-address", KEY_CLIENT_ADDRESS, "IP", 0, "The user's address, for the audit log", 0},
    {0},
};

static error_t check(const struct enrollment_view *v, Twostep__V1__QrFormat format,
                     const struct argp_state *state)
{
    if (is_image(format) && v->qr_file == NULL && !v->options->json)
        argp_error(state, "an image does not go to a terminal: add --qr-file=FILE");
    if (format == TWOSTEP__V1__QR_FORMAT__QR_FORMAT_NONE && v->qr_file != NULL)
        argp_error(state, "--qr=none leaves nothing for --qr-file");
    return 0;
}

error_t enrollment_option(struct enrollment_view *v, const struct enrollment_fields *f, int key,
                          char *arg, const struct argp_state *state)
{
    switch (key) {
    case 'p':
        *f->password_verified = 1;
        return 0;
    case 'a':
        *f->account_name = arg;
        return 0;
    case 'c':
        v->channel = arg;
        *f->channel = arg_channel(state, arg);
        return 0;
    case 'q':
        *f->qr_format =
            (Twostep__V1__QrFormat)arg_enum(state, "qr", &twostep__v1__qr_format__descriptor, arg);
        return 0;
    case KEY_QR_FILE:
        v->qr_file = arg;
        return 0;
    case KEY_NOTIFY:
        *f->notify_address = arg;
        return 0;
    case KEY_LOCALE:
        *f->locale = arg;
        return 0;
    case KEY_CLIENT_ADDRESS:
        *f->client_address = arg;
        return 0;
    case ARGP_KEY_SUCCESS:
        return check(v, *f->qr_format, state);
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static struct str drawn(const Twostep__V1__EnrollResponse *r)
{
    if (r->qr_png.len > 0)
        return (struct str){.p = (const char *)r->qr_png.data, .len = r->qr_png.len};
    return str_from(*r->qr_svg != '\0' ? r->qr_svg : r->qr_text);
}

static void show(const struct enrollment_view *v, const Twostep__V1__EnrollResponse *r)
{
    if (v->qr_file == NULL && *r->qr_text != '\0')
        term_qr(r->qr_text);
    term_field("secret", "%s", r->secret_base32);
    term_field("uri", "%s", r->otpauth_uri);
    term_field("enrolment", "%s", r->enrollment_id);
    if (r->expire_time != NULL) {
        char until[HUMAN_MAX];
        human_time(until, r->expire_time);
        term_field("good until", "%s", until);
    }
    for (size_t i = 0; i < r->n_app_hints; i++)
        term_field("mind", "%s", r->app_hints[i]);
    bool channel = v->channel != NULL;
    term_field("next",
               "twostepctl verify '%s' '%s' CODE --enrollment-id=%s --password-verified%s%s",
               v->tenant, v->user, r->enrollment_id, channel ? " --channel=" : "",
               channel ? v->channel : "");
}

/* The two responses are the same message under two names, field by field. */
_Static_assert(sizeof(Twostep__V1__ResetConfirmResponse) == sizeof(Twostep__V1__EnrollResponse),
               "ResetConfirmResponse differs from EnrollResponse");

enum cli_exit enrollment_show(const struct enrollment_view *v, const struct remote_answer *answer)
{
    enum cli_exit exit_code = CLI_DONE;
    const Twostep__V1__EnrollResponse *r = (const Twostep__V1__EnrollResponse *)answer->message;
    if (v->options->json)
        exit_code = remote_print_json(answer);
    else
        show(v, r);
    struct err_text why = {0};
    struct str qr = drawn(r);
    if (v->qr_file != NULL &&
        file_write_private(v->qr_file, (const uint8_t *)qr.p, qr.len, false, &why) != ERR_OK) {
        term_problem("%s", why.text);
        term_detail("the secret was made: show its uri as a QR code, or begin again");
        exit_code = CLI_UNDECIDED;
    }
    return exit_code;
}

/* SPDX-License-Identifier: ISC */
#include "cli/enrollment_internal.h"

#include "base/file.h"
#include "base/str.h"
#include "cli/human_internal.h"
#include "cli/term_internal.h"

static bool is_image(Twostep__V1__QrFormat format)
{
    return format == TWOSTEP__V1__QR_FORMAT__QR_FORMAT_PNG ||
           format == TWOSTEP__V1__QR_FORMAT__QR_FORMAT_SVG;
}

void enrollment_check(const struct enrollment_view *v, Twostep__V1__QrFormat format,
                      const struct argp_state *state)
{
    if (is_image(format) && v->qr_file == NULL && !v->options->json)
        argp_error(state, "an image does not go to a terminal: add --qr-file=FILE");
    if (format == TWOSTEP__V1__QR_FORMAT__QR_FORMAT_NONE && v->qr_file != NULL)
        argp_error(state, "--qr=none leaves nothing for --qr-file");
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

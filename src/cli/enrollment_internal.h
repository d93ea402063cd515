/* SPDX-License-Identifier: ISC */
#ifndef CLI_ENROLLMENT_INTERNAL_H
#define CLI_ENROLLMENT_INTERNAL_H

/* A fresh secret and its QR code, as enroll and reset confirm show it: their answers are alike.
 * One thread. */

#include "cli/cli_internal.h"
#include "cli/remote_internal.h"

#include "twostep/v1/twostep.pb-c.h"

/* What is shown where. */
struct enrollment_view {
    struct cli_options *options;
    const char *tenant, *user;
    const char *channel; /* as it was given; NULL: it was not */
    const char *qr_file; /* NULL: the QR code goes to the terminal */
};

/* Where the options of both commands go: members of either request. */
struct enrollment_fields {
    protobuf_c_boolean *password_verified;
    Twostep__V1__Channel *channel;
    Twostep__V1__QrFormat *qr_format;
    char **account_name, **notify_address, **locale, **client_address;
};
#define ENROLLMENT_FIELDS(request)                                                                 \
    {                                                                                              \
        .password_verified = &(request).password_verified, .channel = &(request).channel,          \
        .qr_format = &(request).qr_format, .account_name = &(request).account_name,                \
        .notify_address = &(request).notify_address, .locale = &(request).locale,                  \
        .client_address = &(request).client_address                                                \
    }

extern const struct argp_option enrollment_options[];

/* For a command's argp parser: takes one of these options; ARGP_ERR_UNKNOWN for other keys. */
error_t enrollment_option(struct enrollment_view *v, const struct enrollment_fields *f, int key,
                          char *arg, const struct argp_state *state);

/* Shows an EnrollResponse, or a ResetConfirmResponse, and writes the QR file. */
MUST_CHECK enum cli_exit enrollment_show(const struct enrollment_view *v,
                                         const struct remote_answer *answer);

#endif

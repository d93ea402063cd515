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
    const struct cli_options *options;
    const char *tenant, *user;
    const char *channel; /* as it was given; NULL: it was not */
    const char *qr_file; /* NULL: the QR code goes to the terminal */
};

/* argp_error when the format and the file do not go together. */
void enrollment_check(const struct enrollment_view *v, Twostep__V1__QrFormat format,
                      const struct argp_state *state);

/* Shows an EnrollResponse, or a ResetConfirmResponse, and writes the QR file. */
MUST_CHECK enum cli_exit enrollment_show(const struct enrollment_view *v,
                                         const struct remote_answer *answer);

#endif

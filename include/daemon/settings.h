/* SPDX-License-Identifier: ISC */
#ifndef DAEMON_SETTINGS_H
#define DAEMON_SETTINGS_H

/* The configuration: from a file, from TWOSTEP_… variables, which win, and from defaults.
 * Thread: startup. */

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct buf;

struct settings {
    char *listen;
    char *store;               /* "sqlite:PATH", "mongodb://…" or "mongodb+srv://…" */
    char *store_password_file; /* empty: none; this and the next three: MongoDB's */
    int64_t store_workers;
    bool store_development;
    bool start_without_store;
    char *keyring_file;
    char *callers_file; /* empty: none */
    char *state_dir;
    char *log_level;
    char *metrics_listen;      /* empty: no page */
    bool metrics_allow_remote; /* beyond loopback */
    int64_t threads;           /* loops; never 0 once loaded */
    int64_t drain_seconds;
    bool hardening;
    bool allow_plaintext;                                    /* beyond loopback and Unix sockets */
    char *tls_cert_file, *tls_key_file, *tls_client_ca_file; /* "": none */
    int64_t queue_length;
    int64_t message_bytes;
    int64_t metadata_bytes;
    int64_t streams;
    int64_t connections;
    int64_t stall_seconds;
    int64_t calls; /* on one loop, as connections */
    int64_t peer_connections;
    int64_t output_bytes;
    int64_t idle_frames;
    int64_t idle_seconds, age_seconds, ping_seconds; /* 0: never, never, at will */
    int64_t caller_rate, caller_burst;               /* rates: requests a second; 0: no limit */
    int64_t tenant_rate, tenant_burst;
    int64_t caller_queue_percent;
    int64_t lockout_free_tries;
    int64_t lockout_first_wait;   /* seconds */
    int64_t lockout_longest_wait; /* seconds */
    int64_t lockout_limit;
    char *smtp_url; /* empty: no mail is sent */
    char *smtp_user;
    char *smtp_password_file;
    char *smtp_ca_file;
    bool smtp_allow_plaintext;
    int64_t smtp_timeout_seconds;
    char *template_dir;
    int64_t reset_limit_user; /* resets an hour */
    int64_t reset_limit_address;
    int64_t reset_limit_tenant;
};

/* Reads file (NULL: none) and the environment, and fills in what follows from other keys.
 * Errors name file, line and key, or the variable; where keys do not fit together, the key. */
MUST_CHECK enum err settings_load(const char *file, struct settings *out, struct err_text *why);
void settings_release(struct settings *s);

/* Do they fit together? As settings_load. */
MUST_CHECK enum err settings_check(const struct settings *s, struct err_text *why);

/* Makes of freshly read settings those that can be in effect without a restart: what only a start
 * can change becomes as it is in now. Appends the names of what differs, with spaces between: to
 * changed what is in effect from now on, to waiting what waits for a restart. */
void settings_adopt(struct settings *fresh, const struct settings *now, struct buf *changed,
                    struct buf *waiting);

/* Writes them to standard output in the file's own format, without a password in the store's
 * URI. */
void settings_print(const struct settings *s);

/* The path in "sqlite:PATH", borrowed; NULL when the store is something else. */
const char *settings_sqlite_path(const struct settings *s);

#endif

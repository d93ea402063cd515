/* SPDX-License-Identifier: ISC */
#include "password_internal.h"

#include "base/file.h"
#include "crypto/secret.h"

enum err password_read(struct secret **out, const char *path, struct err_text *why)
{
    uint8_t bytes[SECRET_MAX];
    size_t n;
    *out = secret_new();
    if (path[0] == '\0')
        return ERR_OK;
    enum err e = file_read_private(path, bytes, sizeof bytes - 1, &n, why);
    if (e == ERR_OK) {
        while (n > 0 && (bytes[n - 1] == '\n' || bytes[n - 1] == '\r'))
            n--;
        bytes[n] = '\0';
        secret_set(*out, bytes, n + 1);
    }
    secret_wipe(bytes, sizeof bytes);
    return e;
}

const char *password_text(const struct secret *password)
{
    return password->len > 0 ? (const char *)password->bytes : NULL;
}

/* SPDX-License-Identifier: ISC */
#include "cli/arg_internal.h"

#include "base/buf.h"
#include "cli/names_internal.h"
#include "cli/rfc3339_internal.h"

#include <errno.h>
#include <unistd.h>

#define DURATION_MAX (INT64_C(1000) * 366 * 24 * 3600) /* seconds */

bool arg_bool(const char *text, bool *out)
{
    static const struct {
        const char *word;
        bool value;
    } words[] = {{"yes", true},  {"no", false},  {"on", true},
                 {"off", false}, {"true", true}, {"false", false}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcasecmp(words[i].word, text) == 0) {
            *out = words[i].value;
            return true;
        }
    }
    return false;
}

bool arg_number(const char *text, uint64_t max, uint64_t *out)
{
    return str_to_u64(str_from(text), max, out);
}

bool arg_duration(const char *text, int64_t *ms_out)
{
    static const struct {
        const char *name;
        int64_t ms;
    } units[] = {{"", 1000},   {"ms", 1},         {"s", 1000},
                 {"m", 60000}, {"h", 60 * 60000}, {"d", 24 * 60 * 60000}};
    size_t n = strspn(text, "0123456789");
    uint64_t value;
    if (!str_to_u64((struct str){.p = text, .len = n}, DURATION_MAX, &value))
        return false;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(units[i].name, text + n) == 0) {
            int64_t ms = (int64_t)value * units[i].ms;
            if (ms > DURATION_MAX * 1000)
                return false;
            *ms_out = ms;
            return true;
        }
    }
    return false;
}

bool arg_time(const char *text, int64_t now_ms, int64_t *unix_ms_out)
{
    int64_t ms;
    if (text[0] == '+' || text[0] == '-') {
        if (!arg_duration(text + 1, &ms))
            return false;
        *unix_ms_out = text[0] == '+' ? now_ms + ms : now_ms - ms;
        return true;
    }
    if (text[0] == '@') {
        uint64_t seconds;
        if (!arg_number(text + 1, INT64_MAX / 1000, &seconds))
            return false;
        *unix_ms_out = (int64_t)seconds * 1000;
        return true;
    }
    return rfc3339_parse(text, unix_ms_out);
}

int arg_enum(const struct argp_state *state, const char *option,
             const ProtobufCEnumDescriptor *type, const char *text)
{
    int value = 0;
    if (!names_parse(type, text, &value)) {
        struct buf choices = BUF_INIT;
        for (unsigned i = 1; i < type->n_values; i++)
            buf_printf(&choices, " %s", names_short(type, type->values[i].value));
        buf_append_byte(&choices, '\0');
        argp_error(state, "--%s: '%s' is none of%s", option, text, (const char *)choices.data);
    }
    return value;
}

Twostep__V1__Channel arg_channel(const struct argp_state *state, const char *text)
{
    const ProtobufCEnumDescriptor *type = &twostep__v1__channel__descriptor;
    return (Twostep__V1__Channel)arg_enum(state, "channel", type, text);
}

error_t arg_positional(int key, char *arg, struct argp_state *state, char **args, unsigned min,
                       unsigned max)
{
    if (key == ARGP_KEY_ARG) {
        if (state->arg_num >= max)
            argp_error(state, "too many arguments: %s", arg);
        else
            args[state->arg_num] = arg;
        return 0;
    }
    if (key == ARGP_KEY_END) {
        if (state->arg_num < min)
            argp_error(state, "an argument is missing");
        return 0;
    }
    return ARGP_ERR_UNKNOWN;
}

/* Byte by byte past stdio, which would keep a copy. */
static ssize_t read_byte(char *byte)
{
    ssize_t got;
    do
        got = read(STDIN_FILENO, byte, 1);
    while (got < 0 && errno == EINTR);
    return got;
}

enum err arg_from_stdin(char *out, size_t cap)
{
    size_t len = 0;
    char byte;
    while (read_byte(&byte) == 1 && byte != '\n') {
        bool space = byte == ' ' || byte == '\t' || byte == '\r';
        if (space && len == 0)
            continue;
        if (len + 1 >= cap)
            return ERR_LIMIT;
        out[len++] = byte;
    }
    while (len > 0 && strchr(" \t\r", out[len - 1]) != NULL)
        len--;
    out[len] = '\0';
    return len == 0 ? ERR_NOT_FOUND : ERR_OK;
}

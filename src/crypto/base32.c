/* SPDX-License-Identifier: ISC */
#include "crypto/base32.h"

#include "crypto/secret.h"

/* No table and no branch on a value: both would show in the cache or the time. */

#define BITS        5
#define FIRST_DIGIT 26 /* the value that '2' stands for */

/* All ones when lo <= c <= hi, else 0; for values below 2^31. */
static uint32_t mask_within(uint32_t c, uint32_t lo, uint32_t hi)
{
    return (((c - lo) | (hi - c)) >> 31) - 1;
}

static char symbol_of(uint32_t value)
{
    uint32_t letter = mask_within(value, 0, FIRST_DIGIT - 1);
    return (char)((letter & ('A' + value)) | (~letter & ('2' + value - FIRST_DIGIT)));
}

/* Adds to *bad when c is no symbol. */
static uint32_t value_of(char symbol, uint32_t *bad)
{
    uint32_t c = (uint8_t)symbol;
    uint32_t upper = mask_within(c, 'A', 'Z');
    uint32_t lower = mask_within(c, 'a', 'z');
    uint32_t digit = mask_within(c, '2', '7');
    *bad |= ~(upper | lower | digit);
    return (upper & (c - 'A')) | (lower & (c - 'a')) | (digit & (c - '2' + FIRST_DIGIT));
}

void base32_encode(char *out, const uint8_t *bytes, size_t n)
{
    uint32_t held = 0, bits = 0;
    for (size_t i = 0; i < n; i++) {
        held = held << 8 | bytes[i];
        bits += 8;
        for (; bits >= BITS; bits -= BITS)
            *out++ = symbol_of(held >> (bits - BITS) & 31);
    }
    if (bits > 0)
        *out++ = symbol_of(held << (BITS - bits) & 31);
    *out = '\0';
}

static bool is_filler(char c)
{
    return c == ' ' || c == '-';
}

static struct str without_padding(struct str text)
{
    while (text.len > 0 && (is_filler(text.p[text.len - 1]) || text.p[text.len - 1] == '='))
        text.len--;
    return text;
}

static size_t count_symbols(struct str text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++)
        n += !is_filler(text.p[i]);
    return n;
}

enum err base32_decode(uint8_t *out, size_t cap, size_t *len_out, struct str text)
{
    text = without_padding(text);
    size_t symbols = count_symbols(text);
    size_t len = symbols / 8 * BITS + symbols % 8 * BITS / 8;
    if (symbols % 8 == 1 || symbols % 8 == 3 || symbols % 8 == 6)
        return ERR_INVALID;
    if (len > cap)
        return ERR_LIMIT;

    uint32_t held = 0, bits = 0, bad = 0;
    uint8_t *next = out;
    for (size_t i = 0; i < text.len; i++) {
        if (is_filler(text.p[i]))
            continue;
        held = held << BITS | value_of(text.p[i], &bad);
        bits += BITS;
        if (bits >= 8) {
            bits -= 8;
            *next++ = (uint8_t)(held >> bits);
        }
    }
    bad |= held & ((1u << bits) - 1);
    if (bad != 0) {
        secret_wipe(out, len);
        return ERR_INVALID;
    }
    *len_out = len;
    return ERR_OK;
}

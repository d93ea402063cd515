/* SPDX-License-Identifier: ISC */
#include "qr/qr.h"

#include "base/mem.h"
#include "crypto/secret.h"

#include <png.h>
#include <qrencode.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX   1024
#define QUIET_ZONE 4
#define PNG_SCALE  8

/* Where an image is written: memory that is large enough from the start, because
 * growing would leave copies of a secret behind. */
struct sink {
    uint8_t *bytes;
    size_t len;
    size_t cap;
};

static void sink_init(struct sink *s, size_t cap)
{
    *s = (struct sink){.bytes = mem_alloc(cap), .cap = cap};
}

static bool sink_put(struct sink *s, const void *bytes, size_t n)
{
    if (n > s->cap - s->len)
        return false;
    memcpy(s->bytes + s->len, bytes, n);
    s->len += n;
    return true;
}

/* For what was counted to fit. The NUL after it is not counted in len. */
static void PRINTF_LIKE(2, 3) sink_printf(struct sink *s, const char *fmt, ...)
{
    size_t room = s->cap - s->len;
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf((char *)s->bytes + s->len, room, fmt, args);
    va_end(args);
    if (n < 0 || (size_t)n >= room)
        abort();
    s->len += (size_t)n;
}

static size_t side_of(const QRcode *code)
{
    return (size_t)code->width + 2 * QUIET_ZONE;
}

/* x and y count from the quiet zone's corner; outside of the symbol all is light. */
static bool is_dark(const QRcode *code, size_t x, size_t y)
{
    size_t width = (size_t)code->width;
    if (x < QUIET_ZONE || y < QUIET_ZONE || x >= width + QUIET_ZONE || y >= width + QUIET_ZONE)
        return false;
    return (code->data[(y - QUIET_ZONE) * width + x - QUIET_ZONE] & 1) != 0;
}

/* ---- terminal text ---- */

static const char *cell(bool upper_light, bool lower_light)
{
    if (upper_light)
        return lower_light ? "\u2588" : "\u2580";
    return lower_light ? "\u2584" : " ";
}

static void draw_text(struct sink *out, const QRcode *code)
{
    size_t side = side_of(code), rows = (side + 1) / 2;
    sink_init(out, rows * (side * strlen("\u2588") + 1) + 1);
    for (size_t row = 0; row < rows; row++) {
        for (size_t x = 0; x < side; x++) {
            size_t upper = 2 * row, lower = upper + 1;
            bool lower_light = lower < side && !is_dark(code, x, lower);
            sink_printf(out, "%s", cell(!is_dark(code, x, upper), lower_light));
        }
        sink_printf(out, "\n");
    }
}

/* ---- SVG ---- */

#define SVG_FRAME_MAX 512
/* One run of dark modules at its longest: side has at most three digits. */
#define SVG_RUN_MAX (sizeof "M999 999h999v1h-999z")

/* The length of the run of dark modules that starts at x; 0 when x is light. */
static size_t run_at(const QRcode *code, size_t x, size_t y)
{
    size_t n = 0;
    while (is_dark(code, x + n, y))
        n++;
    return n;
}

static void draw_svg(struct sink *out, const QRcode *code)
{
    size_t side = side_of(code), runs_max = side * (side / 2 + 1);
    sink_init(out, SVG_FRAME_MAX + runs_max * SVG_RUN_MAX);
    sink_printf(out,
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %zu %zu\" "
                "shape-rendering=\"crispEdges\"><rect width=\"%zu\" height=\"%zu\" "
                "fill=\"#fff\"/><path d=\"",
                side, side, side, side);
    for (size_t y = 0; y < side; y++)
        for (size_t x = 0, n; x < side; x += n + 1) {
            n = run_at(code, x, y);
            if (n > 0)
                sink_printf(out, "M%zu %zuh%zuv1h-%zuz", x, y, n, n);
        }
    sink_printf(out, "\"/></svg>\n");
}

/* ---- PNG ---- */

#define PNG_FRAME_MAX 4096

/* libpng and zlib keep rows in their own memory and free it as it is. */
struct wiped {
    size_t n;
    max_align_t bytes[];
};

static png_voidp wiped_alloc(png_structp png, png_alloc_size_t n)
{
    (void)png;
    struct wiped *w = mem_alloc(sizeof *w + n);
    w->n = n;
    return w->bytes;
}

static void wiped_free(png_structp png, png_voidp bytes)
{
    (void)png;
    struct wiped *w = (struct wiped *)(void *)((uint8_t *)bytes - offsetof(struct wiped, bytes));
    secret_wipe(w->bytes, w->n);
    free(w);
}

static void on_error(png_structp png, png_const_charp text)
{
    (void)text;
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static void on_bytes(png_structp png, png_bytep bytes, size_t n)
{
    if (!sink_put(png_get_io_ptr(png), bytes, n))
        png_error(png, "full");
}

static void on_flush(png_structp png)
{
    (void)png;
}

/* One byte is one module: eight pixels of one bit, in gray where 1 is white. */
static void fill_row(uint8_t *row, const QRcode *code, size_t y)
{
    for (size_t x = 0; x < side_of(code); x++)
        row[x] = is_dark(code, x, y) ? 0x00 : 0xff;
}

/* Owns nothing and changes no variable of its own: libpng leaves it by longjmp. */
static enum err write_png(png_structp png, png_infop info, const QRcode *code, uint8_t *row)
{
    const size_t side = side_of(code);
    const png_uint_32 pixels = (png_uint_32)(side * PNG_SCALE);
    if (setjmp(png_jmpbuf(png)) != 0)
        return ERR_INTERNAL;
    png_set_IHDR(png, info, pixels, pixels, 1, PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (size_t y = 0; y < side * PNG_SCALE; y++) {
        if (y % PNG_SCALE == 0)
            fill_row(row, code, y / PNG_SCALE);
        png_write_row(png, row);
    }
    png_write_end(png, info);
    return ERR_OK;
}

static enum err draw_png(struct sink *out, const QRcode *code)
{
    size_t side = side_of(code);
    /* Twice the pixels is more than deflate makes of them at its worst. */
    sink_init(out, PNG_FRAME_MAX + 2 * side * side * PNG_SCALE);
    png_structp png = png_create_write_struct_2(PNG_LIBPNG_VER_STRING, NULL, on_error, on_warning,
                                                NULL, wiped_alloc, wiped_free);
    png_infop info = png != NULL ? png_create_info_struct(png) : NULL;
    uint8_t *row = mem_alloc(side);
    enum err e = ERR_INTERNAL;
    if (info != NULL) {
        png_set_write_fn(png, out, on_bytes, on_flush);
        e = write_png(png, info, code, row);
    }
    png_destroy_write_struct(&png, &info);
    secret_wipe(row, side);
    free(row);
    return e;
}

static enum err draw(struct sink *out, const QRcode *code, enum qr_format format)
{
    switch (format) {
    case QR_PNG:
        return draw_png(out, code);
    case QR_SVG:
        draw_svg(out, code);
        return ERR_OK;
    case QR_TEXT:
        draw_text(out, code);
        return ERR_OK;
    }
    return ERR_INTERNAL;
}

static void free_symbol(QRcode *code)
{
    secret_wipe(code->data, (size_t)code->width * (size_t)code->width);
    QRcode_free(code);
}

/* libqrencode frees its working copies of a text as they are and lets nobody wipe
 * them. Other text of the same length takes the same blocks from the allocator
 * again, so its symbol, that nobody needs, overwrites them. */
static void overwrite_working_copies(size_t len)
{
    char *other = mem_zalloc(len + 1, 1);
    memset(other, 'x', len);
    QRcode *code = QRcode_encodeString8bit(other, 0, QR_ECLEVEL_M);
    if (code != NULL)
        free_symbol(code);
    free(other);
}

enum err qr_draw(struct qr_image *out, const char *text, enum qr_format format,
                 struct err_text *why)
{
    size_t len = strlen(text);
    if (len == 0 || len > TEXT_MAX)
        return err_set(why, ERR_INVALID, NULL, "a QR code holds 1 to %d bytes, not %zu", TEXT_MAX,
                       len);
    QRcode *code = QRcode_encodeString8bit(text, 0, QR_ECLEVEL_M);
    if (code == NULL)
        return err_set(why, ERR_INTERNAL, NULL, "libqrencode made no symbol of %zu bytes", len);

    struct sink sink = {0};
    enum err e = draw(&sink, code, format);
    free_symbol(code);
    overwrite_working_copies(len);
    struct qr_image image = {.bytes = sink.bytes, .len = sink.len};
    if (e != ERR_OK) {
        qr_image_release(&image);
        return err_set(why, e, NULL, "the QR code could not be drawn");
    }
    *out = image;
    return ERR_OK;
}

void qr_image_release(struct qr_image *img)
{
    if (img->bytes != NULL)
        secret_wipe(img->bytes, img->len);
    free(img->bytes);
    *img = (struct qr_image){0};
}

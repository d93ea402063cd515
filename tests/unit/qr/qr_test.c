/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "qr/qr.h"
#include "support/scratch.h"

#include <png.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIDE_MAX   160
#define SCALE      8
#define QUIET_ZONE 4
#define TEXT_MAX   1024

#define URI                                                                                        \
    "otpauth://totp/ACME%20CRM:jan%40example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"          \
    "&issuer=ACME%20CRM&algorithm=SHA1&digits=6&period=30"

/* What every form says: which modules are dark, quiet zone and all. */
struct matrix {
    size_t side;
    bool dark[SIDE_MAX][SIDE_MAX];
};

static struct qr_image draw(const char *text, enum qr_format format)
{
    struct qr_image img = {0};
    struct err_text why = {0};
    if (qr_draw(&img, text, format, &why) != ERR_OK)
        fail_msg("%s", why.text);
    return img;
}

static void read_png(struct matrix *m, const struct qr_image *img)
{
    png_image png = {.version = PNG_IMAGE_VERSION};
    assert_true(png_image_begin_read_from_memory(&png, img->bytes, img->len));
    assert_int_equal(png.width, png.height);
    assert_int_equal(png.width % SCALE, 0);
    png.format = PNG_FORMAT_GRAY;
    uint8_t *pixels = malloc(PNG_IMAGE_SIZE(png));
    assert_non_null(pixels);
    assert_true(png_image_finish_read(&png, NULL, pixels, 0, NULL));
    m->side = png.width / SCALE;
    assert_in_range(m->side, 21 + 2 * QUIET_ZONE, SIDE_MAX);
    for (size_t y = 0; y < png.height; y++)
        for (size_t x = 0; x < png.width; x++) {
            uint8_t first = pixels[y / SCALE * SCALE * png.width + x / SCALE * SCALE];
            assert_int_equal(pixels[y * png.width + x], first);
            assert_true(first == 0 || first == 255);
            m->dark[y / SCALE][x / SCALE] = first == 0;
        }
    free(pixels);
}

/* Takes one cell off the text: are its upper and lower modules light? */
static const char *read_cell(const char *at, bool *upper, bool *lower)
{
    static const struct {
        const char *cell;
        bool upper, lower;
    } cells[] = {{"\xe2\x96\x88", true, true},
                 {"\xe2\x96\x80", true, false},
                 {"\xe2\x96\x84", false, true},
                 {" ", false, false}};
    for (size_t i = 0; i < 4; i++) {
        size_t n = strlen(cells[i].cell);
        if (strncmp(at, cells[i].cell, n) != 0)
            continue;
        *upper = cells[i].upper;
        *lower = cells[i].lower;
        return at + n;
    }
    fail_msg("no cell");
    return NULL;
}

static void read_text(struct matrix *m, const struct qr_image *img)
{
    char *text = strdup((const char *)img->bytes);
    assert_non_null(text);
    size_t row = 0;
    m->side = 0;
    for (const char *at = text; *at != '\0'; at++, row++) {
        size_t x = 0;
        for (; *at != '\n'; x++) {
            bool upper = false, lower = false;
            at = read_cell(at, &upper, &lower);
            assert_in_range(x, 0, SIDE_MAX - 1);
            m->dark[2 * row][x] = !upper;
            m->dark[2 * row + 1][x] = !lower;
        }
        m->side = x;
        assert_in_range(row, 0, SIDE_MAX / 2 - 1);
    }
    assert_int_equal(row, (m->side + 1) / 2);
    for (size_t x = 0; x < m->side; x++) /* a last row without a partner: nothing below it */
        assert_true(m->side % 2 == 0 || m->dark[m->side][x]);
    free(text);
}

static void read_svg(struct matrix *m, const struct qr_image *img)
{
    char *text = strdup((const char *)img->bytes);
    assert_non_null(text);
    size_t height, x, y, n, back;
    int used;
    assert_int_equal(sscanf(strstr(text, "viewBox"), "viewBox=\"0 0 %zu %zu\"", &m->side, &height),
                     2);
    assert_int_equal(m->side, height);
    memset(m->dark, 0, sizeof m->dark);
    const char *at = strstr(text, "<path d=\"") + strlen("<path d=\"");
    for (; *at == 'M'; at += used) {
        assert_int_equal(sscanf(at, "M%zu %zuh%zuv1h-%zuz%n", &x, &y, &n, &back, &used), 4);
        assert_int_equal(n, back);
        assert_true(n > 0 && x + n <= m->side && y < m->side);
        for (size_t i = x; i < x + n; i++)
            m->dark[y][i] = true;
    }
    assert_string_equal(at, "\"/></svg>\n");
    free(text);
}

static void assert_same(const struct matrix *a, const struct matrix *b)
{
    assert_int_equal(a->side, b->side);
    for (size_t y = 0; y < a->side; y++)
        assert_memory_equal(a->dark[y], b->dark[y], a->side);
}

/* Rings of light around, and the three eyes where they belong. */
static void assert_is_symbol(const struct matrix *m)
{
    for (size_t i = 0; i < m->side; i++)
        for (size_t j = 0; j < QUIET_ZONE; j++)
            assert_false(m->dark[j][i] || m->dark[i][j] || m->dark[m->side - 1 - j][i] ||
                         m->dark[i][m->side - 1 - j]);
    const size_t near = QUIET_ZONE, far = m->side - QUIET_ZONE - 7;
    const size_t eyes[3][2] = {{near, near}, {near, far}, {far, near}};
    for (size_t i = 0; i < 3; i++)
        for (size_t n = 0; n < 7; n++) {
            assert_true(m->dark[eyes[i][0]][eyes[i][1] + n]);
            assert_true(m->dark[eyes[i][0] + n][eyes[i][1]]);
        }
}

static void check_forms(const char *text)
{
    static struct matrix png, svg, cells;
    struct qr_image img = draw(text, QR_PNG);
    read_png(&png, &img);
    qr_image_release(&img);
    img = draw(text, QR_SVG);
    read_svg(&svg, &img);
    qr_image_release(&img);
    img = draw(text, QR_TEXT);
    read_text(&cells, &img);
    qr_image_release(&img);
    assert_is_symbol(&png);
    assert_same(&png, &svg);
    assert_same(&png, &cells);
}

static void test_all_forms_are_one_symbol(void **state)
{
    (void)state;
    check_forms(URI);
    char text[TEXT_MAX + 1] = {0};
    for (size_t n = 1; n <= TEXT_MAX; n++) {
        text[n - 1] = (char)('!' + n * 7 % 94);
        if (n < 4 || n % 97 == 0 || n == TEXT_MAX)
            check_forms(text);
    }
}

static void test_refused(void **state)
{
    (void)state;
    char text[TEXT_MAX + 2] = {0};
    memset(text, 'x', TEXT_MAX + 1);
    const enum qr_format formats[] = {QR_PNG, QR_SVG, QR_TEXT};
    struct qr_image img = {.len = 4711};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(qr_draw(&img, text, formats[i], NULL), ERR_INVALID);
        assert_int_equal(qr_draw(&img, "", formats[i], NULL), ERR_INVALID);
        assert_int_equal(img.len, 4711);
        assert_null(img.bytes);
    }
}

static void test_release(void **state)
{
    (void)state;
    struct qr_image img = draw(URI, QR_TEXT);
    assert_int_equal(img.bytes[img.len], 0);
    qr_image_release(&img);
    assert_null(img.bytes);
    assert_int_equal(img.len, 0);
    qr_image_release(&img);
}

static void test_png_header(void **state)
{
    (void)state;
    static const uint8_t start[] = {137, 'P', 'N', 'G', '\r', '\n', 26,  '\n',
                                    0,   0,   0,   13,  'I',  'H',  'D', 'R'};
    static const uint8_t one_bit_gray[] = {1, 0, 0, 0, 0};
    struct qr_image img = draw(URI, QR_PNG);
    assert_memory_equal(img.bytes, start, sizeof start);
    assert_memory_equal(img.bytes + 24, one_bit_gray, sizeof one_bit_gray);
    assert_true(img.len < 2048);
    qr_image_release(&img);
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, what)) != NULL; at++)
        n++;
    return n;
}

static void test_svg_is_harmless(void **state)
{
    (void)state;
    static const char *const absent[] = {"href", "script", "style", "<!", "url(", "on", "&", "<?"};
    struct qr_image img = draw(URI, QR_SVG);
    assert_int_equal(strlen((const char *)img.bytes), img.len);
    char *text = strdup((const char *)img.bytes);
    assert_non_null(text);
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
        assert_int_equal(count(text, absent[i]), 0);
    assert_int_equal(count(text, "<path"), 1);
    assert_int_equal(count(text, "http"), 1);
    assert_int_equal(count(text, "shape-rendering=\"crispEdges\""), 1);
    free(text);
    qr_image_release(&img);
}

/* ---- read back by a program that is not ours ---- */

static bool installed(const char *program)
{
    char command[64];
    snprintf(command, sizeof command, "command -v %s >/dev/null 2>&1", program);
    return system(command) == 0;
}

static void save(const char *path, const void *bytes, size_t n)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void assert_reads(const char *path, const char *want)
{
    char command[SCRATCH_PATH_MAX + 64], got[TEXT_MAX + 2] = {0};
    snprintf(command, sizeof command, "zbarimg -q --raw -Sdisable -Sqrcode.enable '%s' 2>/dev/null",
             path);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    size_t n = fread(got, 1, sizeof got - 1, f);
    assert_int_equal(pclose(f), 0);
    assert_true(n > 0 && got[n - 1] == '\n');
    got[n - 1] = '\0';
    assert_string_equal(got, want);
}

/* The text form as a camera would see it. */
static void save_matrix(const char *path, const struct matrix *m)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "P5 %zu %zu 255\n", m->side * SCALE, m->side * SCALE);
    for (size_t y = 0; y < m->side * SCALE; y++)
        for (size_t x = 0; x < m->side * SCALE; x++)
            fputc(m->dark[y / SCALE][x / SCALE] ? 0 : 255, f);
    assert_int_equal(fclose(f), 0);
}

static void test_scanner_reads_every_form(void **state)
{
    (void)state;
    if (!installed("zbarimg"))
        skip();
    static struct matrix m;
    struct scratch scratch;
    scratch_init(&scratch);
    struct qr_image img = draw(URI, QR_PNG);
    save(scratch_path(&scratch, "symbol.png"), img.bytes, img.len);
    qr_image_release(&img);
    assert_reads(scratch.path, URI);

    img = draw(URI, QR_TEXT);
    read_text(&m, &img);
    qr_image_release(&img);
    save_matrix(scratch_path(&scratch, "symbol.pgm"), &m);
    assert_reads(scratch.path, URI);

    if (installed("rsvg-convert")) {
        char command[3 * SCRATCH_PATH_MAX];
        img = draw(URI, QR_SVG);
        save(scratch_path(&scratch, "symbol.svg"), img.bytes, img.len);
        qr_image_release(&img);
        snprintf(command, sizeof command, "rsvg-convert -w 400 -o '%s/svg.png' '%s'",
                 scratch.folder, scratch.path);
        assert_int_equal(system(command), 0);
        assert_reads(scratch_path(&scratch, "svg.png"), URI);
    }
    scratch_release(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_forms_are_one_symbol),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_release),
        cmocka_unit_test(test_png_header),
        cmocka_unit_test(test_svg_is_harmless),
        cmocka_unit_test(test_scanner_reads_every_form),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}

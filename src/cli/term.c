/* SPDX-License-Identifier: ISC */
#include "cli/term_internal.h"

#include "base/buf.h"
#include "crypto/secret.h"

#include <stdarg.h>
#include <unistd.h>

#define OUTPUT_BUFFER 65536
#define LABEL_WIDTH   18

/* White on black, as the symbol was drawn for; to the end of what the line has. */
#define QR_COLOURS    "\x1b[40;97m"
#define PLAIN_COLOURS "\x1b[0m"

static char output[OUTPUT_BUFFER];

void term_init(void)
{
    setvbuf(stdout, output, _IOFBF, sizeof output);
}

bool term_finish(void)
{
    bool whole = fflush(stdout) == 0 && ferror(stdout) == 0;
    secret_wipe(output, sizeof output);
    return whole;
}

void term_text(FILE *to, const char *text)
{
    if (str_is_plain(str_from(text))) {
        fputs(text, to);
        return;
    }
    for (const char *p = text; *p != '\0'; p++) {
        unsigned char byte = (unsigned char)*p;
        if (byte < ' ' || byte > '~')
            fprintf(to, "\\x%02x", byte);
        else
            fputc(byte, to);
    }
}

static void print_formatted(FILE *to, const char *fmt, va_list args)
{
    char *text = NULL;
    int n = vasprintf(&text, fmt, args);
    if (n < 0)
        abort();
    term_text(to, text);
    fputc('\n', to);
    secret_wipe(text, (size_t)n);
    free(text);
}

void term_field(const char *label, const char *fmt, ...)
{
    printf("%-*s", LABEL_WIDTH, label);
    va_list args;
    va_start(args, fmt);
    print_formatted(stdout, fmt, args);
    va_end(args);
}

void term_qr(const char *lines)
{
    if (isatty(STDOUT_FILENO) == 0) {
        fputs(lines, stdout);
        return;
    }
    for (const char *line = lines; *line != '\0';) {
        int len = (int)strcspn(line, "\n");
        printf(QR_COLOURS "%.*s" PLAIN_COLOURS "\n", len, line);
        line += len;
        line += *line == '\n';
    }
}

void term_problem(const char *fmt, ...)
{
    fputs("twostepctl: ", stderr);
    va_list args;
    va_start(args, fmt);
    print_formatted(stderr, fmt, args);
    va_end(args);
}

void term_detail(const char *fmt, ...)
{
    fputs("  ", stderr);
    va_list args;
    va_start(args, fmt);
    print_formatted(stderr, fmt, args);
    va_end(args);
}

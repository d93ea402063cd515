/* SPDX-License-Identifier: ISC */
/* What the disk takes to make one change durable: a page of a file is written over and
 * fdatasync waited for, again and again.
 *
 *     sync_bench FILE SECONDS         prints the median as p50_us=N */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define PAGE      4096
#define PAGES     256
#define TIMES_MAX 1000000
#define NS_PER_S  1000000000

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

static void die(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

static void write_page(int fd, size_t n)
{
    static uint8_t page[PAGE];
    page[n % PAGE]++;
    if (pwrite(fd, page, PAGE, (off_t)(n % PAGES * PAGE)) != PAGE)
        die("pwrite");
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    static int64_t times[TIMES_MAX];
    size_t n = 0;
    if (argc != 3) {
        fputs("usage: sync_bench FILE SECONDS\n", stderr);
        return 64;
    }
    int fd = open(argv[1], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        die(argv[1]);
    for (size_t i = 0; i < PAGES; i++)
        write_page(fd, i);
    if (fsync(fd) != 0)
        die("fsync");
    int64_t end = now_ns() + (int64_t)(strtod(argv[2], NULL) * NS_PER_S);
    for (int64_t begin; n < TIMES_MAX && (begin = now_ns()) < end; n++) {
        write_page(fd, n);
        if (fdatasync(fd) != 0)
            die("fdatasync");
        times[n] = now_ns() - begin;
    }
    qsort(times, n, sizeof *times, by_value);
    printf("p50_us=%lld\n", (long long)(n > 0 ? times[n / 2] / 1000 : 0));
    return EXIT_SUCCESS;
}

/* SPDX-License-Identifier: ISC */
#include "process_internal.h"

#include "base/clock.h"
#include "base/metric.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static int64_t start_ms;

static int64_t read_start(void *ctx, size_t cell)
{
    (void)ctx;
    (void)cell;
    return start_ms;
}

static int64_t read_cpu_us(void *ctx, size_t cell)
{
    (void)ctx;
    (void)cell;
    struct timespec t = {0};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* The n-th number of /proc/self/statm, in bytes; 0 when there is none. */
static int64_t memory_bytes(int n)
{
    long long pages[2] = {0, 0};
    FILE *f = fopen("/proc/self/statm", "re");
    if (f == NULL)
        return 0;
    int got = fscanf(f, "%lld %lld", &pages[0], &pages[1]);
    fclose(f);
    return got == 2 ? pages[n] * sysconf(_SC_PAGESIZE) : 0;
}

static int64_t read_virtual(void *ctx, size_t cell)
{
    (void)ctx;
    (void)cell;
    return memory_bytes(0);
}

static int64_t read_resident(void *ctx, size_t cell)
{
    (void)ctx;
    (void)cell;
    return memory_bytes(1);
}

static int64_t read_fds(void *ctx, size_t cell)
{
    (void)ctx;
    (void)cell;
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL)
        return 0;
    int64_t n = -1; /* the directory's own */
    for (const struct dirent *d; (d = readdir(dir)) != NULL;)
        n += d->d_name[0] != '.';
    closedir(dir);
    return n;
}

static int64_t read_max_fds(void *ctx, size_t cell)
{
    (void)ctx;
    (void)cell;
    struct rlimit files = {0};
    getrlimit(RLIMIT_NOFILE, &files);
    return (int64_t)files.rlim_cur;
}

static const struct metric_options all[] = {
    {.name = "process_start_time_seconds",
     .help = "When the process started, in seconds since 1970.",
     .kind = METRIC_GAUGE,
     .unit = 1000,
     .read = read_start},
    {.name = "process_cpu_seconds_total",
     .help = "Time that the process spent on processors.",
     .unit = 1000000,
     .read = read_cpu_us},
    {.name = "process_resident_memory_bytes",
     .help = "Memory in use.",
     .kind = METRIC_GAUGE,
     .read = read_resident},
    {.name = "process_virtual_memory_bytes",
     .help = "Address space.",
     .kind = METRIC_GAUGE,
     .read = read_virtual},
    {.name = "process_open_fds",
     .help = "Open file descriptors.",
     .kind = METRIC_GAUGE,
     .read = read_fds},
    {.name = "process_max_fds",
     .help = "How many file descriptors may be open.",
     .kind = METRIC_GAUGE,
     .read = read_max_fds},
};

void process_count_into(struct metrics *m)
{
    static const char *const version[] = {TWOSTEP_VERSION};
    start_ms = clock_wall_ms(clock_system());
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        (void)metric_new(m, &all[i]);
    struct metric *build =
        metric_new(m, &(struct metric_options){
                          .name = "twostep_build_info",
                          .help = "Always 1; its labels say what runs.",
                          .kind = METRIC_GAUGE,
                          .rows = {.n_names = 1, .names = {"version"}, .n = 1, .values = version}});
    metric_add(build, 0, 1);
}

/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/store_contract.h"

#include <stdio.h>
#include <stdlib.h>

/* One test in one mode. */
struct turn {
    const struct store_kind *kind;
    enum kit_mode mode;
    void (*run)(struct kit *k);
    struct kit kit;
};

static int setup(void **state)
{
    struct turn *turn = *state;
    kit_init(&turn->kit, turn->kind, turn->mode);
    return 0;
}

static int teardown(void **state)
{
    struct turn *turn = *state;
    kit_release(&turn->kit);
    return 0;
}

static void run(void **state)
{
    struct turn *turn = *state;
    turn->run(&turn->kit);
}

static enum kit_mode modes_of(const struct store_kind *kind)
{
    return kind->shared ? KIT_MODES_UNDONE_NOTHING : KIT_MODES;
}

static size_t add(struct CMUnitTest *tests, struct turn *turns, const struct store_kind *kind,
                  const struct store_contract_test *from, size_t n)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        if (kind->shared && from[i].undoes)
            continue;
        for (enum kit_mode mode = 0; mode < modes_of(kind); mode++, k++) {
            char *name;
            if (asprintf(&name, "%s/%s/%s", kind->name, from[i].name, kit_mode_names[mode]) < 0)
                abort();
            turns[k] = (struct turn){.kind = kind, .mode = mode, .run = from[i].run};
            tests[k] = (struct CMUnitTest){name, run, setup, teardown, &turns[k]};
        }
    }
    return k;
}

int store_contract_run(const struct store_kind *kind)
{
    size_t n = (store_contract_n_records + store_contract_n_attempts + store_contract_n_outbox) *
               KIT_MODES;
    struct CMUnitTest *tests = calloc(n, sizeof *tests);
    struct turn *turns = calloc(n, sizeof *turns);
    size_t at = add(tests, turns, kind, store_contract_records, store_contract_n_records);
    at += add(tests + at, turns + at, kind, store_contract_attempts, store_contract_n_attempts);
    at += add(tests + at, turns + at, kind, store_contract_outbox, store_contract_n_outbox);
    int failed = _cmocka_run_group_tests(kind->name, tests, at, NULL, NULL);
    for (size_t i = 0; i < at; i++)
        free((void *)(uintptr_t)tests[i].name);
    free(tests);
    free(turns);
    return failed;
}

/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/sqlite_internal.h"
#include "store/store_sqlite.h"
#include "support/scratch.h"
#include "support/store_contract.h"

#include <stdio.h>
#include <stdlib.h>

static struct store *open_in(struct scratch *scratch)
{
    struct err_text why;
    struct store *s = NULL;
    if (store_sqlite_open(&s, scratch_path(scratch, "db"), &why) == ERR_OK)
        return s;
    fprintf(stderr, "%s\n", why.text);
    abort();
}

static struct store *make(void **place)
{
    struct scratch *scratch = malloc(sizeof *scratch);
    scratch_init(scratch);
    *place = scratch;
    return open_in(scratch);
}

static struct store *reopen(void *place, struct store *s)
{
    s->ops->close(s);
    return open_in(place);
}

static void destroy(void *place, struct store *s)
{
    s->ops->close(s);
    scratch_release(place);
    free(place);
}

static const struct store_kind as_it_is = {
    .name = "sqlite", .make = make, .reopen = reopen, .destroy = destroy};

/* Folds all the time, and a few rows in a batch, so that a fold is under way mostly. */
static struct store *hasten(struct store *s)
{
    struct fold *fold = &sqlite_store_of(s)->log.fold;
    fold->after = 3;
    fold->share = 0;
    return s;
}

static struct store *make_hasty(void **place)
{
    return hasten(make(place));
}

static struct store *reopen_hasty(void *place, struct store *s)
{
    return hasten(reopen(place, s));
}

static const struct store_kind hasty = {
    .name = "sqlite-folding", .make = make_hasty, .reopen = reopen_hasty, .destroy = destroy};

static void as_the_model(void **state)
{
    (void)state;
    store_model_run(&as_it_is);
}

static void as_the_model_while_folding(void **state)
{
    (void)state;
    store_model_run(&hasty);
}

int main(void)
{
    const struct CMUnitTest models[] = {
        cmocka_unit_test(as_the_model),
        cmocka_unit_test(as_the_model_while_folding),
    };
    int failed = store_contract_run(&as_it_is);
    failed += store_contract_run(&hasty);
    failed += cmocka_run_group_tests(models, NULL, NULL);
    return !!failed;
}

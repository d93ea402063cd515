/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/mongo_place.h"
#include "support/store_contract.h"

#include <stdio.h>

static const struct {
    enum mongo_server server;
    const struct store_kind *kind;
} kinds[] = {
    {MONGO_SERVER_JAVA, &mongo_java_kind},
    {MONGO_SERVER_REAL, &mongo_real_kind},
};

static void as_the_model(void **state)
{
    store_model_run(*state);
}

static void not_here(void **state)
{
    print_message("skipped: %s\n", (const char *)*state);
    skip();
}

int main(void)
{
    int failed = 0;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        const char *why = NULL;
        bool here = mongo_server_start(kinds[i].server, &why);
        char name[64];
        snprintf(name, sizeof name, "%s/%s", kinds[i].kind->name,
                 here ? "as_the_model" : "contract");
        const struct CMUnitTest test = {name, here ? as_the_model : not_here, NULL, NULL,
                                        here ? (void *)(uintptr_t)kinds[i].kind
                                             : (void *)(uintptr_t)why};
        if (here)
            failed += store_contract_run(kinds[i].kind);
        failed += _cmocka_run_group_tests(kinds[i].kind->name, &test, 1, NULL, NULL);
    }
    return !!failed;
}

/* SPDX-License-Identifier: ISC */
#ifndef SUPPORT_STORE_CONTRACT_H
#define SUPPORT_STORE_CONTRACT_H

/* What include/store/store.h promises, as tests that any store can be put to, in every mode
 * of the kit, and a comparison with a model. Thread: the test's. */

#include "support/store_kit.h"

/* A cmocka group; returns how many tests failed. */
int store_contract_run(const struct store_kind *kind);

/* Random operations on the store and on the model, from the seed in TWOSTEP_TEST_SEED (it is
 * printed; without one always the same); TWOSTEP_TEST_OPERATIONS says how many. Fails in
 * the test that called it at the first difference. */
void store_model_run(const struct store_kind *kind);

/* The parts of store_contract_run. */
struct store_contract_test {
    const char *name;
    void (*run)(struct kit *k);
    bool undoes; /* is about what only a transactional store promises */
};
extern const struct store_contract_test store_contract_records[];
extern const size_t store_contract_n_records;
extern const struct store_contract_test store_contract_attempts[];
extern const size_t store_contract_n_attempts;
extern const struct store_contract_test store_contract_outbox[];
extern const size_t store_contract_n_outbox;

#endif

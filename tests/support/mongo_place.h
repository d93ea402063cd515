/* SPDX-License-Identifier: ISC */
#ifndef SUPPORT_MONGO_PLACE_H
#define SUPPORT_MONGO_PLACE_H

/* MongoDB for a test program: mongo-java-server, started once for the program and ended with it,
 * or the server that TWOSTEP_TEST_MONGODB_URI names. Thread: the test's. */

#include "store/store_mongo.h"
#include "support/store_kit.h"

enum mongo_server { MONGO_SERVER_JAVA, MONGO_SERVER_REAL };

/* False: there is none here, and *why says what is missing. */
bool mongo_server_start(enum mongo_server which, const char **why);

/* A database that nobody else has; aborts the test when it cannot be opened. The URI names the
 * database: another struct mongo may be opened at the same place. */
struct mongo_place {
    enum mongo_server which;
    char uri[512];
    struct mongo *mongo;
};
void mongo_place_init(struct mongo_place *p, enum mongo_server which);
struct mongo *mongo_place_open(const struct mongo_place *p, uint32_t n_stores);
void mongo_place_release(struct mongo_place *p);

/* The kinds for store/store_contract. */
extern const struct store_kind mongo_java_kind, mongo_real_kind;

#endif

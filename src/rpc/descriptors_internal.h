/* SPDX-License-Identifier: ISC */
#ifndef RPC_DESCRIPTORS_INTERNAL_H
#define RPC_DESCRIPTORS_INTERNAL_H

/* What proto/ says, as protoc wrote it down when this was built (a FileDescriptorSet), and
 * where in it a name is. Nothing is unpacked: a file is served as the bytes that it is.
 * Thread: any. */

#include "base/str.h"

#include <stdint.h>

extern const unsigned char rpc_descriptor_set[];
extern const size_t rpc_descriptor_set_len;

#define DESCRIPTORS_FILES_MAX    64
#define DESCRIPTORS_SERVICES_MAX 64

/* All borrowed from the set, here and below. */
struct descriptors_file {
    struct str bytes; /* a FileDescriptorProto */
    struct str name;
    struct str package;
};

struct descriptors {
    size_t n;
    struct descriptors_file files[DESCRIPTORS_FILES_MAX];
};

struct descriptors_service {
    struct str package;
    struct str name;
};

/* Finds the files in a set: the one that is built in, or a test's. */
void descriptors_init(struct descriptors *d, struct str set);

/* The file of the name, or the one that declares the symbol: "package.Message.field",
 * "package.Service.Method" and so on, without a leading dot. NULL: there is none. */
const struct descriptors_file *descriptors_named(const struct descriptors *d, struct str name);
const struct descriptors_file *descriptors_declaring(const struct descriptors *d,
                                                     struct str symbol);

/* Is the symbol a message? */
bool descriptors_is_message(const struct descriptors *d, struct str symbol);

/* The file, then what it imports, then what these import, each once; how many. */
size_t descriptors_with_imports(const struct descriptors *d, const struct descriptors_file *file,
                                const struct descriptors_file *out[static DESCRIPTORS_FILES_MAX]);

/* All services, in the order of their files; how many. */
size_t descriptors_services(const struct descriptors *d,
                            struct descriptors_service out[static DESCRIPTORS_SERVICES_MAX]);

#endif

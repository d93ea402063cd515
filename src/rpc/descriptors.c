/* SPDX-License-Identifier: ISC */
#include "descriptors_internal.h"

#include "wire_internal.h"

#include <stdlib.h>

/* Field numbers of google/protobuf/descriptor.proto. Whatever has a name has it in field 1. */
enum { SET_FILE = 1 };
enum { NAME = 1 };
enum { FILE_PACKAGE = 2, FILE_IMPORT = 3, FILE_MESSAGE = 4, FILE_ENUM = 5, FILE_SERVICE = 6 };
enum { MESSAGE_FIELD = 2, MESSAGE_MESSAGE = 3, MESSAGE_ENUM = 4, MESSAGE_ONEOF = 8 };
enum { ENUM_VALUE = 2, SERVICE_METHOD = 2 };

enum kind { KIND_FILE, KIND_MESSAGE, KIND_ENUM, KIND_SERVICE, KIND_LEAF };

/* What can be declared in what. */
static const struct {
    enum kind in;
    uint32_t field;
    enum kind kind;
} declared[] = {
    {KIND_FILE, FILE_MESSAGE, KIND_MESSAGE},  {KIND_FILE, FILE_ENUM, KIND_ENUM},
    {KIND_FILE, FILE_SERVICE, KIND_SERVICE},  {KIND_MESSAGE, MESSAGE_MESSAGE, KIND_MESSAGE},
    {KIND_MESSAGE, MESSAGE_ENUM, KIND_ENUM},  {KIND_MESSAGE, MESSAGE_FIELD, KIND_LEAF},
    {KIND_MESSAGE, MESSAGE_ONEOF, KIND_LEAF}, {KIND_SERVICE, SERVICE_METHOD, KIND_LEAF},
};
#define N_DECLARED (sizeof declared / sizeof declared[0])

/* A declaration and what it is. */
struct place {
    enum kind kind;
    struct str bytes;
};

/* The next field of that number in what is left of a message. */
static bool next_of(struct str *rest, uint32_t number, struct str *out)
{
    for (struct wire_field f; wire_next(rest, &f);) {
        if (f.number == number && f.is_bytes) {
            *out = f.bytes;
            return true;
        }
    }
    return false;
}

static struct str first_of(struct str message, uint32_t number)
{
    struct str found = {0};
    next_of(&message, number, &found);
    return found;
}

static bool child_named(struct str message, uint32_t number, struct str name, struct str *out)
{
    for (struct str child; next_of(&message, number, &child);) {
        if (str_equal(first_of(child, NAME), name)) {
            *out = child;
            return true;
        }
    }
    return false;
}

/* The values of an enum are declared beside it, not in it. */
static bool is_value_of_an_enum(struct str message, uint32_t number, struct str name)
{
    struct str value;
    for (struct str child; next_of(&message, number, &child);)
        if (child_named(child, ENUM_VALUE, name, &value))
            return true;
    return false;
}

/* Goes from a place to what has the name there. */
static bool descend(struct place *p, struct str name)
{
    for (size_t i = 0; i < N_DECLARED; i++) {
        struct str child;
        if (declared[i].in != p->kind)
            continue;
        if (child_named(p->bytes, declared[i].field, name, &child)) {
            *p = (struct place){.kind = declared[i].kind, .bytes = child};
            return true;
        }
        if (declared[i].kind == KIND_ENUM &&
            is_value_of_an_enum(p->bytes, declared[i].field, name)) {
            *p = (struct place){.kind = KIND_LEAF};
            return true;
        }
    }
    return false;
}

/* Cuts "head." off the front; false when *rest does not begin with it. */
static bool cut_prefix(struct str *rest, struct str head)
{
    if (head.len == 0)
        return true;
    if (!str_has_prefix(*rest, head) || rest->len == head.len || rest->p[head.len] != '.')
        return false;
    *rest = (struct str){.p = rest->p + head.len + 1, .len = rest->len - head.len - 1};
    return true;
}

static bool find_in_file(const struct descriptors_file *file, struct str symbol, struct place *out)
{
    *out = (struct place){.kind = KIND_FILE, .bytes = file->bytes};
    if (!cut_prefix(&symbol, file->package))
        return false;
    for (;;) {
        size_t n = 0;
        while (n < symbol.len && symbol.p[n] != '.')
            n++;
        struct str name = {.p = symbol.p, .len = n};
        if (!descend(out, name))
            return false;
        if (!cut_prefix(&symbol, name))
            return symbol.len == n;
    }
}

void descriptors_init(struct descriptors *d, struct str set)
{
    d->n = 0;
    for (struct str file; next_of(&set, SET_FILE, &file);) {
        if (d->n == DESCRIPTORS_FILES_MAX)
            abort(); /* proto/ has outgrown the table */
        d->files[d->n++] = (struct descriptors_file){
            .bytes = file, .name = first_of(file, NAME), .package = first_of(file, FILE_PACKAGE)};
    }
}

const struct descriptors_file *descriptors_named(const struct descriptors *d, struct str name)
{
    for (size_t i = 0; i < d->n; i++)
        if (str_equal(d->files[i].name, name))
            return &d->files[i];
    return NULL;
}

const struct descriptors_file *descriptors_declaring(const struct descriptors *d, struct str symbol)
{
    struct place place;
    for (size_t i = 0; i < d->n; i++)
        if (find_in_file(&d->files[i], symbol, &place))
            return &d->files[i];
    return NULL;
}

bool descriptors_is_message(const struct descriptors *d, struct str symbol)
{
    struct place place;
    for (size_t i = 0; i < d->n; i++)
        if (find_in_file(&d->files[i], symbol, &place))
            return place.kind == KIND_MESSAGE;
    return false;
}

static bool is_among(const struct descriptors_file *const *list, size_t n,
                     const struct descriptors_file *file)
{
    for (size_t i = 0; i < n; i++)
        if (list[i] == file)
            return true;
    return false;
}

size_t descriptors_with_imports(const struct descriptors *d, const struct descriptors_file *file,
                                const struct descriptors_file *out[static DESCRIPTORS_FILES_MAX])
{
    size_t n = 0;
    out[n++] = file;
    for (size_t done = 0; done < n; done++) {
        struct str rest = out[done]->bytes;
        for (struct str name; next_of(&rest, FILE_IMPORT, &name);) {
            const struct descriptors_file *import = descriptors_named(d, name);
            if (import != NULL && !is_among(out, n, import))
                out[n++] = import;
        }
    }
    return n;
}

size_t descriptors_services(const struct descriptors *d,
                            struct descriptors_service out[static DESCRIPTORS_SERVICES_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < d->n; i++) {
        struct str rest = d->files[i].bytes;
        for (struct str service; next_of(&rest, FILE_SERVICE, &service);) {
            if (n == DESCRIPTORS_SERVICES_MAX)
                abort(); /* as above */
            out[n++] = (struct descriptors_service){.package = d->files[i].package,
                                                    .name = first_of(service, NAME)};
        }
    }
    return n;
}

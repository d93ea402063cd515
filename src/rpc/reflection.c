/* SPDX-License-Identifier: ISC */
#include "reflection_internal.h"

#include "base/arena.h"
#include "base/buf.h"
#include "descriptors_internal.h"
#include "grpc/call.h"
#include "grpc/reflection/v1/reflection.pb-c.h"
#include "reply_internal.h"
#include "rpc_internal.h"
#include "wire_internal.h"

#include <stdio.h>

/* "package.Service" and a NUL; longer names are cut, and ours are not. */
#define NAME_CAP 128

typedef Grpc__Reflection__V1__ServerReflectionRequest request_message;
typedef Grpc__Reflection__V1__ServerReflectionResponse response_message;
typedef Grpc__Reflection__V1__ErrorResponse error_message;

static void send(struct grpc_call *call, const request_message *request, response_message *r)
{
    /* Only packed: protobuf-c's structs know no const. */
    union {
        const request_message *in;
        request_message *out;
    } original = {.in = request};
    struct buf packed = BUF_INIT;
    r->original_request = original.out;
    r->valid_host = request->host;
    reply_pack(&packed, &r->base);
    grpc_send(call, buf_str(&packed)); /* the first answer to a message always has its place */
    buf_release(&packed);
}

static void send_error(struct grpc_call *call, const request_message *request,
                       enum grpc_status code, const char *text)
{
    response_message r;
    error_message error;
    grpc__reflection__v1__server_reflection_response__init(&r);
    grpc__reflection__v1__error_response__init(&error);
    error.error_code = (int32_t)code;
    error.error_message = reply_lend(text);
    r.message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE;
    r.error_response = &error;
    send(call, request, &r);
}

/* The file comes first, as clients expect; what it imports follows, so that they need not ask
 * again. */
static void send_file(struct grpc_call *call, const request_message *request,
                      const struct descriptors *d, const struct descriptors_file *file)
{
    if (file == NULL) {
        send_error(call, request, GRPC_NOT_FOUND, "no such file or symbol");
        return;
    }
    const struct descriptors_file *files[DESCRIPTORS_FILES_MAX];
    ProtobufCBinaryData list[DESCRIPTORS_FILES_MAX];
    size_t n = descriptors_with_imports(d, file, files);
    for (size_t i = 0; i < n; i++)
        list[i] = (ProtobufCBinaryData){.len = files[i]->bytes.len,
                                        .data = (uint8_t *)reply_lend(files[i]->bytes.p)};
    response_message r;
    Grpc__Reflection__V1__FileDescriptorResponse answer;
    grpc__reflection__v1__server_reflection_response__init(&r);
    grpc__reflection__v1__file_descriptor_response__init(&answer);
    answer.n_file_descriptor_proto = n;
    answer.file_descriptor_proto = list;
    r.message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE;
    r.file_descriptor_response = &answer;
    send(call, request, &r);
}

static void send_services(struct grpc_call *call, const request_message *request,
                          const struct descriptors *d)
{
    struct descriptors_service found[DESCRIPTORS_SERVICES_MAX];
    Grpc__Reflection__V1__ServiceResponse services[DESCRIPTORS_SERVICES_MAX];
    Grpc__Reflection__V1__ServiceResponse *list[DESCRIPTORS_SERVICES_MAX];
    char names[DESCRIPTORS_SERVICES_MAX][NAME_CAP];
    size_t n = descriptors_services(d, found);
    for (size_t i = 0; i < n; i++) {
        snprintf(names[i], NAME_CAP, "%.*s.%.*s", (int)found[i].package.len, found[i].package.p,
                 (int)found[i].name.len, found[i].name.p);
        grpc__reflection__v1__service_response__init(&services[i]);
        services[i].name = names[i];
        list[i] = &services[i];
    }
    response_message r;
    Grpc__Reflection__V1__ListServiceResponse answer;
    grpc__reflection__v1__server_reflection_response__init(&r);
    grpc__reflection__v1__list_service_response__init(&answer);
    answer.n_service = n;
    answer.service = list;
    r.message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_LIST_SERVICES_RESPONSE;
    r.list_services_response = &answer;
    send(call, request, &r);
}

/* proto/ extends nothing. */
static void send_extension_numbers(struct grpc_call *call, const request_message *request,
                                   const struct descriptors *d)
{
    if (!descriptors_is_message(d, str_from(request->all_extension_numbers_of_type))) {
        send_error(call, request, GRPC_NOT_FOUND, "no such message");
        return;
    }
    response_message r;
    Grpc__Reflection__V1__ExtensionNumberResponse answer;
    grpc__reflection__v1__server_reflection_response__init(&r);
    grpc__reflection__v1__extension_number_response__init(&answer);
    answer.base_type_name = request->all_extension_numbers_of_type;
    r.message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ALL_EXTENSION_NUMBERS_RESPONSE;
    r.all_extension_numbers_response = &answer;
    send(call, request, &r);
}

static void answer(struct grpc_call *call, const request_message *m)
{
    struct descriptors d;
    descriptors_init(
        &d, (struct str){.p = (const char *)rpc_descriptor_set, .len = rpc_descriptor_set_len});
    switch ((int)m->message_request_case) {
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME:
        send_file(call, m, &d, descriptors_named(&d, str_from(m->file_by_filename)));
        return;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL:
        send_file(call, m, &d, descriptors_declaring(&d, str_from(m->file_containing_symbol)));
        return;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_EXTENSION:
        send_error(call, m, GRPC_NOT_FOUND, "there are no extensions");
        return;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_ALL_EXTENSION_NUMBERS_OF_TYPE:
        send_extension_numbers(call, m, &d);
        return;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES:
        send_services(call, m, &d);
        return;
    }
    send_error(call, m, GRPC_INVALID_ARGUMENT, "no question, or one that is not known here");
}

void reflection_answer(struct grpc_call *call, const struct grpc_method *method)
{
    (void)method;
    struct arena *arena = arena_new(JOB_ARENA_CAP);
    struct violations v = {0};
    ProtobufCMessage *message;
    enum err e = wire_unpack(&message, &grpc__reflection__v1__server_reflection_request__descriptor,
                             grpc_call_message(call), arena, &v);
    if (e != ERR_OK)
        rpc_refuse_message(call, e, &v);
    else
        answer(call, (const void *)message);
    arena_free(arena);
}

void reflection_half_closed(struct grpc_call *call, const struct grpc_method *method)
{
    (void)method;
    grpc_reply(call, &(struct grpc_answer){.status = GRPC_OK});
}

void reflection_draining(struct grpc_call *call, const struct grpc_method *method)
{
    (void)method;
    rpc_refuse_draining(call);
}

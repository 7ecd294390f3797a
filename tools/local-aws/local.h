/*
 * tools/local-aws/local.h - the endpoint as a whole: a server and its services.
 *
 * A service is one folder and one table of operations. It offers a constructor
 *
 *     bool NAME_service(local *home, local_service *out);
 *
 * and a line in services.def. A request goes to the first service that claims it. Services of AWS's
 * JSON protocols leave claiming, signatures, errors, faults and statistics to aws/aws.h and only
 * fill in an aws_service; others (S3, STS, instance metadata) use local_service directly and call
 * aws_authenticate and faults_meet themselves.
 *
 * Everything runs in the server's thread.
 */
#ifndef WEIR_LOCAL_LOCAL_H
#define WEIR_LOCAL_LOCAL_H

#include "base/buf.h"
#include "keep.h"
#include "server/server.h"
#include "weir/value.h"

typedef struct local local;
struct faults;
struct stats;
struct credentials;

/* NAME:SHARDS, NAME, NAME=BUCKET/PREFIX of the command line, each for the service it is about. */
typedef struct local_setup {
    const char *const *streams;
    const char *const *buckets;
    const char *const *delivery_streams;
    uint32_t stream_count;
    uint32_t bucket_count;
    uint32_t delivery_stream_count;
} local_setup;

typedef struct local_service {
    const char *name; /* "kinesis": in the signing scope, in faults and statistics */
    /* Whether this request is the service's: from method, path, query, headers, scope. */
    bool (*claims)(void *state, const exchange *x);
    void (*serve)(void *state, exchange *x);
    /* Answers with an error in the protocol's shape: for faults, which know no protocol. */
    void (*fail)(void *state, exchange *x, unsigned status, const char *code, const char *message);
    void (*free)(void *state); /* may be NULL */
    /* The name of the operation of that number, as faults_meet is told it; NULL behind the last.
     * The hook may be NULL: fault rules for this service are then not checked for it. */
    const char *(*operation)(const void *state, uint32_t index);
    void *state;

    /* What follows is given `own`: the service's own state, which is `state` unless a shell such as
     * that of aws/aws.h stands between. Each may be NULL. */
    void *own;
    /* The command line's streams and buckets; behind the load of every service, so some may be
     * there already. False: malformed, with a text that names the option, its value and the rule;
     * without a text there was no memory. True with a text: a note for the person. */
    bool (*setup)(void *own, const local_setup *setup, char *error, size_t size);
    /* POST /_weir/NAME with an object: settings that the service has no operation for; writes what
     * holds now as JSON. False: `out` is a text about what was wrong. */
    bool (*admin)(void *own, const weir_value *in, buf *out);
    /* What of the state outlives the process, for --dir: written to and read from a file of the
     * service's own with keep.h. Both false if the file failed or says what cannot be; load then
     * leaves the reason to the caller and the state as it likes, since the program ends. */
    bool (*save)(void *own, keep *out);
    bool (*load)(void *own, keep *in);
} local_service;

typedef struct local_options {
    server_options server;  /* handler and opaque are not used */
    bool verify;            /* signatures; the default of the program */
    const char *access_key; /* NULL: "local" */
    const char *secret_key; /* NULL: "local-secret" */
    const char *region;     /* NULL: "us-east-1" */
    const char *account;    /* NULL: "000000000000" */
    const char *dir;        /* an existing folder; NULL: in memory only */
    uint64_t seed;          /* of everything that looks random */
    local_setup setup;
} local_options;

/* The endpoint with all services; it listens. NULL on failure, with a text in `error`, and errno is
 * EINVAL if that is because of a malformed option of `setup`, else 0. A text on success is a note.
 * The folder is this endpoint's alone until it is freed. Texts of the options must live as long as
 * it does. */
local *local_new(const local_options *options, char *error, size_t error_size);
/* Writes every service's state to the folder: all files first, which then take their places one
 * after the other, each whole. True without a folder. */
bool local_save(local *home, char *error, size_t error_size);
void local_free(local *home); /* NULL is ignored */

server *local_server(local *home);
const local_options *local_settings(const local *home); /* no NULLs but `dir` */
struct faults *local_faults(local *home);
struct stats *local_stats(local *home);
struct credentials *local_credentials(local *home);
/* Of each service in turn; NULL behind the last. */
const local_service *local_service_at(const local *home, uint32_t index);
const local_service *local_service_named(const local *home, const char *name); /* or NULL */
/* `own` of another service, such as "s3" for firehose, or NULL. */
void *local_service_state(local *home, const char *name);
/* Pseudo-random by the seed: the same calls in the same order give the same numbers. */
uint64_t local_random(local *home);
/* 36 characters and a NUL, in the shape of a UUID. */
void local_uuid(local *home, char out[37]);

#endif

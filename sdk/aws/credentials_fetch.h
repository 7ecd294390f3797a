/*
 * sdk/aws/credentials_fetch.h - what running a plan (credentials_fetch.c) shares with the parts
 * that know how each service is asked and answers. Internal.
 */
#ifndef WEIR_AWS_CREDENTIALS_FETCH_H
#define WEIR_AWS_CREDENTIALS_FETCH_H

#include "credentials.h"

/* A role's name, a token, a header or two. */
#define FETCH_ANSWER_MAX 65536u
#define FETCH_HEADERS_MAX 6u

/* A request about to be sent. Everything it points to stays until it is. */
typedef struct fetch_request {
    const char *method;
    text url, body;
    text secret; /* a header's value that is one */
    text date;
    weir_http_header headers[FETCH_HEADERS_MAX];
    uint32_t header_count;
    bool direct; /* never through a proxy */
} fetch_request;
void fetch_header(fetch_request *q, const char *name, weir_str value);

typedef struct fetch_answer {
    uint32_t http_status;
    weir_str body;
    weir_str type_header; /* x-amzn-ErrorType */
} fetch_answer;

typedef enum {
    FETCH_KEYS,  /* the step is over, `keys` filled */
    FETCH_MORE,  /* the step goes on with its next request */
    FETCH_AGAIN, /* may work the next time; problem filled */
    FETCH_FAILED /* problem filled */
} fetch_result;

/* What a step remembers from one request to the next. */
typedef struct fetch_memory {
    uint32_t stage;
    text token, role;
} fetch_memory;

/* STS: AssumeRole with `keys`, AssumeRoleWithWebIdentity without. */
bool sts_ask(fetch_request *q, const aws_step *s, const aws_identity *keys, const char *region,
             int64_t now_us, weir_aws_signer *signer, aws_problem *problem);
fetch_result sts_answer(const aws_step *s, const aws_identity *before, const fetch_answer *a,
                        const char *origin, aws_identity *keys, aws_problem *problem);
/* Whether the refusal was one of the clock. */
bool sts_blames_clock(const fetch_answer *a);

/* Container services and instance metadata. */
bool metadata_ask(fetch_request *q, const aws_step *s, const fetch_memory *m, aws_problem *problem);
fetch_result metadata_answer(const aws_step *s, fetch_memory *m, const fetch_answer *a,
                             const char *origin, aws_identity *keys, aws_problem *problem);

/* Keys in JSON: AccessKeyId, SecretAccessKey, `token_name`, Expiration. `version`: there must be
 * "Version": 1, and Expiration may be missing. False with problem filled; `what` begins its words.
 */
bool keys_from_json(weir_str body, const char *token_name, bool version, const char *what,
                    const char *origin, aws_identity *keys, aws_problem *problem);

/* ---- a program that prints keys ---- */

typedef struct key_process key_process;
/* Runs `command`, split into words without a shell. NULL with problem filled. */
key_process *key_process_start(const char *command, int64_t deadline_ns, aws_problem *problem);
/* True once it has ended; before, it is read from. */
bool key_process_drive(key_process *p, int64_t now_ns);
/* After the end. */
bool key_process_take(key_process *p, const char *origin, aws_identity *keys, aws_problem *problem);
void key_process_free(key_process *p); /* kills it if it still runs; NULL is ignored */

/* Splits at white space outside quotes; \ takes the next character as it is (not in '...'). The
 * result and its words are one block for free(). NULL without memory or for an open quote. */
char **key_process_words(const char *command);

#endif

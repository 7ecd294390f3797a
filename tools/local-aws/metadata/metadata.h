/*
 * metadata/metadata.h - where programs on AWS's machines find their keys.
 *
 *   metadata.c    which requests are meant, settings, the keys that are handed out
 *   imds.c        the instance's: /latest/api/token, /latest/meta-data/, /latest/dynamic/
 *   containers.c  ECS: /v2/credentials/ID; EKS Pod Identity: /v1/credentials
 */
#ifndef WEIR_LOCAL_METADATA_H
#define WEIR_LOCAL_METADATA_H

#include "aws/aws.h"
#include "sts/sts.h"

#define METADATA_TOKENS 1024u /* of IMDSv2 at once; the oldest goes first */
#define METADATA_TOKEN_LEN 56u
#define METADATA_TTL_MAX_S 21600
#define METADATA_ROLE_MAX 64u    /* characters of a role's name */
#define METADATA_AHEAD_MS 300000 /* the service replaces keys so long before their end */
#define METADATA_AUTHORIZATION 16384u

/* Who is asked: each has keys of its own. */
typedef enum metadata_place { PLACE_INSTANCE, PLACE_CONTAINER, PLACE_POD, PLACES } metadata_place;

/* What is wrong with an answer that has keys. */
typedef enum metadata_answer {
    ANSWER_WHOLE,
    ANSWER_CUT,     /* half of the JSON */
    ANSWER_HTML,    /* a proxy's page */
    ANSWER_EMPTY,   /* no body */
    ANSWER_REFUSED, /* 200, and in it that there are no keys */
} metadata_answer;

typedef struct imds_token {
    char text[METADATA_TOKEN_LEN + 1];
    int64_t expires_ms;
} imds_token;

typedef struct metadata {
    local *home;
    char role[METADATA_ROLE_MAX + 1]; /* empty: the instance has none */
    int64_t lifetime_s;
    int64_t stale_s; /* -1: no; else Expiration is told as so long ago, while the keys are good */
    bool imds, v1, hop_limit_reached, line_ends;
    metadata_answer answer;
    char *container_token, *pod_token; /* NULL: any, and for containers none too */
    imds_token tokens[METADATA_TOKENS];
    uint32_t next_token;
    char held[PLACES][21]; /* access keys handed out at present, or empty */
} metadata;

/* The keys of that place: the same until their end is near. NULL without memory. */
const sts_grant *metadata_keys(metadata *m, metadata_place place);
/* The answer of `json`, or what the settings make of it. */
void metadata_give(metadata *m, exchange *x, const buf *json, const char *refusal);
/* Appends the members SecretAccessKey, Token and Expiration. */
void metadata_put_keys(const metadata *m, const sts_grant *g, buf *out);
void metadata_page(exchange *x, unsigned status, const char *reason);

/* False: not of that service. `operation`: its name for faults and statistics, static. */
bool imds_claims(weir_str path, const char **operation);
void imds_serve(metadata *m, exchange *x);
bool containers_claim(weir_str path, const char **operation);
void containers_serve(metadata *m, exchange *x);
void containers_fail(exchange *x, unsigned status, const char *code, const char *message);

#endif

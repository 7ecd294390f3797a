/*
 * tools/local-aws/admin/rules.h - the text of fault rules, read once. Private to admin/.
 *
 * A set is what one POST or one file said; it is checked whole before any of it counts, and every
 * refusal names the place: "rule 3: cut.how: expected ...". Whether a rule takes a request is asked
 * of itself alone: its counters and its generator are its own, so that the same requests meet the
 * same faults whatever else the endpoint is asked meanwhile.
 */
#ifndef WEIR_LOCAL_RULES_H
#define WEIR_LOCAL_RULES_H

#include "local.h"
#include "weir/json.h"

#define RULES_NAME 128u
#define RULES_MESSAGE 512u
#define RULES_QUANTILES 16u

typedef enum rule_order { RULE_ORDER_KEPT, RULE_ORDER_REVERSE, RULE_ORDER_SHUFFLE } rule_order;

typedef struct rule {
    struct rule *next;
    uint32_t index;
    const weir_value *json; /* in its set's document, as all texts */

    weir_str service, operation, contains, path; /* len 0: any */
    int64_t skip, every, count;                  /* count -1: no end */
    double probability;
    uint64_t random; /* the generator's state */
    int64_t seen, hits;

    int64_t latency_ms, jitter_ms;
    uint32_t quantile_count; /* of the latency, ascending */
    struct {
        double share, ms;
    } quantiles[RULES_QUANTILES];

    unsigned status; /* 0: the answer is the service's own, unless has_body */
    char exception[RULES_NAME], message[RULES_MESSAGE];
    bool after, has_body;
    weir_str body, content_type;
    int64_t retry_after_ms; /* -1: none */
    int64_t date_ms;

    bool has_cut;
    int64_t cut;
    exchange_cut how;
    int64_t pace_bytes, pace_ms;

    const weir_value *records; /* NULL: none */
    char record_exception[RULES_NAME];
    rule_order order;
    const weir_value *stream;

    bool has_error_type, type_in_header, type_in_body;
    weir_str type_prefix, type_suffix;
    bool exponents;          /* JSON time stamps as 1.7E9 */
    const weir_value *nulls; /* names that are written as null where they are absent */

    bool expire_signer;
    const weir_value *expire; /* access keys */
} rule;

typedef struct rule_set {
    struct rule_set *older;
    weir_json_doc *doc;
    rule *rules;
    server_conduct conduct;
} rule_set;

/* NULL with a text in `error` that says where and what was expected. */
rule_set *rules_read(local *home, const weir_value *root, char *error, size_t error_size);
void rules_free(rule_set *s);

/* The next number of the rule's generator. */
uint64_t rule_random(rule *r);
/* Counts the request, which the rule's names fit, and says whether the rule takes it. */
bool rule_takes(rule *r);
/* How long this request is to wait. */
int64_t rule_latency_ms(rule *r);

/* The same checks for other objects of the admin API. `kind` is one of
 * 's' text, 'i' integer in [min, max], 'n' number in [min, max], 'b' true or false, 'o' object,
 * 'a' array, '*' anything. */
typedef struct rules_member {
    const char *name;
    char kind;
    int64_t min, max;
} rules_member;
/* False with "WHERE.member: ..." in `error`; `where` may be "". */
bool rules_check(const weir_value *object, const char *where, const rules_member *members,
                 size_t count, char *error, size_t error_size);

#endif

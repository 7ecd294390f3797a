/*
 * tools/local-aws/aws/parts.h - small parts of which services make their state: texts, tags,
 * budgets, lists, and how they are kept between runs.
 */
#ifndef WEIR_LOCAL_AWS_PARTS_H
#define WEIR_LOCAL_AWS_PARTS_H

#include "aws/aws.h"
#include "keep.h"

/* A copy with a NUL behind it, for mem_free; NULL without memory. */
char *aws_text(weir_str s);
/* Puts a copy in the place of *at. False without memory, *at is as it was. */
bool aws_text_set(char **at, weir_str s);

/* ---- tags, in the order of their keys ---- */

typedef struct aws_tag {
    struct aws_tag *next;
    char *key, *value;
} aws_tag;
typedef struct aws_tags {
    aws_tag *first;
    uint32_t count;
} aws_tags;

void aws_tags_free(aws_tags *t);
bool aws_tags_put(aws_tags *t, weir_str key, weir_str value); /* false without memory */
bool aws_tags_has(const aws_tags *t, weir_str key);
void aws_tags_remove(aws_tags *t, weir_str key);
void aws_tags_save(const aws_tags *t, keep *out);
bool aws_tags_load(aws_tags *t, keep *in);

/* ---- regions ---- */

/* us-east-1, us-west-2, eu-west-1: where many services' default quotas are higher. */
bool aws_region_is_large(const char *region);

/* ---- a budget that fills at `rate` a second up to one second's worth ---- */

typedef struct aws_budget {
    double level, rate;
    int64_t at_ms;
} aws_budget;
void aws_budget_init(aws_budget *b, double rate, int64_t now_ms);
/* Whether `amount` is there; what is more than a second's worth waits for a full budget. */
bool aws_budget_has(aws_budget *b, double amount, int64_t now_ms);
void aws_budget_take(aws_budget *b, double amount); /* may leave it in debt */
/* Both in one: false, and nothing is taken, if it is not there. */
bool aws_budget_spend(aws_budget *b, double amount, int64_t now_ms);

/* ---- texts that may be absent, kept between runs ---- */

void aws_keep_optional(const char *text, keep *out); /* NULL: absent */
bool aws_load_optional(char **at, keep *in);

/* ---- a request's members ---- */

/* A number of an object: absent and null give `otherwise`. False: it is something else; the call
 * has failed with SerializationException. */
bool aws_number(aws_call *call, const weir_value *object, const char *name, int64_t otherwise,
                int64_t *out);
/* The same for a text, which is {NULL, 0} if absent. */
bool aws_member(aws_call *call, const weir_value *object, const char *name, weir_str *out);
/* The same for an object or (`type`) an array, which is NULL if absent. */
bool aws_container(aws_call *call, const weir_value *object, const char *name, uint8_t type,
                   const weir_value **out);
/* Whether all bytes are letters, digits or among `more`. */
bool aws_name_of(weir_str s, const char *more);

#endif

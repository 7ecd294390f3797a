/*
 * Policies of streams and consumers: kept and told. Nobody's access is decided by them.
 */
#include <regex.h>

#include "base/mem.h"
#include "kinesis/stream.h"

#define ARN_MAX 2048u

/* The pattern of the API's model. */
static bool looks_like_arn(weir_str text) {
    regex_t pattern;
    char *copy = text.len && text.len <= ARN_MAX ? aws_text(text) : NULL;
    if (!copy) return false;
    bool ok =
        regcomp(&pattern, "^arn:aws.*:kinesis:.*:[0-9]{12}:.*(stream|channel|queue)/[^[:space:]]+$",
                REG_EXTENDED | REG_NOSUB) == 0;
    if (ok) {
        ok = regexec(&pattern, copy, 0, NULL, 0) == 0;
        regfree(&pattern);
    }
    mem_free(copy);
    return ok;
}

/* Where the policy of the call's resource is kept. NULL: the call has failed. */
static char **policy_of(aws_call *call, bool change) {
    weir_str arn;
    consumer *c;
    if (!aws_member(call, call->in, "ResourceARN", &arn)) return NULL;
    if (!looks_like_arn(arn)) {
        kinesis_invalid(call, arn.ptr ? arn : STR("null"), "resourceARN",
                        "Member must satisfy regular expression pattern: "
                        "arn:aws.*:kinesis:.*:\\d{12}:.*(stream|channel|queue)/\\S+");
        return NULL;
    }
    stream *s = kinesis_resource(call->state, arn, &c);
    if (!s) {
        aws_fail(call, &KINESIS_NOT_FOUND, "Resource %.*s not found.", STR_FMT(arn));
        return NULL;
    }
    if (change && !stream_usable(s)) {
        aws_fail(call, &KINESIS_IN_USE,
                 "Stream %s under account %s not ACTIVE, instead in state %s", s->name,
                 local_settings(call->home)->account, stream_status_name(s));
        return NULL;
    }
    return c ? &c->policy : &s->policy;
}

static bool no_policy(aws_call *call) {
    aws_fail(call, &KINESIS_NOT_FOUND, "No resource policy found for %.*s.",
             STR_FMT(aws_in_str(call, "ResourceARN")));
    return false;
}

/* A JSON object with statements; what these allow is not looked at. */
static bool policy_is_valid(weir_str text) {
    weir_json_doc *doc = weir_json_read(text, 0, NULL);
    const weir_value *root = doc ? weir_json_root(doc) : NULL;
    const weir_value *statement =
        root && root->type == WEIR_V_OBJECT ? weir_json_get(root, "Statement") : NULL;
    bool ok = statement && (statement->type == WEIR_V_OBJECT || statement->type == WEIR_V_ARRAY) &&
              statement->size > 0;
    weir_json_free(doc);
    return ok;
}

void kinesis_put_policy(aws_call *call) {
    weir_str text;
    if (!aws_member(call, call->in, "Policy", &text)) return;
    if (!text.ptr) {
        kinesis_invalid(call, STR("null"), "policy", "Member must not be null");
        return;
    }
    char **policy = policy_of(call, true);
    if (!policy) return;
    if (!policy_is_valid(text))
        aws_fail(call, &KINESIS_INVALID,
                 "Policy is malformed: expected a JSON object with a Statement.");
    else if (!aws_text_set(policy, text))
        aws_fail(call, &KINESIS_INTERNAL, "out of memory");
    else
        aws_end(call);
}

void kinesis_get_policy(aws_call *call) {
    char **policy = policy_of(call, false);
    if (!policy || (!*policy && !no_policy(call))) return;
    aws_out_open(&call->out, NULL);
    aws_out_z(&call->out, "Policy", *policy);
    aws_end(call);
}

void kinesis_delete_policy(aws_call *call) {
    char **policy = policy_of(call, true);
    if (!policy || (!*policy && !no_policy(call))) return;
    mem_free(*policy);
    *policy = NULL;
    aws_end(call);
}

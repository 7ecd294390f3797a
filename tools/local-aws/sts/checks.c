#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

#include "sts/sts.h"

#define PACKED_BYTES 2048u /* of policy, ARNs and tags together; the service packs, then counts */
#define POLICY_MAX 2048u
#define POLICY_ARNS_MAX 10u
#define TAGS_MAX 50u
#define CONTEXTS_MAX 5u
#define ECHO_MAX 256 /* of a wrong value in an error */

static void note(sts_call *call, weir_str value, bool secret, const char *member,
                 const char *constraint) {
    buf *b = &call->invalid;
    if (call->invalid_count++) buf_append_z(b, "; ");
    if (!value.ptr)
        buf_append_z(b, "Value null");
    else if (secret)
        buf_append_z(b, "Value");
    else
        buf_printf(b, "Value '%.*s'", value.len > ECHO_MAX ? ECHO_MAX : (int)value.len, value.ptr);
    buf_printf(b, " at '%s' failed to satisfy constraint: %s", member, constraint);
}

bool sts_valid(sts_call *call) {
    if (!call->invalid_count) return true;
    weir_str all = buf_str(&call->invalid);
    sts_fail(call, &STS_VALIDATION, "%u validation error%s detected: %.*s", call->invalid_count,
             call->invalid_count == 1 ? "" : "s", STR_FMT(all));
    return false;
}

static void check_length(sts_call *call, const sts_rule *r, weir_str v) {
    char text[96];
    uint64_t n = aws_characters(v);
    if (n < r->min)
        snprintf(text, sizeof text, "Member must have length greater than or equal to %u", r->min);
    else if (n > r->max)
        snprintf(text, sizeof text, "Member must have length less than or equal to %u", r->max);
    else
        return;
    note(call, v, r->flags & STS_SECRET, r->member, text);
}

static void check_characters(sts_call *call, const sts_rule *r, weir_str v) {
    if (!r->also) return;
    for (size_t i = 0; i < v.len; i++) {
        unsigned char c = (unsigned char)v.ptr[i];
        if (c >= '0' && c <= '9') continue;
        bool word = c < 128 && (isalnum(c) || c == '_' || (c && strchr(r->also, c)));
        if (word && !(r->flags & STS_DIGITS)) continue;
        char text[160];
        snprintf(text, sizeof text, "Member must satisfy regular expression pattern: %s",
                 r->pattern);
        note(call, v, r->flags & STS_SECRET, r->member, text);
        return;
    }
}

weir_str sts_text(sts_call *call, const sts_rule *r) {
    weir_str v = form_get(&call->in, r->name);
    if (!v.ptr) {
        if (r->flags & STS_REQUIRED) note(call, v, false, r->member, "Member must not be null");
        return v;
    }
    check_length(call, r, v);
    check_characters(call, r, v);
    return v;
}

int64_t sts_number(sts_call *call, const char *name, const char *member, int64_t min, int64_t max,
                   int64_t otherwise) {
    weir_str v = form_get(&call->in, name);
    int64_t n;
    char text[96];
    if (!v.ptr) return otherwise;
    if (!str_to_i64(v, &n))
        snprintf(text, sizeof text, "Member must be an integer");
    else if (n < min)
        snprintf(text, sizeof text, "Member must have value greater than or equal to %" PRId64,
                 min);
    else if (n > max)
        snprintf(text, sizeof text, "Member must have value less than or equal to %" PRId64, max);
    else
        return n;
    note(call, v, false, member, text);
    return otherwise;
}

/* The n-th (from 1) member of a list: "Tags.member.3.Key". */
static weir_str member(const sts_call *call, const char *list, uint32_t n, const char *part) {
    char name[64];
    snprintf(name, sizeof name, "%s.member.%u%s", list, n, part);
    return form_get(&call->in, name);
}

static void too_many(sts_call *call, const char *name, uint32_t max) {
    char text[96];
    snprintf(text, sizeof text, "Member must have length less than or equal to %u", max);
    note(call, STR("[...]"), false, name, text);
}

static uint32_t tag_bytes(sts_call *call) {
    static const sts_rule key_rule = {.member = "tags.member.key", .min = 1, .max = 128},
                          value_rule = {.member = "tags.member.value", .max = 256};
    uint64_t bytes = 0;
    uint32_t n = 1;
    for (;; n++) {
        weir_str key = member(call, "Tags", n, ".Key"), value = member(call, "Tags", n, ".Value");
        if (!key.ptr && !value.ptr) break;
        if (!key.ptr || !value.ptr) {
            note(call, (weir_str){NULL, 0}, false, key.ptr ? value_rule.member : key_rule.member,
                 "Member must not be null");
            continue;
        }
        check_length(call, &key_rule, key);
        check_length(call, &value_rule, value);
        bytes += key.len + value.len;
    }
    if (n - 1 > TAGS_MAX) too_many(call, "tags", TAGS_MAX);
    for (n = 1; member(call, "TransitiveTagKeys", n, "").ptr;) n++;
    if (n - 1 > TAGS_MAX) too_many(call, "transitiveTagKeys", TAGS_MAX);
    return (uint32_t)bytes;
}

uint32_t sts_session_bytes(sts_call *call, bool bounded) {
    static const sts_rule arn = {.member = "policyArns.member.arn", .min = 20, .max = 2048};
    sts_rule policy = {.name = "Policy", .member = "policy", .min = 1, .max = POLICY_MAX};
    if (!bounded) policy.max = UINT32_MAX;
    uint64_t bytes = sts_text(call, &policy).len;
    uint32_t n = 1;
    for (; member(call, "PolicyArns", n, ".arn").ptr; n++) {
        weir_str one = member(call, "PolicyArns", n, ".arn");
        check_length(call, &arn, one);
        bytes += one.len;
    }
    if (n - 1 > POLICY_ARNS_MAX) too_many(call, "policyArns", POLICY_ARNS_MAX);
    for (n = 1; member(call, "ProvidedContexts", n, ".ProviderArn").ptr;) n++;
    if (n - 1 > CONTEXTS_MAX) too_many(call, "providedContexts", CONTEXTS_MAX);
    bytes += tag_bytes(call);
    return bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)bytes;
}

bool sts_packed(sts_call *call, uint32_t bytes, uint32_t *percent) {
    static const sts_error too_large = {"PackedPolicyTooLarge", 400},
                           malformed = {"MalformedPolicyDocument", 400};
    weir_str policy = form_get(&call->in, "Policy");
    if (policy.ptr) {
        weir_json_doc *doc = weir_json_read(policy, 0, NULL);
        bool object = doc && weir_json_root(doc)->type == WEIR_V_OBJECT;
        weir_json_free(doc);
        if (!object) {
            sts_fail(call, &malformed, "The policy is not in the valid JSON format.");
            return false;
        }
    }
    *percent = (uint32_t)((uint64_t)bytes * 100 / PACKED_BYTES);
    if (bytes && *percent == 0) *percent = 1;
    if (*percent <= 100) return true;
    sts_fail(call, &too_large,
             "Packed size of session policy and tags consumes %u%% of allotted space.", *percent);
    return false;
}

#include "kinesis/stream.h"

#define KEY_MAX 128u
#define VALUE_MAX 256u

bool kinesis_add_tag_map(aws_call *call, aws_tags *t, const weir_value *in) {
    if (!in) return true;
    if (in->type != WEIR_V_OBJECT) {
        kinesis_invalid(call, STR("..."), "tags", "Member must be a map of strings");
        return false;
    }
    uint32_t fresh = 0;
    const weir_value *key = in + 1;
    for (uint32_t i = 0; i < in->size; i++, key = weir_value_next(key + 1)) {
        weir_str k = weir_value_str(key), v = weir_value_str(key + 1);
        if (key[1].type != WEIR_V_STRING || aws_characters(k) < 1 || aws_characters(k) > KEY_MAX ||
            aws_characters(v) > VALUE_MAX) {
            kinesis_invalid(call, k, "tags",
                            "Map keys must have length between 1 and %u, values at most %u",
                            KEY_MAX, VALUE_MAX);
            return false;
        }
        fresh += !aws_tags_has(t, k);
    }
    if (t->count + fresh > KINESIS_TAGS_MAX) {
        aws_fail(call, &KINESIS_INVALID,
                 "Failed to add tags: cannot have more than %u tags associated with "
                 "a resource.",
                 KINESIS_TAGS_MAX);
        return false;
    }
    key = in + 1;
    for (uint32_t i = 0; i < in->size; i++, key = weir_value_next(key + 1)) {
        if (aws_tags_put(t, weir_value_str(key), weir_value_str(key + 1))) continue;
        aws_fail(call, &KINESIS_INTERNAL, "out of memory");
        return false;
    }
    return true;
}

static bool remove_list(aws_call *call, aws_tags *t, const weir_value *keys) {
    if (!keys || keys->type != WEIR_V_ARRAY || keys->size < 1 || keys->size > KINESIS_TAGS_MAX) {
        kinesis_invalid(call, STR("..."), "tagKeys", "Member must have length between 1 and %u",
                        KINESIS_TAGS_MAX);
        return false;
    }
    const weir_value *key = keys + 1;
    for (uint32_t i = 0; i < keys->size; i++, key = weir_value_next(key))
        if (key->type == WEIR_V_STRING) aws_tags_remove(t, weir_value_str(key));
    return true;
}

static void write_one(aws_out *o, const aws_tag *t) {
    aws_out_open(o, NULL);
    aws_out_z(o, "Key", t->key);
    aws_out_z(o, "Value", t->value);
    aws_out_close(o);
}

/* ---- of streams ---- */

void kinesis_add_tags(aws_call *call) {
    stream *s = kinesis_rate(call) ? stream_of_call(call) : NULL;
    if (s && kinesis_add_tag_map(call, &s->tags, aws_in(call, "Tags"))) aws_end(call);
}

void kinesis_remove_tags(aws_call *call) {
    stream *s = kinesis_rate(call) ? stream_of_call(call) : NULL;
    if (s && remove_list(call, &s->tags, aws_in(call, "TagKeys"))) aws_end(call);
}

void kinesis_list_tags(aws_call *call) {
    stream *s = kinesis_rate(call) ? stream_of_call(call) : NULL;
    if (!s) return;
    int64_t limit = weir_json_get_i64(call->in, "Limit", KINESIS_TAGS_MAX);
    if (!kinesis_between(call, limit, "limit", 1, KINESIS_TAGS_MAX)) return;
    weir_str from = aws_in_str(call, "ExclusiveStartTagKey");
    aws_out *o = &call->out;
    aws_out_open(o, NULL);
    aws_out_open_array(o, "Tags");
    int64_t n = 0;
    const aws_tag *t = s->tags.first;
    for (; t; t = t->next) {
        if (from.ptr && str_cmp(str_of(t->key), from) <= 0) continue;
        if (n++ == limit) break;
        write_one(o, t);
    }
    aws_out_close_array(o);
    aws_out_bool(o, "HasMoreTags", t != NULL);
    aws_end(call);
}

/* ---- of anything with an ARN ---- */

static aws_tags *of_resource(aws_call *call) {
    weir_str arn = aws_in_str(call, "ResourceARN");
    consumer *c;
    stream *s = kinesis_resource(call->state, arn, &c);
    if (s) return c ? &c->tags : &s->tags;
    aws_fail(call, &KINESIS_NOT_FOUND, "Resource %.*s not found.", STR_FMT(arn));
    return NULL;
}

void kinesis_tag_resource(aws_call *call) {
    aws_tags *t = of_resource(call);
    if (t && kinesis_add_tag_map(call, t, aws_in(call, "Tags"))) aws_end(call);
}

void kinesis_untag_resource(aws_call *call) {
    aws_tags *t = of_resource(call);
    if (t && remove_list(call, t, aws_in(call, "TagKeys"))) aws_end(call);
}

void kinesis_list_resource_tags(aws_call *call) {
    aws_tags *t = of_resource(call);
    if (!t) return;
    aws_out *o = &call->out;
    aws_out_open(o, NULL);
    aws_out_open_array(o, "Tags");
    for (const aws_tag *one = t->first; one; one = one->next) write_one(o, one);
    aws_out_close_array(o);
    aws_end(call);
}

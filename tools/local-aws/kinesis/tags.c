#include "base/mem.h"
#include "kinesis/stream.h"

#define KEY_MAX 128u
#define VALUE_MAX 256u

static char *copy_text(weir_str s) {
    char *copy = mem_alloc((size_t)s.len + 1);
    if (!copy) return NULL;
    if (s.len) memcpy(copy, s.ptr, (size_t)s.len);
    copy[s.len] = 0;
    return copy;
}

static void tag_free(tag *t) {
    mem_free(t->key);
    mem_free(t->value);
    mem_free(t);
}

void tags_free(tags *t) {
    while (t->first) {
        tag *next = t->first->next;
        tag_free(t->first);
        t->first = next;
    }
    t->count = 0;
}

void tags_remove(tags *t, weir_str key) {
    for (tag **at = &t->first; *at; at = &(*at)->next) {
        if (!str_eq_z(key, (*at)->key)) continue;
        tag *gone = *at;
        *at = gone->next;
        t->count--;
        tag_free(gone);
        return;
    }
}

/* In the order of their keys, as they are listed. */
bool tags_put(tags *t, weir_str key, weir_str value) {
    tag *one = mem_zalloc(sizeof *one);
    if (!one) return false;
    one->key = copy_text(key);
    one->value = copy_text(value);
    if (!one->key || !one->value) {
        tag_free(one);
        return false;
    }
    tags_remove(t, key);
    tag **at = &t->first;
    while (*at && strcmp((*at)->key, one->key) < 0) at = &(*at)->next;
    one->next = *at;
    *at = one;
    t->count++;
    return true;
}

bool tags_add_map(aws_call *call, tags *t, const weir_value *in) {
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
                            "Map keys must have length between 1 and 128, values at most 256");
            return false;
        }
        bool known = false;
        for (const tag *old = t->first; old; old = old->next)
            known = known || str_eq_z(k, old->key);
        fresh += !known;
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
        if (tags_put(t, weir_value_str(key), weir_value_str(key + 1))) continue;
        aws_fail(call, &KINESIS_INTERNAL, "out of memory");
        return false;
    }
    return true;
}

static bool remove_list(aws_call *call, tags *t, const weir_value *keys) {
    if (!keys || keys->type != WEIR_V_ARRAY || keys->size < 1 || keys->size > KINESIS_TAGS_MAX) {
        kinesis_invalid(call, STR("..."), "tagKeys", "Member must have length between 1 and 50");
        return false;
    }
    const weir_value *key = keys + 1;
    for (uint32_t i = 0; i < keys->size; i++, key = weir_value_next(key))
        if (key->type == WEIR_V_STRING) tags_remove(t, weir_value_str(key));
    return true;
}

static void write_one(aws_out *o, const tag *t) {
    aws_out_open(o, NULL);
    aws_out_z(o, "Key", t->key);
    aws_out_z(o, "Value", t->value);
    aws_out_close(o);
}

/* ---- of streams ---- */

void kinesis_add_tags(aws_call *call) {
    stream *s = kinesis_rate(call) ? stream_of_call(call) : NULL;
    if (s && tags_add_map(call, &s->tags, aws_in(call, "Tags"))) aws_end(call);
}

void kinesis_remove_tags(aws_call *call) {
    stream *s = kinesis_rate(call) ? stream_of_call(call) : NULL;
    if (s && remove_list(call, &s->tags, aws_in(call, "TagKeys"))) aws_end(call);
}

void kinesis_list_tags(aws_call *call) {
    stream *s = kinesis_rate(call) ? stream_of_call(call) : NULL;
    if (!s) return;
    int64_t limit = weir_json_get_i64(call->in, "Limit", KINESIS_TAGS_MAX);
    if (limit < 1 || limit > (int64_t)KINESIS_TAGS_MAX) {
        kinesis_invalid(call, STR("..."), "limit", "Member must be between 1 and 50");
        return;
    }
    weir_str from = aws_in_str(call, "ExclusiveStartTagKey");
    aws_out *o = &call->out;
    aws_out_open(o, NULL);
    aws_out_open_array(o, "Tags");
    int64_t n = 0;
    const tag *t = s->tags.first;
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

static tags *of_resource(aws_call *call) {
    kinesis *k = call->state;
    weir_str arn = aws_in_str(call, "ResourceARN");
    size_t cursor = 0;
    weir_str name;
    void *value;
    while (arn.ptr && map_next(k->streams, &cursor, &name, &value)) {
        stream *s = value;
        if (str_eq_z(arn, s->arn)) return &s->tags;
        for (consumer *c = s->consumers; c; c = c->next)
            if (str_eq_z(arn, c->arn)) return &c->tags;
    }
    aws_fail(call, &KINESIS_NOT_FOUND, "Resource %.*s not found.", STR_FMT(arn));
    return NULL;
}

void kinesis_tag_resource(aws_call *call) {
    tags *t = of_resource(call);
    if (t && tags_add_map(call, t, aws_in(call, "Tags"))) aws_end(call);
}

void kinesis_untag_resource(aws_call *call) {
    tags *t = of_resource(call);
    if (t && remove_list(call, t, aws_in(call, "TagKeys"))) aws_end(call);
}

void kinesis_list_resource_tags(aws_call *call) {
    tags *t = of_resource(call);
    if (!t) return;
    aws_out *o = &call->out;
    aws_out_open(o, NULL);
    aws_out_open_array(o, "Tags");
    for (const tag *one = t->first; one; one = one->next) write_one(o, one);
    aws_out_close_array(o);
    aws_end(call);
}

#include "aws/parts.h"

#include "base/mem.h"

char *aws_text(weir_str s) {
    char *copy = mem_alloc((size_t)s.len + 1);
    if (!copy) return NULL;
    if (s.len) memcpy(copy, s.ptr, (size_t)s.len);
    copy[s.len] = 0;
    return copy;
}

bool aws_text_set(char **at, weir_str s) {
    char *copy = aws_text(s);
    if (!copy) return false;
    mem_free(*at);
    *at = copy;
    return true;
}

bool aws_region_is_large(const char *region) {
    return strcmp(region, "us-east-1") == 0 || strcmp(region, "us-west-2") == 0 ||
           strcmp(region, "eu-west-1") == 0;
}

/* ---- tags ---- */

static void tag_free(aws_tag *t) {
    mem_free(t->key);
    mem_free(t->value);
    mem_free(t);
}

void aws_tags_free(aws_tags *t) {
    while (t->first) {
        aws_tag *next = t->first->next;
        tag_free(t->first);
        t->first = next;
    }
    t->count = 0;
}

bool aws_tags_put(aws_tags *t, weir_str key, weir_str value) {
    aws_tag *one = mem_zalloc(sizeof *one);
    if (!one) return false;
    one->key = aws_text(key);
    one->value = aws_text(value);
    if (!one->key || !one->value) {
        tag_free(one);
        return false;
    }
    aws_tags_remove(t, key);
    aws_tag **at = &t->first;
    while (*at && strcmp((*at)->key, one->key) < 0) at = &(*at)->next;
    one->next = *at;
    *at = one;
    t->count++;
    return true;
}

bool aws_tags_has(const aws_tags *t, weir_str key) {
    for (const aws_tag *one = t->first; one; one = one->next)
        if (str_eq_z(key, one->key)) return true;
    return false;
}

void aws_tags_remove(aws_tags *t, weir_str key) {
    for (aws_tag **at = &t->first; *at; at = &(*at)->next) {
        if (!str_eq_z(key, (*at)->key)) continue;
        aws_tag *gone = *at;
        *at = gone->next;
        t->count--;
        tag_free(gone);
        return;
    }
}

void aws_tags_save(const aws_tags *t, keep *out) {
    keep_put_u64(out, t->count);
    for (const aws_tag *one = t->first; one; one = one->next) {
        keep_put_str(out, str_of(one->key));
        keep_put_str(out, str_of(one->value));
    }
}

bool aws_tags_load(aws_tags *t, keep *in) {
    uint64_t n = keep_count(in, 16);
    bool ok = true;
    for (uint64_t i = 0; ok && i < n; i++) {
        char *key = keep_str(in, NULL), *value = keep_str(in, NULL);
        ok = key && value && aws_tags_put(t, str_of(key), str_of(value));
        mem_free(key);
        mem_free(value);
    }
    return ok && keep_ok(in);
}

/* ---- budgets ---- */

void aws_budget_init(aws_budget *b, double rate, int64_t now_ms) {
    *b = (aws_budget){.level = rate, .rate = rate, .at_ms = now_ms};
}

bool aws_budget_has(aws_budget *b, double amount, int64_t now_ms) {
    if (now_ms > b->at_ms) {
        b->level += b->rate * (double)(now_ms - b->at_ms) / 1000.0;
        if (b->level > b->rate) b->level = b->rate;
        b->at_ms = now_ms;
    }
    return b->level >= (amount > b->rate ? b->rate : amount);
}

void aws_budget_take(aws_budget *b, double amount) {
    b->level -= amount;
}

bool aws_budget_spend(aws_budget *b, double amount, int64_t now_ms) {
    if (!aws_budget_has(b, amount, now_ms)) return false;
    aws_budget_take(b, amount);
    return true;
}

/* ---- texts that may be absent ---- */

void aws_keep_optional(const char *text, keep *out) {
    keep_put_u64(out, text != NULL);
    keep_put_str(out, str_of(text));
}

bool aws_load_optional(char **at, keep *in) {
    bool there = keep_u64(in) != 0;
    char *text = keep_str(in, NULL);
    if (there)
        *at = text;
    else
        mem_free(text);
    return keep_ok(in);
}

/* ---- members ---- */

static const aws_exception SERIALIZATION = {"SerializationException", 400};

bool aws_number(aws_call *call, const weir_value *object, const char *name, int64_t otherwise,
                int64_t *out) {
    const weir_value *v = object ? weir_json_get(object, name) : NULL;
    *out = otherwise;
    if (!v || v->type == WEIR_V_NULL) return true;
    if (v->type != WEIR_V_I64) {
        aws_fail(call, &SERIALIZATION, "%s: expected an integer", name);
        return false;
    }
    *out = v->as.i64;
    return true;
}

bool aws_member(aws_call *call, const weir_value *object, const char *name, weir_str *out) {
    const weir_value *v = object ? weir_json_get(object, name) : NULL;
    *out = (weir_str){NULL, 0};
    if (!v || v->type == WEIR_V_NULL) return true;
    if (v->type != WEIR_V_STRING || v->logical == WEIR_L_DECIMAL) {
        aws_fail(call, &SERIALIZATION, "%s: expected a string", name);
        return false;
    }
    *out = weir_value_str(v);
    return true;
}

bool aws_container(aws_call *call, const weir_value *object, const char *name, uint8_t type,
                   const weir_value **out) {
    const weir_value *v = object ? weir_json_get(object, name) : NULL;
    *out = NULL;
    if (!v || v->type == WEIR_V_NULL) return true;
    if (v->type != type) {
        aws_fail(call, &SERIALIZATION, "%s: expected %s", name,
                 type == WEIR_V_OBJECT ? "a structure" : "a list");
        return false;
    }
    *out = v;
    return true;
}

bool aws_name_of(weir_str s, const char *more) {
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (c && strchr(more, c))))
            return false;
    }
    return true;
}

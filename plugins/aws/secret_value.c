#include "secret_value.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "weir/json.h"

static const char *take(weir_str text, secret_value *out, weir_status *status);
static const char *take_member(weir_str secret, weir_str field, secret_value *out,
                               weir_status *status);
static const weir_value *member(const weir_value *object, weir_str name);

const char *secret_value_read(weir_str body, weir_str field, secret_value *out,
                              weir_status *status) {
    memset(out, 0, sizeof *out);
    *status = WEIR_E_IO; /* a proxy's page, or half an answer: another one may be right */
    weir_json_doc *doc = weir_json_read(body, 0, NULL);
    const weir_value *root = doc ? weir_json_root(doc) : NULL;
    const weir_value *text =
        root && root->type == WEIR_V_OBJECT ? weir_json_get(root, "SecretString") : NULL;
    const char *wrong = NULL;
    if (!root || root->type != WEIR_V_OBJECT) {
        wrong = "the answer is not one of GetSecretValue";
    } else if (!text || text->type != WEIR_V_STRING) {
        *status = WEIR_E_DATA;
        wrong = weir_json_get(root, "SecretBinary") ? "the secret is binary, not a text"
                                                    : "the secret has no value";
    } else if (field.len == 0) {
        wrong = take(weir_value_str(text), out, status);
    } else {
        wrong = take_member(weir_value_str(text), field, out, status);
    }
    weir_json_free(doc);
    if (!wrong) *status = WEIR_OK;
    return wrong;
}

void secret_value_free(secret_value *v) {
    if (v->text) OPENSSL_cleanse(v->text, (size_t)v->len);
    free(v->text);
    v->text = NULL;
    v->len = 0;
}

static const char *take(weir_str text, secret_value *out, weir_status *status) {
    out->text = malloc((size_t)text.len + 1);
    if (!out->text) {
        *status = WEIR_E_NOMEM;
        return "out of memory";
    }
    memcpy(out->text, text.ptr, (size_t)text.len);
    out->text[text.len] = '\0';
    out->len = text.len;
    return NULL;
}

static const char *take_member(weir_str secret, weir_str field, secret_value *out,
                               weir_status *status) {
    weir_json_doc *doc = weir_json_read(secret, 0, NULL);
    const weir_value *root = doc ? weir_json_root(doc) : NULL;
    const char *wrong = NULL;
    *status = WEIR_E_DATA;
    if (!root || root->type != WEIR_V_OBJECT) {
        wrong = "the secret is not a JSON object, so it has no members";
    } else {
        const weir_value *v = member(root, field);
        char *text = NULL;
        if (!v) {
            *status = WEIR_E_NOT_FOUND;
            wrong = "the secret has no such member";
        } else if (v->type == WEIR_V_STRING) {
            wrong = take(weir_value_str(v), out, status);
        } else if (v->type == WEIR_V_ARRAY || v->type == WEIR_V_OBJECT || v->type == WEIR_V_NULL) {
            wrong = v->type == WEIR_V_NULL ? "the member is null"
                                           : "the member is not one value but holds others";
        } else if (!(text = malloc((size_t)weir_json_bound(v) + 1))) {
            *status = WEIR_E_NOMEM;
            wrong = "out of memory";
        } else {
            out->text = text;
            out->len = weir_json_write(v, text);
            text[out->len] = '\0';
        }
    }
    weir_json_free(doc);
    return wrong;
}

/* By a name with a length: the last of several that are alike, as most readers of JSON have it. */
static const weir_value *member(const weir_value *object, weir_str name) {
    char z[512];
    if (name.len >= sizeof z) return NULL;
    memcpy(z, name.ptr, (size_t)name.len);
    z[name.len] = '\0';
    return weir_json_get(object, z);
}

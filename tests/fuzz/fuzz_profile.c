/*
 * Text that other programs keep keys in: the first byte says which.
 *
 *   c  ~/.aws/config           k  ~/.aws/credentials
 *   p  the JSON of a credential process      m  the JSON of a metadata service
 *   w  the command line of a credential process
 *
 * Checked beyond not crashing: settings are whole texts in lower-case keys; a plan made of the
 * profiles is a plan or a refusal with a hint; keys that are taken have both halves and nothing
 * that a header could not bear; words lie inside of their block and are as many as were there.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "aws/credentials_fetch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds) {
    if (!holds) abort();
}

static const char *nothing(void *opaque, const char *name) {
    (void)opaque;
    (void)name;
    return NULL;
}

static const char *no_instance(void *opaque, const char *name) {
    (void)opaque;
    return strcmp(name, "AWS_EC2_METADATA_DISABLED") == 0 ? "true" : NULL;
}

static void check_plan(const aws_profiles *p, const char *profile) {
    aws_env env = {profile ? nothing : no_instance, NULL};
    aws_options o = {.profile = profile};
    aws_plan plan;
    aws_problem problem = {0};
    char print[WEIR_AWS_HASH_SIZE];
    if (aws_plan_make(&plan, &o, "eu-west-1", &env, p, &problem)) {
        must(plan.count >= 1 && plan.count <= PLAN_STEPS_MAX && plan.origin && *plan.origin);
        must(plan.steps[0].kind != STEP_ROLE);
        for (uint32_t i = 1; i < plan.count; i++) must(plan.steps[i].kind == STEP_ROLE);
        aws_plan_fingerprint(&plan, print);
        must(strlen(print) == WEIR_AWS_HASH_SIZE - 1);
        aws_plan_free(&plan);
    } else {
        must(problem.status != WEIR_OK && problem.words.len > 0 && problem.hint.len > 0);
    }
    aws_problem_free(&problem);
}

static void profiles(weir_str bytes, bool credentials) {
    aws_profiles p;
    memset(&p, 0, sizeof p);
    file_state state = aws_profiles_parse(&p, bytes, credentials);
    must(state == AWS_FILE_READ || state == AWS_FILE_MALFORMED);
    if (credentials)
        p.credentials_state = state;
    else
        p.config_state = state;
    must(!p.no_memory && p.count <= p.capacity);
    for (size_t i = 0; i < p.count; i++) {
        const aws_setting *s = &p.settings[i];
        must(s->section && s->key && s->value && s->in_credentials == credentials);
        for (const char *c = s->key; *c; c++) must(*c < 'A' || *c > 'Z');
    }
    check_plan(&p, NULL);
    check_plan(&p, "x");
    for (size_t i = 0; i < p.count && i < 8; i++) {
        const char *name = p.settings[i].section;
        if (!credentials && strncmp(name, "profile ", 8) == 0) name += 8;
        if (*name) check_plan(&p, name);
    }
    aws_profiles_free(&p);
}

static void clean(const char *z) {
    for (; z && *z; z++) must(*z > ' ' && *z < 127);
}

static void keys(weir_str bytes, bool process) {
    aws_identity got;
    aws_problem problem = {0};
    memset(&got, 0, sizeof got);
    if (keys_from_json(bytes, process ? "SessionToken" : "Token", process, "fuzz", "fuzz", &got,
                       &problem)) {
        must(*got.access_key_id && *got.secret_access_key && got.expires_us != INT64_MIN);
        clean(got.access_key_id);
        clean(got.secret_access_key);
        clean(got.session_token);
    } else {
        must(problem.status == WEIR_E_AUTH && problem.words.len > 0 && problem.hint.len > 0);
    }
    aws_identity_free(&got);
    aws_problem_free(&problem);
}

static void words(weir_str bytes) {
    char *z = malloc((size_t)bytes.len + 1);
    must(z != NULL);
    memcpy(z, bytes.ptr, (size_t)bytes.len);
    z[bytes.len] = '\0';
    char **list = key_process_words(z);
    size_t total = 0;
    for (size_t i = 0; list && list[i]; i++) total += strlen(list[i]);
    must(total <= strlen(z));
    free(list);
    free(z);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) return 0;
    /* A copy of exactly the text's size, so that a byte read behind it is noticed. */
    char *copy = malloc(size > 1 ? size - 1 : 1);
    must(copy != NULL);
    if (size > 1) memcpy(copy, data + 1, size - 1);
    weir_str bytes = {copy, size - 1};
    switch (data[0]) {
    case 'c':
    case 'k':
        profiles(bytes, data[0] == 'k');
        break;
    case 'p':
    case 'm':
        keys(bytes, data[0] == 'p');
        break;
    case 'w':
        words(bytes);
        break;
    default:
        break;
    }
    free(copy);
    return 0;
}

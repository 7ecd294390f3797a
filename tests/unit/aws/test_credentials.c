/* Plans from options, a made-up environment and texts of files; what clients share; the program
 * that prints keys; the adaptive rate. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "credentials_fetch.h"
#include "retry.h"

#define ROLE "arn:aws:iam::123456789012:role/reader"
#define FAR "arn:aws:iam::210987654321:role/far"
#define S 1000000LL

typedef struct pair {
    const char *name, *value;
} pair;

static const char *get(void *opaque, const char *name) {
    for (const pair *p = opaque; p && p->name; p++)
        if (strcmp(p->name, name) == 0) return p->value;
    return NULL;
}

static void parse(aws_profiles *p, const char *config) {
    weir_str a = {config, strlen(config)};
    memset(p, 0, sizeof *p);
    p->config_state = aws_profiles_parse(p, a, false);
}

static const char config[] =
    "[profile person]\naws_access_key_id = AK\naws_secret_access_key = SK\n"
    "[profile middle]\nrole_arn = " ROLE "\nsource_profile = person\n"
    "[profile job]\nrole_arn = " FAR "\nsource_profile = middle\nexternal_id = x-1\n"
    "role_session_name = night\nduration_seconds = 1800\n"
    "[profile self]\nrole_arn = " ROLE "\nsource_profile = self\naws_access_key_id = AK\n"
    "aws_secret_access_key = SK\n"
    "[profile loop]\nrole_arn = " ROLE "\nsource_profile = pool\n"
    "[profile pool]\nrole_arn = " FAR "\nsource_profile = loop\n"
    "[profile pod]\nrole_arn = " ROLE "\nweb_identity_token_file = /token\n"
    "[profile both]\nrole_arn = " ROLE
    "\nsource_profile = person\ncredential_source = Environment\n"
    "[profile box]\nrole_arn = " ROLE "\ncredential_source = Ec2InstanceMetadata\n"
    "[profile long]\nrole_arn = " ROLE "\nsource_profile = person\nduration_seconds = 99999\n"
    "[profile prog]\ncredential_process = keys --for 'me too'\n"
    "[profile sso]\nsso_start_url = https://x\n"
    "[profile place]\nregion = eu-west-1\n";

typedef struct plan_case {
    aws_options options;
    pair env[5];
    const char *steps; /* one letter each: k r w c i p; NULL: refused */
    const char *says;  /* part of the origin, or of the words of the refusal */
    weir_status status;
} plan_case;

static void plans(void **state) {
    (void)state;
    const aws_options deep = {.provider = "env"};
    const aws_options mid = {.provider = "assume_role", .role_arn = ROLE, .source = &deep};
    const plan_case cases[] = {
        {.options = {.profile = "job"},
         .steps = "krr",
         .says = "role " FAR " with keys from role "},
        {.options = {.profile = "self"}, .steps = "kr", .says = "profile \"self\""},
        {.options = {.profile = "pod"}, .steps = "w", .says = "web identity"},
        {.options = {.profile = "box"}, .steps = "ir", .says = "instance metadata"},
        {.options = {.profile = "prog"}, .steps = "p", .says = "process"},
        {.options = {.profile = "loop"}, .says = "back to", .status = WEIR_E_AUTH},
        {.options = {.profile = "both"}, .says = "both", .status = WEIR_E_AUTH},
        {.options = {.profile = "long"}, .says = "99999", .status = WEIR_E_AUTH},
        {.options = {.profile = "sso"}, .says = "sso_start_url", .status = WEIR_E_UNSUPPORTED},
        {.options = {.profile = "place"}, .says = "has no keys", .status = WEIR_E_AUTH},
        {.options = {.provider = "assume_role", .role_arn = FAR, .source = &mid},
         .env = {{"AWS_ACCESS_KEY_ID", "A"}, {"AWS_SECRET_ACCESS_KEY", "B"}},
         .steps = "krr",
         .says = FAR},
        {.options = {.provider = "assume_role", .role_arn = ROLE, .profile = "person"},
         .steps = "kr",
         .says = "person"},
        {.options = {.provider = "assume_role", .role_arn = "reader"},
         .env = {{"AWS_ACCESS_KEY_ID", "A"}, {"AWS_SECRET_ACCESS_KEY", "B"}},
         .says = "not the ARN",
         .status = WEIR_E_AUTH},
        {.options = {.provider = "env", .source = &deep}, .says = "source", .status = WEIR_E_AUTH},
        /* The order of `auto`: environment, profile, web identity, container, instance. */
        {.env = {{"AWS_ACCESS_KEY_ID", "A"},
                 {"AWS_SECRET_ACCESS_KEY", "B"},
                 {"AWS_PROFILE", "person"}},
         .steps = "k",
         .says = "environment"},
        {.env = {{"AWS_PROFILE", "person"},
                 {"AWS_WEB_IDENTITY_TOKEN_FILE", "/t"},
                 {"AWS_ROLE_ARN", ROLE}},
         .steps = "k",
         .says = "person"},
        {.env = {{"AWS_PROFILE", "place"},
                 {"AWS_WEB_IDENTITY_TOKEN_FILE", "/t"},
                 {"AWS_ROLE_ARN", ROLE},
                 {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x"}},
         .steps = "w",
         .says = "web identity"},
        {.env = {{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x"},
                 {"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://10.0.0.1/"}},
         .steps = "c",
         .says = "http://169.254.170.2/x"},
        {.env = {{"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials"}},
         .steps = "c",
         .says = "169.254.170.23"},
        {.env = {{"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://[fd00:ec2::23]/v1"}},
         .steps = "c",
         .says = "fd00"},
        {.steps = "i", .says = "instance metadata"},
        {.env = {{"AWS_PROFILE", "nonsuch"}}, .says = "no such profile", .status = WEIR_E_AUTH},
        {.env = {{"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://10.0.0.1/"}},
         .says = "https",
         .status = WEIR_E_AUTH},
        {.env = {{"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://localhost@evil.example/"}},
         .says = "https",
         .status = WEIR_E_AUTH},
        {.env = {{"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1.evil.example/"}},
         .says = "https",
         .status = WEIR_E_AUTH},
        {.env = {{"AWS_ACCESS_KEY_ID", "A"}, {"AWS_SECRET_ACCESS_KEY", "B\n"}},
         .says = "line end",
         .status = WEIR_E_AUTH},
        {.options = {.profile = "job"},
         .env = {{"AWS_STS_REGIONAL_ENDPOINTS", "global"}},
         .says = "global",
         .status = WEIR_E_AUTH},
        {.env = {{"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1/"},
                 {"AWS_CONTAINER_AUTHORIZATION_TOKEN", "a\r\nX: y"}},
         .says = "line end",
         .status = WEIR_E_AUTH},
    };
    static const char letters[] = "krwcip";
    aws_profiles p;
    parse(&p, config);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const plan_case *c = &cases[i];
        aws_env env = {get, (void *)(uintptr_t)c->env};
        aws_plan plan;
        aws_problem problem = {0};
        bool ok = aws_plan_make(&plan, &c->options, "eu-west-1", &env, &p, &problem);
        char steps[PLAN_STEPS_MAX + 1] = "";
        for (uint32_t k = 0; ok && k < plan.count; k++) steps[k] = letters[plan.steps[k].kind];
        if (!c->steps) {
            if (ok || problem.status != c->status || !strstr(text_z(&problem.words), c->says))
                fail_msg("case %zu: %d \"%s\"", i, (int)problem.status, text_z(&problem.words));
            assert_true(problem.hint.len > 0);
        } else if (!ok || strcmp(steps, c->steps) != 0 || !strstr(plan.origin, c->says)) {
            fail_msg("case %zu: \"%s\" from %s; %s", i, steps, ok ? plan.origin : "",
                     ok ? "" : text_z(&problem.words));
        }
        if (ok && c->options.profile && strcmp(c->options.profile, "job") == 0) {
            const aws_step *last = &plan.steps[2];
            assert_string_equal(last->external_id, "x-1");
            assert_string_equal(last->session_name, "night");
            assert_int_equal(last->duration_s, 1800);
            assert_string_equal(last->url, "https://sts.eu-west-1.amazonaws.com");
            assert_null(plan.steps[1].external_id);
        }
        aws_plan_free(&plan);
        aws_problem_free(&problem);
    }
    aws_profiles_free(&p);
}

static void fingerprints(void **state) {
    (void)state;
    aws_profiles p;
    parse(&p, config);
    aws_env env = {get, NULL};
    const char *const names[] = {"job", "middle", "prog", "person", "pod", "job"};
    char prints[6][WEIR_AWS_HASH_SIZE];
    for (size_t i = 0; i < 6; i++) {
        aws_options o = {.profile = names[i]};
        aws_plan plan;
        aws_problem problem = {0};
        assert_true(aws_plan_make(&plan, &o, "eu-west-1", &env, &p, &problem));
        aws_plan_fingerprint(&plan, prints[i]);
        aws_plan_free(&plan);
    }
    assert_string_equal(prints[0], prints[5]);
    for (size_t i = 0; i < 5; i++)
        for (size_t k = 0; k < i; k++) assert_string_not_equal(prints[i], prints[k]);
    aws_profiles_free(&p);
}

/* ---- STS where there was only one ---- */

static void legacy_sts(void **state) {
    (void)state;
    static const pair legacy[] = {{"AWS_STS_REGIONAL_ENDPOINTS", "Legacy"}, {NULL, NULL}};
    static const pair own[] = {{"AWS_STS_REGIONAL_ENDPOINTS", "legacy"},
                               {"AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1"},
                               {NULL, NULL}};
    const struct {
        const pair *env;
        const char *region, *url, *signed_for;
        bool fips;
    } cases[] = {
        {legacy, "eu-west-1", "https://sts.amazonaws.com", "us-east-1", false},
        {legacy, "eu-south-1", "https://sts.eu-south-1.amazonaws.com", NULL, false},
        {legacy, "us-east-1", "https://sts-fips.us-east-1.amazonaws.com", NULL, true},
        {own, "eu-west-1", "http://127.0.0.1:1", NULL, false},
        {NULL, "eu-west-1", "https://sts.eu-west-1.amazonaws.com", NULL, false},
    };
    aws_profiles p;
    parse(&p, config);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        aws_env env = {get, (void *)(uintptr_t)cases[i].env};
        aws_options o = {.profile = "middle", .fips = cases[i].fips};
        aws_plan plan;
        aws_problem problem = {0};
        assert_true(aws_plan_make(&plan, &o, cases[i].region, &env, &p, &problem));
        assert_string_equal(plan.steps[1].url, cases[i].url);
        if (cases[i].signed_for)
            assert_string_equal(plan.steps[1].region, cases[i].signed_for);
        else
            assert_null(plan.steps[1].region);
        aws_plan_free(&plan);
    }
    aws_profiles_free(&p);
}

/* ---- without memory ---- */

/* Allocations are counted while `left` is not negative; the one that finds 0 fails (see the
 * --wrap options in CMakeLists.txt). */
static int left = -1;
static bool fails_now(void) {
    if (left < 0) return false;
    return left-- == 0;
}
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *z);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *z);
void *__wrap_malloc(size_t size) {
    return fails_now() ? NULL : __real_malloc(size);
}
void *__wrap_calloc(size_t count, size_t size) {
    return fails_now() ? NULL : __real_calloc(count, size);
}
void *__wrap_realloc(void *old, size_t size) {
    return fails_now() ? NULL : __real_realloc(old, size);
}
char *__wrap_strdup(const char *z) {
    return fails_now() ? NULL : __real_strdup(z);
}

typedef struct memory_case {
    aws_options options;
    pair env[6];
} memory_case;

/* The plan's hash with the n-th allocation failing; false: it was told that there is no memory. */
static bool plan_with(const memory_case *c, int n, char print[WEIR_AWS_HASH_SIZE]) {
    aws_env env = {get, (void *)(uintptr_t)c->env};
    aws_profiles p;
    aws_plan plan;
    aws_problem problem = {0};
    left = n;
    memset(&p, 0, sizeof p);
    weir_str bytes = {config, sizeof config - 1};
    p.config_state = aws_profiles_parse(&p, bytes, false);
    bool ok = aws_plan_make(&plan, &c->options, "eu-west-1", &env, &p, &problem);
    if (ok) {
        aws_plan_fingerprint(&plan, print);
        assert_non_null(plan.origin);
    } else if (problem.status != WEIR_E_NOMEM) {
        fail_msg("allocation %d: status %d, \"%s\"", n, (int)problem.status,
                 problem.words.len ? problem.words.ptr : "");
    }
    if (ok) aws_plan_free(&plan);
    aws_problem_free(&problem);
    aws_profiles_free(&p);
    return ok;
}

/* For each n: what was asked for, whole, or a refusal for want of memory. Never a plan that leads
 * elsewhere, such as to the next source of the chain or to a role without its external id. */
static void plans_without_memory(void **state) {
    (void)state;
    static const aws_options person = {.profile = "person"};
    const memory_case cases[] = {
        {.options = {.profile = "job"}},
        {.options = {.profile = "box"},
         .env = {{"AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1/"}}},
        {.options = {.profile = "pod"}},
        {.options = {.profile = "prog"}},
        {.options = {.provider = "process", .profile = "prog"}},
        {.options = {.provider = "basic", .access_key_id = "A", .secret_access_key = "B"}},
        {.options = {.provider = "assume_role",
                     .role_arn = ROLE,
                     .role_session_name = "s",
                     .external_id = "x",
                     .source = &person}},
        {.env = {{"AWS_ACCESS_KEY_ID", "A"},
                 {"AWS_SECRET_ACCESS_KEY", "B"},
                 {"AWS_SESSION_TOKEN", "C"},
                 {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x"}}},
        {.env = {{"AWS_PROFILE", "person"}, {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x"}}},
        {.env = {{"AWS_WEB_IDENTITY_TOKEN_FILE", "/t"},
                 {"AWS_ROLE_ARN", ROLE},
                 {"AWS_ROLE_SESSION_NAME", "n"},
                 {"AWS_STS_REGIONAL_ENDPOINTS", "legacy"},
                 {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x"}}},
        {.env = {{"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://localhost:1/x"},
                 {"AWS_CONTAINER_AUTHORIZATION_TOKEN", "t"}}},
        {.env = {{NULL, NULL}}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char whole[WEIR_AWS_HASH_SIZE], print[WEIR_AWS_HASH_SIZE];
        assert_true(plan_with(&cases[i], -1, whole));
        int n = 0, refused = 0;
        for (;; n++) {
            bool ok = plan_with(&cases[i], n, print);
            bool untouched = left >= 0; /* it was over before the n-th allocation */
            left = -1;
            if (ok && strcmp(print, whole) != 0) fail_msg("case %zu, allocation %d", i, n);
            refused += !ok;
            if (untouched) break;
        }
        assert_true(refused > 10);
    }
}

/* The same for what comes back: keys in JSON and in STS's XML, and for the request to STS. */
static bool answer_with(int n, bool xml) {
    static const char json[] = "{\"AccessKeyId\": \"A\\u0042\", \"SecretAccessKey\": \"B\\/C\", "
                               "\"Token\": \"T\", \"Expiration\": \"2015-08-30T12:36:00Z\"}";
    static const char answer[] =
        "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>A&#66;</AccessKeyId>"
        "<SecretAccessKey>B/C</SecretAccessKey><SessionToken>T</SessionToken><Expiration>"
        "2015-08-30T12:36:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>";
    aws_identity keys = {0}, before = {0};
    aws_problem problem = {0};
    aws_step step = {.kind = STEP_ROLE,
                     .role_arn = (char *)(uintptr_t)ROLE,
                     .url = (char *)(uintptr_t) "http://sts"};
    fetch_answer a = {.http_status = 200, .body = {answer, sizeof answer - 1}};
    weir_str body = {json, sizeof json - 1};
    left = n;
    bool ok = xml ? sts_answer(&step, &before, &a, "test", &keys, &problem) == FETCH_KEYS
                  : keys_from_json(body, "Token", false, "test", "test", &keys, &problem);
    if (ok) {
        assert_string_equal(keys.access_key_id, "AB");
        assert_string_equal(keys.secret_access_key, "B/C");
        assert_string_equal(keys.session_token, "T");
    }
    aws_identity_free(&keys);
    aws_problem_free(&problem);
    return ok;
}

static void answers_without_memory(void **state) {
    (void)state;
    for (int xml = 0; xml < 2; xml++) {
        assert_true(answer_with(-1, xml));
        for (int n = 0;; n++) {
            bool ok = answer_with(n, xml);
            bool untouched = left >= 0;
            left = -1;
            assert_true(ok == untouched);
            if (untouched) break;
        }
    }
}

static void keys_with_line_ends(void **state) {
    (void)state;
    static const char *const bad[] = {"a\\r\\nX: y", "a b", "\\u00e9", "a\\t"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        for (int field = 0; field < 3; field++) {
            char json[256];
            snprintf(json, sizeof json,
                     "{\"AccessKeyId\": \"%s\", \"SecretAccessKey\": \"%s\", \"Token\": \"%s\"}",
                     field == 0 ? bad[i] : "A", field == 1 ? bad[i] : "B",
                     field == 2 ? bad[i] : "C");
            aws_identity keys;
            aws_problem problem = {0};
            weir_str body = {json, strlen(json)};
            assert_false(keys_from_json(body, "Token", false, "x", "x", &keys, &problem));
            assert_non_null(strstr(text_z(&problem.words), "line end"));
            aws_problem_free(&problem);
        }
    }
}

/* ---- times ---- */

static void times(void **state) {
    (void)state;
    const struct {
        const char *text;
        int64_t want;
    } cases[] = {
        {"2015-08-30T12:36:00Z", 1440938160 * S},
        {"2015-08-30T12:36:00.123456Z", 1440938160 * S},
        {"2015-08-30T14:36:00+02:00", 1440938160 * S},
        {"2015-08-30T12:06:00-00:30", 1440938160 * S},
        {"2015-08-30T12:36:00", INT64_MIN},
        {"2015-08-30 12:36:00Z", INT64_MIN},
        {"2015-13-30T12:36:00Z", INT64_MIN},
        {"2015-08-30T12:36:00+0200", INT64_MIN},
        {"", INT64_MIN},
        {"2015-08-30T12:36:00Zz", INT64_MIN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        weir_str s = {cases[i].text, strlen(cases[i].text)};
        assert_true(aws_iso_time_us(s) == cases[i].want);
    }
}

/* ---- sharing ---- */

static void wake(void *opaque) {
    atomic_fetch_add((atomic_int *)opaque, 1);
}

static aws_identity keys_until(const char *id, int64_t expires_us) {
    aws_identity keys;
    weir_str a = {id, strlen(id)}, none = {"", 0};
    assert_true(aws_identity_set(&keys, a, a, none, "test", expires_us));
    return keys;
}

static void one_refreshes_the_others_go_on(void **state) {
    (void)state;
    static const char print[WEIR_AWS_HASH_SIZE] = "share-test";
    atomic_int woken = 0;
    aws_member a = {wake, &woken, NULL}, b = {wake, &woken, NULL};
    aws_share *s = aws_share_join(print, &a);
    assert_ptr_equal(aws_share_join(print, &b), s);
    const int64_t t = 1000 * S;

    assert_true(aws_share_look(s, &a, t, true).your_turn);
    aws_look look = aws_share_look(s, &b, t, true);
    assert_false(look.your_turn || look.usable); /* b waits for a */
    aws_identity keys = keys_until("one", t + 3600 * S);
    aws_share_publish(s, &a, &keys, t, 0);
    assert_int_equal(woken, 1); /* b, not a */
    assert_null(keys.access_key_id);

    look = aws_share_look(s, &b, t + 2600 * S, true);
    assert_true(look.usable && !look.your_turn && look.version == 1);
    look = aws_share_look(s, &b, t + 2800 * S, true); /* the last 15 minutes */
    assert_true(look.usable && look.your_turn);
    look = aws_share_look(s, &a, t + 2800 * S, true);
    assert_true(look.usable && !look.your_turn);

    aws_problem problem = {.status = WEIR_E_IO};
    text_add_z(&problem.words, "trouble");
    aws_share_fail(s, &b, &problem, t + 2800 * S);
    aws_problem_free(&problem);
    look = aws_share_look(s, &a, t + 2800 * S + 1, true);
    assert_true(look.usable && !look.your_turn && look.failures == 1); /* not at once again */
    assert_true(aws_share_look(s, &a, t + 2802 * S, true).your_turn);
    aws_share_give_up(s, &a);
    look = aws_share_look(s, &b, t + 3571 * S, true); /* the last moments: nobody signs any more */
    assert_true(!look.usable && look.your_turn);
    keys = keys_until("two", t + 7200 * S);
    aws_share_publish(s, &b, &keys, t + 3571 * S, 0);

    aws_identity copy;
    uint64_t version = 0;
    assert_true(aws_share_copy(s, &copy, &version));
    assert_string_equal(copy.access_key_id, "two");
    aws_identity_free(&copy);
    aws_share_expire(s, version - 1); /* late news about keys that nobody uses */
    assert_true(aws_share_look(s, &a, t + 3600 * S, false).usable);
    aws_share_expire(s, version);
    assert_false(aws_share_look(s, &a, t + 3600 * S, false).usable);

    /* Whoever has the turn and is not heard of again loses it; its keys are welcome even so. */
    const int64_t u = t + 3600 * S;
    assert_true(aws_share_look(s, &a, u, true).your_turn);
    assert_false(aws_share_look(s, &b, u + 14 * S, true).your_turn);
    assert_false(aws_share_look(s, &a, u + 16 * S, true).your_turn); /* not twice to the same */
    assert_true(aws_share_look(s, &b, u + 16 * S, true).your_turn);
    keys = keys_until("three", t + 9000 * S);
    aws_share_publish(s, &a, &keys, u + 17 * S, 0);
    assert_true(aws_share_look(s, &b, u + 17 * S, false).usable);
    aws_share_give_up(s, &b);
    aws_share_expire(s, version + 1);

    /* Whoever leaves in the middle of it leaves the turn to the next. */
    assert_true(aws_share_look(s, &a, t, true).your_turn);
    aws_share_leave(s, &a);
    assert_true(aws_share_look(s, &b, t, true).your_turn);
    aws_share_leave(s, &b);
}

static void short_lives(void **state) {
    (void)state;
    static const char print[WEIR_AWS_HASH_SIZE] = "share-short";
    atomic_int woken = 0;
    aws_member a = {wake, &woken, NULL};
    aws_share *s = aws_share_join(print, &a);
    /* Sessions of 15 minutes are not refreshed all the time: for ten they are left alone. */
    aws_identity keys = keys_until("short", 900 * S);
    aws_share_publish(s, &a, &keys, 0, UINT64_MAX);
    assert_false(aws_share_look(s, &a, 560 * S, true).your_turn);
    assert_true(aws_share_look(s, &a, 600 * S, true).your_turn);
    keys = keys_until("static", NEVER_US);
    aws_share_publish(s, &a, &keys, 0, 0);
    assert_true(aws_share_look(s, &a, NEVER_US - 1, true).usable);
    aws_share_leave(s, &a);
}

/* Many threads on one share: never two that get keys at once, and nobody ends without. */
static atomic_int at_work, most_at_work, published;

static void *many(void *opaque) {
    static const char print[WEIR_AWS_HASH_SIZE] = "share-many";
    (void)opaque;
    atomic_int woken = 0;
    aws_member me = {wake, &woken, NULL};
    aws_share *s = aws_share_join(print, &me);
    for (int i = 0; i < 500; i++) {
        aws_look look = aws_share_look(s, &me, 10 * S, true);
        if (look.your_turn) {
            int now = atomic_fetch_add(&at_work, 1) + 1;
            if (now > atomic_load(&most_at_work)) atomic_store(&most_at_work, now);
            aws_identity keys = keys_until("k", 20 * S);
            atomic_fetch_sub(&at_work, 1);
            aws_share_publish(s, &me, &keys, 10 * S, 0);
            atomic_fetch_add(&published, 1);
        }
        aws_identity copy;
        uint64_t version = 0;
        if (aws_share_copy(s, &copy, &version)) aws_identity_free(&copy);
        if (i % 50 == 49) aws_share_expire(s, version);
    }
    aws_share_leave(s, &me);
    return NULL;
}

static void threads_share(void **state) {
    (void)state;
    pthread_t threads[6];
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, many, NULL), 0);
    for (size_t i = 0; i < 6; i++) pthread_join(threads[i], NULL);
    assert_int_equal(most_at_work, 1);
    assert_true(published >= 1);
}

/* ---- programs ---- */

static void words(void **state) {
    (void)state;
    char **w = key_process_words("  prog 'a b' \"c \\\" d\" e\\ f '' $HOME;x\t| y ");
    const char *const want[] = {"prog", "a b", "c \" d", "e f", "", "$HOME;x", "|", "y"};
    assert_non_null(w);
    for (size_t i = 0; i < 8; i++) assert_string_equal(w[i], want[i]);
    assert_null(w[8]);
    free(w);
    assert_null(key_process_words("prog 'open"));
    w = key_process_words(" ");
    assert_null(w[0]);
    free(w);
    char many_words[300];
    for (size_t i = 0; i < 298; i++) many_words[i] = i % 2 ? ' ' : 'x';
    many_words[298] = '\0';
    assert_null(key_process_words(many_words));
}

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static bool run(const char *command, int64_t timeout_ns, aws_identity *keys, aws_problem *problem) {
    key_process *p = key_process_start(command, now_ns() + timeout_ns, problem);
    if (!p) return false;
    while (!key_process_drive(p, now_ns())) {
        struct timespec pause = {0, 2000000};
        nanosleep(&pause, NULL);
    }
    bool ok = key_process_take(p, "program", keys, problem);
    key_process_free(p);
    return ok;
}

static void programs(void **state) {
    (void)state;
    aws_identity keys;
    aws_problem problem = {0};
    assert_true(run("printf '{\"Version\": 1, \"AccessKeyId\": \"A\", \"SecretAccessKey\": "
                    "\"B\\\\/C\", \"SessionToken\": \"T\", \"Expiration\": "
                    "\"2015-08-30T12:36:00Z\"}'",
                    60 * S * 1000, &keys, &problem));
    assert_string_equal(keys.secret_access_key, "B/C");
    assert_string_equal(keys.session_token, "T");
    assert_true(keys.expires_us == 1440938160 * S);
    aws_identity_free(&keys);

    assert_false(run("sleep 600", 30 * 1000000, &keys, &problem));
    assert_non_null(strstr(text_z(&problem.words), "in time"));
    aws_problem_free(&problem);

    /* One that is left while it runs is not left behind: free() ends it. */
    key_process *p = key_process_start("sleep 600", INT64_MAX, &problem);
    assert_non_null(p);
    assert_false(key_process_drive(p, now_ns()));
    key_process_free(p);
}

/* ---- the adaptive rate ---- */

static void adaptive_rate(void **state) {
    (void)state;
    retry_rate r;
    retry_rate_init(&r);
    const int64_t ms = 1000000;
    int64_t t = 1000 * ms;
    for (int i = 0; i < 200; i++, t += 10 * ms) { /* 100 a second, nobody complains */
        assert_int_equal(retry_rate_take(&r, t), 0);
        retry_rate_answer(&r, t, false);
    }
    assert_true(r.measured > 80 && r.measured < 120);
    retry_rate_answer(&r, t, true);
    assert_true(r.on);
    assert_true(r.fill > 50 && r.fill < 85); /* 0.7 of what was measured */
    double low = r.fill;
    int sent = 0;
    for (int64_t until = t + 1000 * ms; t < until; t += ms)
        if (retry_rate_take(&r, t) == 0) sent++;
    assert_true(sent >= (int)low - 2 && sent <= (int)low + 2);
    for (int i = 0; i < 2000; i++) { /* it grows again, at most to twice what is sent */
        int64_t wait = retry_rate_take(&r, t);
        t += wait > 0 ? wait : ms;
        if (wait == 0) retry_rate_answer(&r, t, false);
    }
    assert_true(r.fill > low);
    assert_true(r.fill <= 2 * r.measured + 1);
    for (int i = 0; i < 50; i++, t += ms) retry_rate_answer(&r, t, true);
    assert_true(r.fill >= 0.5); /* never quite nothing */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans),
        cmocka_unit_test(fingerprints),
        cmocka_unit_test(legacy_sts),
        cmocka_unit_test(plans_without_memory),
        cmocka_unit_test(answers_without_memory),
        cmocka_unit_test(keys_with_line_ends),
        cmocka_unit_test(times),
        cmocka_unit_test(one_refreshes_the_others_go_on),
        cmocka_unit_test(short_lives),
        cmocka_unit_test(threads_share),
        cmocka_unit_test(words),
        cmocka_unit_test(programs),
        cmocka_unit_test(adaptive_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

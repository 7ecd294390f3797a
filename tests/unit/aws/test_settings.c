/* Credentials, regions and endpoints from options, a made-up environment, and files of the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "credentials.h"
#include "errors.h"
#include "retry.h"
#include "settings.h"

typedef struct pair {
    const char *name, *value;
} pair;

static const char *get(void *opaque, const char *name) {
    for (const pair *p = opaque; p && p->name; p++)
        if (strcmp(p->name, name) == 0) return p->value;
    return NULL;
}

static void parse(aws_profiles *p, const char *config, const char *credentials) {
    weir_str a = {config, strlen(config)}, b = {credentials, strlen(credentials)};
    memset(p, 0, sizeof *p);
    p->config_state = aws_profiles_parse(p, a, false);
    p->credentials_state = aws_profiles_parse(p, b, true);
}

static const char files_config[] =
    "\xef\xbb\xbf# comment\n"
    "[default]\nregion = eu-central-1\n\n"
    "[profile dev]\r\nregion=eu-west-3\r\naws_access_key_id = FROMCONFIG\r\nservices = local\r\n"
    "[profile \"with space\"]\naws_access_key_id = A\naws_secret_access_key = B=C==\n"
    "[profile role]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = default\n"
    "[profile half]\naws_access_key_id = A\n"
    "[services local]\nkinesis =\n  endpoint_url = http://127.0.0.1:1\n  other = 2\ns3 =\n"
    "    endpoint_url = http://127.0.0.1:2\n";
static const char files_credentials[] =
    "; comment\n[dev]\nAWS_Access_Key_Id = AKDEV\naws_secret_access_key = SECRETDEV\n"
    "aws_session_token = TOKEN\n[default]\naws_access_key_id=AKDEF\naws_secret_access_key=SECDEF\n";

static void ini_files(void **state) {
    (void)state;
    aws_profiles p;
    parse(&p, files_config, files_credentials);
    assert_int_equal(p.config_state, AWS_FILE_READ);
    assert_string_equal(aws_profile_get(&p, "default", "region"), "eu-central-1");
    assert_string_equal(aws_profile_get(&p, "dev", "region"), "eu-west-3");
    assert_string_equal(aws_profile_get(&p, "dev", "aws_access_key_id"),
                        "AKDEV"); /* credentials win */
    assert_string_equal(aws_profile_get(&p, "with space", "aws_secret_access_key"), "B=C==");
    assert_null(aws_profile_get(&p, "local", "kinesis"));
    assert_string_equal(aws_section_get(&p, "services local", "s3.endpoint_url"),
                        "http://127.0.0.1:2");
    assert_true(aws_profile_exists(&p, "role"));
    assert_false(aws_profile_exists(&p, "nonsuch"));
    aws_profiles_free(&p);

    parse(&p, "key = without section\n[open\n=x\n[default]\nregion\n", "");
    assert_int_equal(p.config_state, AWS_FILE_MALFORMED);
    aws_profiles_free(&p);
}

static void files_from_disk(void **state) {
    (void)state;
    char dir[] = "/tmp/weir-aws-XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/credentials", dir);
    FILE *f = fopen(path, "w");
    fputs(files_credentials, f);
    fclose(f);
    pair env[] = {{"AWS_SHARED_CREDENTIALS_FILE", path}, {"HOME", dir}, {NULL, NULL}};
    aws_env e = {get, env};
    aws_profiles p;
    aws_profiles_load(&p, &e);
    assert_int_equal(p.credentials_state, AWS_FILE_READ);
    assert_int_equal(p.config_state, AWS_FILE_ABSENT);
    assert_string_equal(aws_profile_get(&p, "default", "aws_secret_access_key"), "SECDEF");
    aws_profiles_free(&p);
    unlink(path);
    rmdir(dir);
}

typedef struct credential_case {
    aws_options options;
    pair env[4];
    const char *id, *secret, *token, *origin; /* id NULL: refused */
    weir_status status;
    const char *says;
} credential_case;

static void credentials(void **state) {
    (void)state;
    const credential_case cases[] = {
        {.options = {.access_key_id = "A", .secret_access_key = "B", .session_token = "C"},
         .env = {{"AWS_ACCESS_KEY_ID", "E"}, {"AWS_SECRET_ACCESS_KEY", "F"}},
         .id = "A",
         .secret = "B",
         .token = "C",
         .origin = "options"},
        {.env = {{"AWS_ACCESS_KEY_ID", "E"},
                 {"AWS_SECRET_ACCESS_KEY", "F"},
                 {"AWS_SESSION_TOKEN", "G"}},
         .id = "E",
         .secret = "F",
         .token = "G",
         .origin = "environment"},
        {.id = "AKDEF", .secret = "SECDEF", .origin = "profile \"default\""},
        {.env = {{"AWS_PROFILE", "dev"}},
         .id = "AKDEV",
         .secret = "SECRETDEV",
         .token = "TOKEN",
         .origin = "profile \"dev\""},
        /* A profile that the manifest names comes before the environment. */
        {.options = {.profile = "dev"},
         .env = {{"AWS_ACCESS_KEY_ID", "E"}, {"AWS_SECRET_ACCESS_KEY", "F"}},
         .id = "AKDEV",
         .secret = "SECRETDEV",
         .token = "TOKEN",
         .origin = "profile \"dev\""},
        {.options = {.provider = "profile"},
         .env = {{"AWS_ACCESS_KEY_ID", "E"}, {"AWS_SECRET_ACCESS_KEY", "F"}},
         .id = "AKDEF",
         .secret = "SECDEF",
         .origin = "profile \"default\""},
        {.options = {.provider = "env"}, .status = WEIR_E_AUTH, .says = "AWS_ACCESS_KEY_ID"},
        {.options = {.provider = "basic"},
         .status = WEIR_E_AUTH,
         .says = "credentials.access_key_id"},
        {.options = {.access_key_id = "A"}, .status = WEIR_E_AUTH, .says = "secret_access_key"},
        {.options = {.secret_access_key = "A"}, .status = WEIR_E_AUTH, .says = "access_key_id"},
        {.options = {.session_token = "A"}, .status = WEIR_E_AUTH, .says = "session_token"},
        {.env = {{"AWS_ACCESS_KEY_ID", "E"}},
         .status = WEIR_E_AUTH,
         .says = "AWS_SECRET_ACCESS_KEY"},
        {.env = {{"AWS_SECRET_ACCESS_KEY", "E"}},
         .status = WEIR_E_AUTH,
         .says = "AWS_ACCESS_KEY_ID"},
        {.options = {.profile = "half"}, .status = WEIR_E_AUTH, .says = "aws_secret_access_key"},
        {.options = {.profile = "nonsuch"}, .status = WEIR_E_AUTH, .says = "no such profile"},
        {.options = {.provider = "imds"},
         .env = {{"AWS_EC2_METADATA_DISABLED", "true"}},
         .status = WEIR_E_AUTH,
         .says = "AWS_EC2_METADATA_DISABLED"},
    };
    aws_profiles p;
    parse(&p, files_config, files_credentials);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const credential_case *c = &cases[i];
        aws_env env = {get, (void *)(uintptr_t)c->env};
        aws_plan plan;
        aws_problem problem = {0};
        bool ok = aws_plan_make(&plan, &c->options, "eu-west-1", &env, &p, &problem);
        if (c->id) {
            assert_true(ok);
            assert_true(aws_plan_is_keys(&plan));
            aws_identity id = plan.steps[0].keys;
            assert_string_equal(id.access_key_id, c->id);
            assert_string_equal(id.secret_access_key, c->secret);
            if (c->token)
                assert_string_equal(id.session_token, c->token);
            else
                assert_null(id.session_token);
            assert_string_equal(id.origin, c->origin);
            assert_string_equal(plan.origin, c->origin);
        } else {
            assert_false(ok);
            assert_int_equal(problem.status, c->status);
            if (!strstr(text_z(&problem.words), c->says))
                fail_msg("case %zu: \"%s\" does not name %s", i, problem.words.ptr, c->says);
            assert_true(problem.hint.len > 0);
        }
        aws_plan_free(&plan);
        aws_problem_free(&problem);
    }
    aws_profiles_free(&p);
}

static void nothing_found_tells_every_place(void **state) {
    (void)state;
    pair env[] = {{"AWS_EC2_METADATA_DISABLED", "TRUE"}, {"HOME", "/nonexistent"}, {NULL, NULL}};
    aws_env e = {get, env}, with_imds = {get, env + 1};
    aws_profiles p;
    aws_profiles_load(&p, &e);
    aws_plan plan;
    aws_problem problem = {0};
    aws_options none = {0};
    assert_false(aws_plan_make(&plan, &none, "eu-west-1", &e, &p, &problem));
    const char *words = text_z(&problem.words);
    assert_non_null(strstr(words, "AWS_WEB_IDENTITY_TOKEN_FILE"));
    assert_non_null(strstr(words, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"));
    assert_non_null(strstr(words, "AWS_EC2_METADATA_DISABLED"));
    assert_non_null(strstr(words, "credentials.access_key_id"));
    assert_non_null(strstr(words, "AWS_SECRET_ACCESS_KEY"));
    assert_non_null(strstr(words, "/nonexistent/.aws/credentials (no such file)"));
    assert_non_null(strstr(words, "/nonexistent/.aws/config (no such file)"));
    aws_problem_free(&problem);

    /* The instance's service is the last resort; only asking it can tell that it is not there. */
    assert_true(aws_plan_make(&plan, &none, "eu-west-1", &with_imds, &p, &problem));
    assert_int_equal(plan.count, 1);
    assert_int_equal(plan.steps[0].kind, STEP_IMDS);
    assert_non_null(strstr(text_z(&plan.tried), "/nonexistent/.aws/credentials"));
    aws_plan_free(&plan);

    assert_null(aws_region_resolve(&none, NULL, &e, &p, &problem));
    assert_non_null(strstr(text_z(&problem.words), "AWS_DEFAULT_REGION"));
    aws_problem_free(&problem);
    aws_profiles_free(&p);
}

static void regions(void **state) {
    (void)state;
    aws_profiles p;
    parse(&p, files_config, files_credentials);
    pair env[] = {{"AWS_REGION", "ap-south-1"}, {"AWS_DEFAULT_REGION", "ap-south-2"}, {NULL, NULL}};
    pair second[] = {{"AWS_DEFAULT_REGION", "ap-south-2"}, {NULL, NULL}};
    pair evil[] = {{"AWS_REGION", "evil.com/x"}, {NULL, NULL}};
    aws_env full = {get, env}, old = {get, second}, empty = {get, NULL}, bad = {get, evil};
    aws_options given = {.region = "us-west-2"}, none = {0}, dev = {.profile = "dev"};
    aws_problem problem = {0};
    const struct {
        const aws_options *o;
        const char *arn;
        const aws_env *env;
        const char *want;
    } cases[] = {{&given, NULL, &full, "us-west-2"},       {&none, "eu-west-1", &full, "eu-west-1"},
                 {&none, NULL, &full, "ap-south-1"},       {&none, NULL, &old, "ap-south-2"},
                 {&none, NULL, &empty, "eu-central-1"},    {&dev, NULL, &empty, "eu-west-3"},
                 {&given, "us-west-2", &full, "us-west-2"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *r = aws_region_resolve(cases[i].o, cases[i].arn, cases[i].env, &p, &problem);
        assert_non_null(r);
        assert_string_equal(r, cases[i].want);
        free(r);
    }
    assert_null(aws_region_resolve(&given, "us-east-1", &full, &p, &problem));
    assert_non_null(strstr(text_z(&problem.words), "us-west-2"));
    aws_problem_free(&problem);
    assert_null(aws_region_resolve(&none, NULL, &bad, &p, &problem));
    aws_problem_free(&problem);
    aws_profiles_free(&p);
}

static void endpoints(void **state) {
    (void)state;
    const struct {
        const char *region;
        bool fips, dual;
        const char *want;
    } cases[] = {
        {"us-east-1", false, false, "https://kinesis.us-east-1.amazonaws.com"},
        {"us-east-1", true, false, "https://kinesis-fips.us-east-1.amazonaws.com"},
        {"us-east-1", false, true, "https://kinesis.us-east-1.api.aws"},
        {"us-east-1", true, true, "https://kinesis-fips.us-east-1.api.aws"},
        {"cn-north-1", false, false, "https://kinesis.cn-north-1.amazonaws.com.cn"},
        {"cn-north-1", false, true, "https://kinesis.cn-north-1.api.amazonwebservices.com.cn"},
        {"us-gov-west-1", false, false, "https://kinesis.us-gov-west-1.amazonaws.com"},
        {"us-gov-west-1", true, false, "https://kinesis.us-gov-west-1.amazonaws.com"},
        {"us-gov-west-1", true, true, "https://kinesis-fips.us-gov-west-1.api.aws"},
        {"us-iso-east-1", false, false, "https://kinesis.us-iso-east-1.c2s.ic.gov"},
        {"us-isob-east-1", false, false, "https://kinesis.us-isob-east-1.sc2s.sgov.gov"},
    };
    aws_profiles p;
    parse(&p, files_config, files_credentials);
    aws_env empty = {get, NULL};
    aws_problem problem = {0};
    aws_endpoint e;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        aws_options o = {.fips = cases[i].fips, .dual_stack = cases[i].dual};
        assert_true(aws_endpoint_resolve(&e, &o, "kinesis", cases[i].region, &empty, &p, &problem));
        assert_string_equal(e.url, cases[i].want);
        assert_false(e.overridden);
        aws_endpoint_free(&e);
    }
    const struct {
        const char *service, *region;
        bool fips, dual;
        const char *want;
    } others[] = {
        {"s3", "eu-west-1", false, false, "https://s3.eu-west-1.amazonaws.com"},
        {"s3", "eu-west-1", false, true, "https://s3.dualstack.eu-west-1.amazonaws.com"},
        {"s3", "us-gov-west-1", true, false, "https://s3-fips.us-gov-west-1.amazonaws.com"},
        {"s3", "us-east-1", true, true, "https://s3-fips.dualstack.us-east-1.amazonaws.com"},
        {"s3", "cn-north-1", false, true, "https://s3.dualstack.cn-north-1.amazonaws.com.cn"},
        {"sts", "us-gov-east-1", true, false, "https://sts.us-gov-east-1.amazonaws.com"},
        {"sts", "eusc-de-east-1", false, false, "https://sts.eusc-de-east-1.amazonaws.eu"},
        {"glue", "mars-north-9", false, false, "https://glue.mars-north-9.amazonaws.com"},
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        aws_options o = {.fips = others[i].fips, .dual_stack = others[i].dual};
        assert_true(aws_endpoint_resolve(&e, &o, others[i].service, others[i].region, &empty, &p,
                                         &problem));
        assert_string_equal(e.url, others[i].want);
        aws_endpoint_free(&e);
    }
    aws_options iso = {.dual_stack = true};
    assert_false(aws_endpoint_resolve(&e, &iso, "kinesis", "us-iso-east-1", &empty, &p, &problem));
    aws_problem_free(&problem);

    aws_options none = {0};
    char *account = aws_endpoint_of_account(&none, "kinesis", "eu-west-1", "123456789012", "data");
    assert_string_equal(account, "https://123456789012.data-kinesis.eu-west-1.amazonaws.com");
    free(account);

    pair env[] = {{"AWS_ENDPOINT_URL_KINESIS", "https://one"},
                  {"AWS_ENDPOINT_URL", "https://two"},
                  {NULL, NULL}};
    pair ignored[] = {{"AWS_ENDPOINT_URL", "https://two"},
                      {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"},
                      {NULL, NULL}};
    aws_env full = {get, env}, other = {get, env + 1}, off = {get, ignored};
    aws_options given = {.endpoint = "http://127.0.0.1:9/"}, dev = {.profile = "dev"};
    const struct {
        const aws_options *o;
        const aws_env *env;
        const char *want;
    } overrides[] = {{&given, &full, "http://127.0.0.1:9"},
                     {&none, &full, "https://one"},
                     {&none, &other, "https://two"},
                     {&dev, &empty, "http://127.0.0.1:1"},
                     {&none, &off, "https://kinesis.eu-west-1.amazonaws.com"}};
    for (size_t i = 0; i < sizeof overrides / sizeof overrides[0]; i++) {
        assert_true(aws_endpoint_resolve(&e, overrides[i].o, "kinesis", "eu-west-1",
                                         overrides[i].env, &p, &problem));
        assert_string_equal(e.url, overrides[i].want);
        aws_endpoint_free(&e);
    }
    /* Named by the service's id, which is not the name in its host. */
    pair secrets[] = {{"AWS_ENDPOINT_URL_SECRETS_MANAGER", "https://three"}, {NULL, NULL}};
    aws_env named = {get, secrets};
    assert_true(
        aws_endpoint_resolve(&e, &none, "secretsmanager", "eu-west-1", &named, &p, &problem));
    assert_string_equal(e.url, "https://three");
    aws_endpoint_free(&e);
    static const char *const wrong[] = {"127.0.0.1:80", "https://", "ftp://x", "http://u@h/",
                                        "http://a b"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        aws_options o = {.endpoint = wrong[i]};
        assert_false(aws_endpoint_resolve(&e, &o, "kinesis", "eu-west-1", &empty, &p, &problem));
        assert_non_null(strstr(text_z(&problem.words), wrong[i]));
        aws_problem_free(&problem);
    }
    aws_options clash = {.endpoint = "http://x", .fips = true};
    assert_false(aws_endpoint_resolve(&e, &clash, "kinesis", "eu-west-1", &empty, &p, &problem));
    assert_string_equal(problem.option, "fips");
    aws_problem_free(&problem);
    aws_profiles_free(&p);
}

static void error_answers(void **state) {
    (void)state;
    const struct {
        const char *header, *body;
        uint32_t http;
        const char *code, *message;
        uint32_t kind;
        weir_status status;
    } cases[] = {
        {NULL,
         "{\"__type\":\"com.amazonaws.kinesis#ResourceNotFoundException\",\"message\":\"no\"}", 400,
         "ResourceNotFoundException", "no", WEIR_AWS_NOT_FOUND, WEIR_E_NOT_FOUND},
        {"ExpiredIteratorException:http://x/", "{\"Message\":\"old\"}", 400,
         "ExpiredIteratorException", "old", WEIR_AWS_REFUSED, WEIR_E_INVALID_ARG},
        {NULL, "{\"__type\":\"ProvisionedThroughputExceededException\"}", 400,
         "ProvisionedThroughputExceededException", "", WEIR_AWS_THROTTLED, WEIR_E_THROTTLED},
        {NULL,
         "<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code><Message>m</Message></Error>",
         403, "SignatureDoesNotMatch", "m", WEIR_AWS_DENIED, WEIR_E_AUTH},
        {NULL, "{\"__type\":\"AccessDeniedException\",\"Message\":\"not you\"}", 400,
         "AccessDeniedException", "not you", WEIR_AWS_DENIED, WEIR_E_PERMISSION},
        {NULL, "{\"__type\":\"ExpiredTokenException\"}", 400, "ExpiredTokenException", "",
         WEIR_AWS_EXPIRED, WEIR_E_AUTH},
        {NULL, "", 500, "", "", WEIR_AWS_TRANSIENT, WEIR_E_IO},
        {NULL, "garbage", 502, "", "", WEIR_AWS_TRANSIENT, WEIR_E_IO},
        {NULL, "", 429, "", "", WEIR_AWS_THROTTLED, WEIR_E_THROTTLED},
        {NULL, "[1,2]", 403, "", "", WEIR_AWS_DENIED, WEIR_E_PERMISSION},
        {NULL, "{\"__type\":7}", 400, "", "", WEIR_AWS_REFUSED, WEIR_E_INVALID_ARG},
        /* The header goes before the body; namespace and URL are dropped from both. */
        {"aws.x#SlowDown:http://x/#y", "{\"__type\":\"a.b#Other\",\"message\":\"m\"}", 503,
         "SlowDown", "m", WEIR_AWS_THROTTLED, WEIR_E_THROTTLED},
        {NULL, " {\"code\":\"a#AccessDenied:\",\"errorMessage\":\"m\",\"__type\":\"\"}", 400,
         "AccessDenied", "m", WEIR_AWS_DENIED, WEIR_E_PERMISSION},
        {NULL, "{\"message\":null,\"Message\":\"second\",\"errorMessage\":\"third\"}", 400, "",
         "second", WEIR_AWS_REFUSED, WEIR_E_INVALID_ARG},
        /* XML: entities, white space in front, prefixes, the first of several; broken later. */
        {NULL,
         "  <?xml version=\"1.0\"?>\n<Error><Code>SlowDown</Code><Message>&lt;a&gt; &amp; "
         "b</Message><Detail><Code>x</Code></Detail></Error>",
         503, "SlowDown", "<a> & b", WEIR_AWS_THROTTLED, WEIR_E_THROTTLED},
        {NULL, "<e:Error xmlns:e='u'><e:Code a='b'>NoSuchKey</e:Code><Message/></e:Error>", 404,
         "NoSuchKey", "", WEIR_AWS_NOT_FOUND, WEIR_E_NOT_FOUND},
        {NULL, "<Error><Code>BadDigest</Code></Error>", 400, "BadDigest", "", WEIR_AWS_TRANSIENT,
         WEIR_E_IO},
        {NULL, "<Error><Code>SlowDown</Code><Message>cut", 503, "SlowDown", "", WEIR_AWS_THROTTLED,
         WEIR_E_THROTTLED},
        {"ThrottlingException", "<Error><Code>Other</Code><Message>m</Message></Error>", 400,
         "ThrottlingException", "m", WEIR_AWS_THROTTLED, WEIR_E_THROTTLED},
        {NULL, "<!DOCTYPE html><html><Code>x</Code></html>", 403, "", "", WEIR_AWS_DENIED,
         WEIR_E_PERMISSION},
        /* CBOR: a map, the same in parts, cut. */
        {NULL, "\xa2\x66__type\x6ex#ServiceDown:\x67message\x62no", 500, "ServiceDown", "no",
         WEIR_AWS_TRANSIENT, WEIR_E_IO},
        {NULL,
         "\xd9\xd9\xf7\xbf\x7f\x63__t\x63ype\xff\x7f\x64Slow\x64"
         "Down\xff\xff",
         503, "SlowDown", "", WEIR_AWS_THROTTLED, WEIR_E_THROTTLED},
        {NULL, "\xa2\x66__type\x68SlowDown", 400, "", "", WEIR_AWS_REFUSED, WEIR_E_INVALID_ARG},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        aws_error_parts parts = {0};
        weir_str header = {cases[i].header, cases[i].header ? strlen(cases[i].header) : 0};
        weir_str body = {cases[i].body, strlen(cases[i].body)};
        aws_error_read(&parts, header, body);
        assert_string_equal(text_z(&parts.code), cases[i].code);
        assert_string_equal(text_z(&parts.message), cases[i].message);
        weir_status status = WEIR_OK;
        assert_int_equal(aws_error_kind(cases[i].http, text_str(&parts.code), &status),
                         cases[i].kind);
        assert_int_equal(status, cases[i].status);
        aws_error_parts_free(&parts);
    }
    weir_str date = {"Tue, 15 Nov 1994 08:12:31 GMT", 29}, no = {"yesterday at about noon", 23};
    assert_int_equal(aws_http_date_us(date), 784887151000000);
    assert_int_equal(aws_http_date_us(no), INT64_MIN);
}

/* What S3 answers with 200 after it began to answer before it knew. */
static void errors_in_success(void **state) {
    (void)state;
    static const struct {
        const char *body;
        bool failed;
    } cases[] = {{"<CopyObjectResult/>", false},
                 {" \n<?xml version=\"1.0\"?>\n<CompleteMultipartUploadResult><Error/>", false},
                 {"  <Error><Code>InternalError</Code></Error>", true},
                 {"<e:Error xmlns:e='u'/>", true},
                 {"", true},
                 {" \r\n\t ", true},
                 {"Error", true},
                 {"<", true}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        weir_str body = {cases[i].body, strlen(cases[i].body)};
        assert_int_equal(aws_error_in_success(body), cases[i].failed);
    }
}

static void uri_encoding(void **state) {
    (void)state;
    char out[64], small[5];
    weir_str key = {"a/b c~\xc3\xbc%", 9};
    assert_int_equal(weir_aws_uri_encode(key, 1, out, sizeof out), 17);
    assert_string_equal(out, "a/b%20c~%C3%BC%25");
    assert_int_equal(weir_aws_uri_encode(key, 0, out, sizeof out), 19);
    assert_string_equal(out, "a%2Fb%20c~%C3%BC%25");
    assert_int_equal(weir_aws_uri_encode(key, 1, small, sizeof small), 17);
    assert_string_equal(small, "a/b%");
    assert_int_equal(weir_aws_uri_encode(key, 1, NULL, 0), 17);
}

static void retry_budget(void **state) {
    (void)state;
    const int64_t ms = 1000000;
    retry_bucket b;
    retry_init(&b, true);
    assert_int_equal(retry_delay_ns(&b, 1, false, -1, UINT64_MAX) <= 50 * ms, 1);
    for (uint32_t retry = 1; retry < 40; retry++) {
        int64_t ceiling = retry > 9 ? 20000 * ms : 50 * ms << (retry - 1);
        if (ceiling > 20000 * ms) ceiling = 20000 * ms;
        assert_int_equal(retry_jitter_ns(retry, 50 * ms, 20000 * ms, (uint64_t)ceiling), ceiling);
        assert_int_equal(retry_jitter_ns(retry, 50 * ms, 20000 * ms, (uint64_t)ceiling + 1), 0);
    }
    assert_int_equal(retry_delay_ns(&b, 1, false, 3000, 0), 3000 * ms);
    assert_int_equal(retry_delay_ns(&b, 1, false, 30000, 0), 5000 * ms);
    int retries = 0;
    while (retry_acquire(&b, false, false)) retries++;
    assert_int_equal(retries, 500 / 14);
    assert_int_equal(retry_acquire(&b, true, false), 5); /* throttling costs less */
    retry_refund(&b, 5);
    for (int i = 0; i < 1000; i++) retry_refund(&b, 0);
    assert_int_equal(b.tokens, 500);
    retry_init(&b, false);
    assert_int_equal(retry_acquire(&b, false, true), 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ini_files),     cmocka_unit_test(files_from_disk),
        cmocka_unit_test(credentials),   cmocka_unit_test(nothing_found_tells_every_place),
        cmocka_unit_test(regions),       cmocka_unit_test(endpoints),
        cmocka_unit_test(error_answers), cmocka_unit_test(errors_in_success),
        cmocka_unit_test(uri_encoding),  cmocka_unit_test(retry_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

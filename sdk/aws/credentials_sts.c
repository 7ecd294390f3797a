/* STS: the Query protocol of 2011-06-15, as far as taking roles needs it. */
#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "credentials_fetch.h"
#include "errors.h"
#include "sigv4.h"
#include "token_file.h"
#include "xml.h"

#define CONTENT_TYPE "application/x-www-form-urlencoded; charset=utf-8"

static bool add_token(text *body, const aws_step *s, aws_problem *problem);
static void add_field(text *body, const char *name, weir_str value);
static bool sign(fetch_request *q, const aws_identity *keys, const char *region, int64_t now_us,
                 weir_aws_signer *signer, weir_str host, weir_str path);
static bool read_keys(weir_str xml, char *room, uint64_t room_len, weir_str out[4]);
static weir_str str(const char *z);

bool sts_ask(fetch_request *q, const aws_step *s, const aws_identity *keys, const char *region,
             int64_t now_us, weir_aws_signer *signer, aws_problem *problem) {
    q->method = "POST";
    text_add_z(&q->url, s->url);
    text_add_char(&q->url, '/');
    text_add_z(&q->body, keys ? "Action=AssumeRole" : "Action=AssumeRoleWithWebIdentity");
    text_add_z(&q->body, "&Version=2011-06-15");
    add_field(&q->body, "RoleArn", str(s->role_arn));
    char session[48];
    snprintf(session, sizeof session, "weir-%" PRId64, now_us / 1000000);
    add_field(&q->body, "RoleSessionName", str(s->session_name ? s->session_name : session));
    if (s->duration_s) text_add_f(&q->body, "&DurationSeconds=%" PRIu32, s->duration_s);
    if (s->external_id) add_field(&q->body, "ExternalId", str(s->external_id));
    if (!keys && !add_token(&q->body, s, problem)) return false;
    weir_str host, path;
    if (q->body.failed || !text_z(&q->url)) return aws_no_memory(problem);
    aws_url_parts(q->url.ptr, &host, &path);
    fetch_header(q, "Content-Type", str(CONTENT_TYPE));
    fetch_header(q, "Host", host);
    if (keys && !sign(q, keys, region, now_us, signer, host, path)) return aws_no_memory(problem);
    return true;
}

fetch_result sts_answer(const aws_step *s, const aws_identity *before, const fetch_answer *a,
                        const char *origin, aws_identity *keys, aws_problem *problem) {
    const char *operation =
        s->kind == STEP_ROLE ? "sts:AssumeRole" : "sts:AssumeRoleWithWebIdentity";
    if (a->http_status == 200) {
        weir_str fields[4] = {{NULL, 0}, {NULL, 0}, {NULL, 0}, {NULL, 0}};
        char *room = malloc((size_t)a->body.len + 1);
        if (!room) {
            aws_no_memory(problem);
            return FETCH_FAILED;
        }
        bool whole = read_keys(a->body, room, a->body.len, fields);
        int64_t expires = whole ? aws_iso_time_us(fields[3]) : INT64_MIN;
        bool ok = expires != INT64_MIN && aws_keys_are_clean(fields[0], fields[1], fields[2]) &&
                  aws_identity_set(keys, fields[0], fields[1], fields[2], origin, expires);
        OPENSSL_cleanse(room, (size_t)a->body.len + 1);
        free(room);
        if (ok) return FETCH_KEYS;
        problem->status = WEIR_E_DATA;
        text_add_f(&problem->words, "%s for %.256s at %.256s: the answer has no usable keys",
                   operation, s->role_arn, s->url);
        text_add_z(&problem->hint, "is that the endpoint of STS?");
        return FETCH_FAILED;
    }
    aws_error_parts parts = {0};
    aws_error_read(&parts, a->type_header, a->body);
    uint32_t kind = aws_error_kind(a->http_status, text_str(&parts.code), &problem->status);
    /* A refusal to hand out keys is one of identity, whatever the service calls it. */
    if (kind != WEIR_AWS_THROTTLED && kind != WEIR_AWS_TRANSIENT &&
        problem->status != WEIR_E_PERMISSION)
        problem->status = WEIR_E_AUTH;
    text_add_f(&problem->words, "%s for %.256s at %.256s: ", operation, s->role_arn, s->url);
    text_add_str(&problem->words, text_str(&parts.code));
    if (parts.code.len && parts.message.len) text_add_z(&problem->words, ": ");
    text_add_str(&problem->words, text_str(&parts.message));
    if (!parts.code.len && !parts.message.len)
        text_add_f(&problem->words, "HTTP status %" PRIu32 " without an explanation",
                   a->http_status);
    if (s->kind == STEP_ROLE) {
        text_add_z(&problem->hint, "the keys (from ");
        text_add_z(&problem->hint, before->origin ? before->origin : "nowhere");
        text_add_z(&problem->hint, ") need permission for sts:AssumeRole, and the role must trust "
                                   "their owner (with the external id, if it asks for one)");
    } else {
        text_add_z(&problem->hint, "the role must trust the identity's provider and subject; the "
                                   "token must not have expired");
    }
    aws_error_parts_free(&parts);
    return kind == WEIR_AWS_THROTTLED || kind == WEIR_AWS_TRANSIENT ? FETCH_AGAIN : FETCH_FAILED;
}

bool sts_blames_clock(const fetch_answer *a) {
    aws_error_parts parts = {0};
    aws_error_read(&parts, a->type_header, a->body);
    bool clock = aws_error_is_clock(text_str(&parts.code));
    aws_error_parts_free(&parts);
    return clock;
}

static bool add_token(text *body, const aws_step *s, aws_problem *problem) {
    text token = {0};
    text_add_f(&problem->words, "the web identity token file %.512s ", s->token_file);
    bool ok = token_file_read(&token, s->token_file, &problem->words);
    bool failed = token.failed;
    if (ok) add_field(body, "WebIdentityToken", text_str(&token));
    text_free(&token);
    if (ok || failed) text_clear(&problem->words);
    if (ok) return true;
    if (failed) return aws_no_memory(problem);
    return aws_refuse(problem, "credentials.token_file", "",
                      "check credentials.token_file or AWS_WEB_IDENTITY_TOKEN_FILE");
}

static void add_field(text *body, const char *name, weir_str value) {
    text_add_char(body, '&');
    text_add_z(body, name);
    text_add_char(body, '=');
    sigv4_encode(body, value.ptr, (size_t)value.len, false);
}

static bool sign(fetch_request *q, const aws_identity *keys, const char *region, int64_t now_us,
                 weir_aws_signer *signer, weir_str host, weir_str path) {
    char date[WEIR_AWS_DATE_SIZE], hash[WEIR_AWS_HASH_SIZE];
    weir_aws_format_date(now_us / 1000000, date);
    text_add_z(&q->date, date);
    weir_str body = text_str(&q->body);
    weir_aws_hash(&body, 1, hash);
    (void)host;
    fetch_header(q, "X-Amz-Date", text_str(&q->date));
    if (keys->session_token) fetch_header(q, "X-Amz-Security-Token", str(keys->session_token));
    weir_aws_keys k = {str(keys->access_key_id), str(keys->secret_access_key),
                       str(keys->session_token)};
    weir_aws_sign_args args = {.method = str("POST"),
                               .path = path,
                               .query = str(""),
                               .headers = q->headers,
                               .header_count = q->header_count,
                               .payload_hash = str(hash),
                               .region = str(region),
                               .service = str("sts"),
                               .date = text_str(&q->date)};
    weir_str authorization = weir_aws_sign(signer, &k, &args);
    if (!authorization.ptr) return false;
    fetch_header(q, "Authorization", authorization); /* the signer keeps it */
    return true;
}

/* Id, secret, token, expiration of <Credentials>. False if the XML is broken or one is missing. */
static bool read_keys(weir_str xml, char *room, uint64_t room_len, weir_str out[4]) {
    static const char *const names[] = {"AccessKeyId", "SecretAccessKey", "SessionToken",
                                        "Expiration"};
    weir_xml_reader r;
    uint64_t used = 0;
    weir_xml_begin(&r, xml);
    while (weir_xml_next_element(&r) != WEIR_XML_END) {
        if (r.event == WEIR_XML_FAULT) return false;
        for (int i = 0; r.event == WEIR_XML_OPEN && i < 4; i++) {
            if (!weir_xml_is(&r, names[i])) continue;
            if (weir_xml_text(&r, room + used, room_len - used, &out[i]) != WEIR_OK) return false;
            if (out[i].ptr == room + used) used += out[i].len;
            break;
        }
    }
    return out[0].len && out[1].len && out[2].len && out[3].len;
}

static weir_str str(const char *z) {
    weir_str s = {z ? z : "", z ? strlen(z) : 0};
    return s;
}

#include "stream.h"

#include <stdbool.h>
#include <string.h>

#include "weir/aws.h"

#define PRIVATE_VERSION 1
#define PRIVATE_HEAD 18u

static bool is_name(weir_str s);
static void copy(char *out, weir_str s);
static void put_i64(char *out, int64_t value);
static int64_t get_i64(const char *in);

const char *stream_parse(stream_ref *out, weir_str text) {
    memset(out, 0, sizeof *out);
    if (text.len < 4 || memcmp(text.ptr, "arn:", 4) != 0) {
        if (!is_name(text)) return "a stream name has 1 to 128 letters, digits, _ . or -";
        copy(out->name, text);
        return NULL;
    }
    weir_aws_arn arn;
    static const char shape[] = "a stream ARN is arn:PARTITION:kinesis:REGION:ACCOUNT:stream/NAME";
    if (text.len > STREAM_ARN_MAX || !weir_aws_arn_parse(text, &arn)) return shape;
    if (arn.service.len != 7 || memcmp(arn.service.ptr, "kinesis", 7) != 0)
        return "the ARN is not one of Kinesis";
    if (arn.resource.len < 8 || memcmp(arn.resource.ptr, "stream/", 7) != 0)
        return "the ARN is not that of a stream";
    weir_str name = {arn.resource.ptr + 7, arn.resource.len - 7};
    if (!is_name(name) || arn.region.len == 0 || arn.region.len > 40 || arn.account.len != 12)
        return shape;
    copy(out->name, name);
    copy(out->arn, text);
    copy(out->region, arn.region);
    copy(out->account, arn.account);
    return NULL;
}

uint32_t private_encode(const split_plan *plan, char *out) {
    out[0] = PRIVATE_VERSION;
    out[1] = (char)plan->start.kind;
    put_i64(out + 2, plan->start.us);
    put_i64(out + 10, plan->stop_us);
    const char *text = plan->stream.arn[0] ? plan->stream.arn : plan->stream.name;
    size_t n = strlen(text);
    memcpy(out + PRIVATE_HEAD, text, n);
    return (uint32_t)(PRIVATE_HEAD + n);
}

int private_decode(weir_str bytes, split_plan *out) {
    if (bytes.len <= PRIVATE_HEAD || bytes.ptr[0] != PRIVATE_VERSION) return 0;
    out->start.kind = (uint8_t)bytes.ptr[1];
    out->start.us = get_i64(bytes.ptr + 2);
    out->stop_us = get_i64(bytes.ptr + 10);
    if (out->start.kind != START_TRIM_HORIZON && out->start.kind != START_TIMESTAMP) return 0;
    weir_str text = {bytes.ptr + PRIVATE_HEAD, bytes.len - PRIVATE_HEAD};
    return stream_parse(&out->stream, text) == NULL;
}

static void put_i64(char *out, int64_t value) {
    for (int i = 0; i < 8; i++) out[i] = (char)((uint64_t)value >> (56 - 8 * i) & 0xff);
}

static int64_t get_i64(const char *in) {
    uint64_t value = 0;
    for (int i = 0; i < 8; i++) value = value << 8 | (uint8_t)in[i];
    return (int64_t)value;
}

static bool is_name(weir_str s) {
    if (s.len == 0 || s.len > STREAM_NAME_MAX) return false;
    for (uint64_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '_' || c == '.' || c == '-'))
            return false;
    }
    return true;
}

static void copy(char *out, weir_str s) {
    memcpy(out, s.ptr, (size_t)s.len);
    out[s.len] = '\0';
}

#include "shard_list.h"

#include <stdlib.h>
#include <string.h>

#include "request.h"
#include "weir/json.h"

#define SHARDS_MAX 100000u   /* an account has at most some thousands */
#define TOKEN_MAX (1u << 20) /* as documented */
#define RESTARTS_MAX 3u

static weir_status next_page(shard_list *list, weir_str token);
static void on_page(void *opaque, const weir_aws_response *response);
static weir_status take(shard_list *list, const weir_value *shard);
static void copy_id(char *out, weir_str s);

weir_status shard_list_start(shard_list *list) {
    weir_str none = {"", 0};
    list->server_us = INT64_MIN;
    return next_page(list, none);
}

void shard_list_free(shard_list *list) {
    free(list->shards);
    list->shards = NULL;
    list->count = list->capacity = 0;
}

static weir_status next_page(shard_list *list, weir_str token) {
    if (token.len > TOKEN_MAX) return WEIR_E_DATA;
    uint32_t size = REQUEST_BYTES + (uint32_t)token.len * 6;
    char *body = malloc(size);
    if (!body) return WEIR_E_NOMEM;
    const stream_start *from = list->unfiltered ? NULL : list->from;
    weir_str text = {body, request_list_shards(body, size, list->stream, from, token)};
    weir_aws_call_args call = {.target = "Kinesis_20131202.ListShards",
                               .body = text,
                               .account = list->stream->account[0] ? list->stream->account : NULL,
                               .plane = "control",
                               .attempts = 1,
                               .timeout_ms = list->timeout_ms,
                               .deadline_ns = list->deadline_ns,
                               .done = on_page,
                               .opaque = list};
    weir_status status = text.len ? weir_aws_call(list->client, &call) : WEIR_E_INTERNAL;
    free(body);
    return status;
}

static void on_page(void *opaque, const weir_aws_response *r) {
    shard_list *list = opaque;
    weir_str none = {"", 0};
    weir_status status = WEIR_OK;
    if (r->kind != WEIR_AWS_OK) {
        bool expired =
            r->code.len == 25 && memcmp(r->code.ptr, "ExpiredNextTokenException", 25) == 0;
        bool refused = r->kind == WEIR_AWS_REFUSED && r->http_status == 400;
        if (expired && list->restarts < RESTARTS_MAX) {
            list->restarts++;
        } else if (refused && !list->unfiltered && list->from &&
                   list->from->kind == START_TIMESTAMP) {
            list->unfiltered = true; /* all shards are a superset */
        } else {
            list->done(list, r->status, r);
            return;
        }
        list->count = 0;
        status = next_page(list, none);
        if (status != WEIR_OK) list->done(list, status, NULL);
        return;
    }
    if (r->date_us != INT64_MIN) list->server_us = r->date_us;
    weir_json_doc *doc = weir_json_read(r->body, 0, NULL);
    const weir_value *root = doc ? weir_json_root(doc) : NULL;
    const weir_value *shards = root ? weir_json_get(root, "Shards") : NULL;
    if (!shards || shards->type != WEIR_V_ARRAY) status = WEIR_E_DATA;
    const weir_value *shard = shards ? shards + 1 : NULL;
    for (uint32_t i = 0; status == WEIR_OK && i < shards->size; i++) {
        status = take(list, shard);
        shard = weir_value_next(shard);
    }
    weir_str token = root ? weir_json_get_str(root, "NextToken", "") : none;
    bool more = status == WEIR_OK && token.len > 0;
    if (more) status = next_page(list, token);
    weir_json_free(doc);
    if (!more || status != WEIR_OK) list->done(list, status, NULL);
}

static weir_status take(shard_list *list, const weir_value *shard) {
    weir_str id = weir_json_get_str(shard, "ShardId", "");
    if (id.len == 0 || id.len > SHARD_ID_MAX) return WEIR_E_DATA;
    if (list->count == list->capacity) {
        if (list->count >= SHARDS_MAX) return WEIR_E_TOO_LARGE;
        uint32_t want = list->capacity ? list->capacity * 2 : 16;
        shard_info *grown = realloc(list->shards, want * sizeof *grown);
        if (!grown) return WEIR_E_NOMEM;
        list->shards = grown;
        list->capacity = want;
    }
    shard_info *s = &list->shards[list->count++];
    memset(s, 0, sizeof *s);
    copy_id(s->id, id);
    copy_id(s->parent, weir_json_get_str(shard, "ParentShardId", ""));
    copy_id(s->adjacent, weir_json_get_str(shard, "AdjacentParentShardId", ""));
    const weir_value *range = weir_json_get(shard, "SequenceNumberRange");
    s->closed = range && weir_json_get_str(range, "EndingSequenceNumber", "").len > 0;
    return WEIR_OK;
}

static void copy_id(char *out, weir_str s) {
    if (s.len > SHARD_ID_MAX) s.len = 0;
    memcpy(out, s.ptr, (size_t)s.len);
    out[s.len] = '\0';
}

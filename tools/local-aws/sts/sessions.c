#include <stdio.h>

#include "sts/sts.h"

#define SESSION_MIN_S 900
#define SESSION_MAX_S 129600
#define SESSION_DEFAULT_S 43200

static const sts_rule serial = {"SerialNumber", "serialNumber",  0, 9, 256,
                                "+=/:,.@-",     "[\\w+=/:,.@-]*"};
static const sts_rule token_code = {"TokenCode", "tokenCode", STS_SECRET | STS_DIGITS, 6, 6,
                                    "",          "[\\d]*"};

static int64_t duration(sts_call *call) {
    return sts_number(call, "DurationSeconds", "durationSeconds", SESSION_MIN_S, SESSION_MAX_S,
                      SESSION_DEFAULT_S);
}

static uint32_t token_bytes(sts_call *call) {
    return (uint32_t)sts_number(call, "MinimumSessionTokenSize", "minimumSessionTokenSize", 0, 4096,
                                0);
}

/* Both operations are for users, not for those who have temporary keys already. */
static bool is_user(sts_call *call) {
    if (!call->caller) return true;
    sts_fail(call, &STS_DENIED, "Cannot call %s with session credentials", call->operation);
    return false;
}

static const sts_grant *issue(sts_call *call, const sts_wish *wish) {
    const sts_grant *g = sts_issue(call->s->home, wish);
    if (!g) sts_fail(call, &STS_MEMORY, "out of memory");
    return g;
}

/* A user's session is the user: the same ARN and id. */
void sts_get_session_token(sts_call *call) {
    int64_t seconds = duration(call);
    uint32_t bytes = token_bytes(call);
    sts_text(call, &serial);
    sts_text(call, &token_code);
    if (!sts_valid(call) || !is_user(call)) return;
    weir_str arn = sts_caller_arn(call);
    char id[22];
    sts_unique_id("AIDA", arn, id);
    const sts_grant *g = issue(
        call, &(sts_wish){STS_SESSION, sts_caller_account(call), arn, str_of(id), seconds, bytes});
    if (!g) return;
    sts_begin(call);
    sts_put_keys(call, g);
    sts_end(call);
}

void sts_get_federation_token(sts_call *call) {
    static const sts_rule rule = {"Name", "name", STS_REQUIRED, 2, 32, "+=,.@-", "[\\w+=,.@-]*"};
    weir_str name = sts_text(call, &rule), account = sts_caller_account(call);
    int64_t seconds = duration(call);
    uint32_t min = token_bytes(call), bytes = sts_session_bytes(call, true), percent;
    if (!sts_valid(call) || !is_user(call) || !sts_packed(call, bytes, &percent)) return;
    char *arn = arena_printf(call->memory, "arn:%s:sts::%.*s:federated-user/%.*s",
                             sts_partition(call->s->home), STR_FMT(account), STR_FMT(name));
    char *id = arena_printf(call->memory, "%.*s:%.*s", STR_FMT(account), STR_FMT(name));
    if (!arn || !id) {
        sts_fail(call, &STS_MEMORY, "out of memory");
        return;
    }
    const sts_grant *g =
        issue(call, &(sts_wish){STS_FEDERATED, account, str_of(arn), str_of(id), seconds, min});
    if (!g) return;
    sts_begin(call);
    sts_put_keys(call, g);
    weir_xml_put_open(&call->out, "FederatedUser");
    weir_xml_put_element_z(&call->out, "FederatedUserId", g->user_id);
    weir_xml_put_element_z(&call->out, "Arn", g->arn);
    weir_xml_put_close(&call->out, "FederatedUser");
    if (percent) weir_xml_put_element_u64(&call->out, "PackedPolicySize", percent);
    sts_end(call);
}

void sts_get_caller_identity(sts_call *call) {
    weir_str arn = sts_caller_arn(call);
    char id[22];
    sts_unique_id("AIDA", arn, id);
    sts_begin(call);
    weir_xml_put_element(&call->out, "Arn", arn);
    weir_xml_put_element_z(&call->out, "UserId", call->caller ? call->caller->user_id : id);
    weir_xml_put_element(&call->out, "Account", sts_caller_account(call));
    sts_end(call);
}

void sts_get_access_key_info(sts_call *call) {
    static const sts_rule rule = {"AccessKeyId", "accessKeyId", STS_REQUIRED, 16, 128, "",
                                  "[\\w]*"};
    weir_str key = sts_text(call, &rule);
    if (!sts_valid(call)) return;
    /* The service reads the account from the key's own text, so that it knows any key's. */
    const sts_grant *g = map_get(call->s->by_key, key);
    sts_begin(call);
    weir_xml_put_element_z(&call->out, "Account",
                           g ? g->account : local_settings(call->s->home)->account);
    sts_end(call);
}

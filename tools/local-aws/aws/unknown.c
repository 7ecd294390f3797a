/*
 * Requests for services of AWS that are not here: answered in the shape that their client reads,
 * with an error that names what was asked for. Without it S3, which claims what nobody else did,
 * would talk of buckets to a client of EC2.
 */
#include <stdio.h>

#include "admin/faults.h"
#include "aws/aws.h"
#include "aws/text.h"
#include "aws/verify.h"
#include "services.h"
#include "xml.h"

#define NAME_MAX_TEXT 128
#define ANSWER_MAX 4096u

/* The value of `name` in a form as it stands: names of actions and versions need no decoding. */
static weir_str field(weir_str form, const char *name) {
    while (form.len) {
        weir_str value = aws_until(&form, '&');
        if (str_eq_z(aws_until(&value, '='), name)) return value;
    }
    return STR("");
}

static weir_str form_of(const exchange *x) {
    const server_request *r = exchange_request(x);
    return str_eq_z(r->method, "POST") ? r->body : r->query;
}

static bool is_query(const exchange *x) {
    const server_request *r = exchange_request(x);
    weir_str form = form_of(x);
    if (!str_eq_z(r->path, "/") || !(str_eq_z(r->method, "POST") || str_eq_z(r->method, "GET")))
        return false;
    return field(form, "Action").len && field(form, "Version").len;
}

static bool claims(void *state, const exchange *x) {
    (void)state;
    return exchange_request_header(x, "x-amz-target").len || is_query(x);
}

static int shown(weir_str s) {
    return s.len > NAME_MAX_TEXT ? NAME_MAX_TEXT : (int)s.len;
}

/* ---- answers ---- */

static void fail_json(exchange *x, const char *id, unsigned status, const char *code,
                      const char *message) {
    bool newer = str_ends(exchange_request_header(x, "content-type"), STR("json-1.0"));
    buf b;
    buf_init(&b, ANSWER_MAX);
    buf_append_z(&b, "{\"__type\":");
    buf_append_json(&b, str_of(code));
    buf_append_z(&b, ",\"message\":");
    buf_append_json(&b, str_of(message));
    buf_append_char(&b, '}');
    exchange_status(x, status);
    exchange_header(x, "x-amzn-errortype", str_of(code));
    exchange_header_f(x, "content-type", "application/x-amz-json-%s", newer ? "1.0" : "1.1");
    exchange_header(x, "x-amzn-requestid", str_of(id));
    exchange_copy(x, b.data, b.len);
    buf_free(&b);
    exchange_send(x);
}

/* EC2 alone has a shape of its own. */
static void fail_xml(exchange *x, const char *id, bool ec2, unsigned status, const char *code,
                     const char *message) {
    char room[ANSWER_MAX];
    weir_xml_writer w;
    weir_xml_writer_init(&w, room, sizeof room);
    weir_xml_put_open(&w, ec2 ? "Response" : "ErrorResponse");
    if (ec2) weir_xml_put_open(&w, "Errors");
    weir_xml_put_open(&w, "Error");
    if (!ec2) weir_xml_put_element_z(&w, "Type", status < 500 ? "Sender" : "Receiver");
    weir_xml_put_element_z(&w, "Code", code);
    weir_xml_put_element_z(&w, "Message", message);
    weir_xml_put_close(&w, "Error");
    if (ec2) weir_xml_put_close(&w, "Errors");
    weir_xml_put_element_z(&w, ec2 ? "RequestID" : "RequestId", id);
    weir_xml_put_close(&w, ec2 ? "Response" : "ErrorResponse");
    exchange_status(x, status);
    exchange_header(x, "content-type", STR("text/xml"));
    exchange_header(x, "x-amzn-requestid", str_of(id));
    exchange_copy(x, room, (size_t)w.len);
    exchange_send(x);
}

static void fail(void *state, exchange *x, unsigned status, const char *code, const char *message) {
    local *home = state;
    char id[37];
    aws_identity who;
    local_uuid(home, id);
    verify_read(exchange_request(x), &who);
    if (exchange_request_header(x, "x-amz-target").len)
        fail_json(x, id, status, code, message);
    else
        fail_xml(x, id, str_eq_z(who.service, "ec2"), status, code, message);
}

/* ---- one request ---- */

static void say_what_is_here(local *home, buf *out) {
    const local_service *s;
    bool comma = false;
    for (uint32_t i = 0; (s = local_service_at(home, i)) != NULL; i++) {
        if (!s->operation || !s->operation(s->state, 0)) continue;
        buf_printf(out, "%s%s", comma ? ", " : "", s->name);
        comma = true;
    }
}

static void serve(void *state, exchange *x) {
    local *home = state;
    if (!faults_meet(home, x, "unknown", "?", serve, home)) return;
    weir_str target = exchange_request_header(x, "x-amz-target");
    buf b;
    buf_init(&b, 2048);
    if (target.len) {
        /* A prefix may have dots of its own; the operation is behind the last one. */
        const char *dot = memrchr(target.ptr, '.', (size_t)target.len);
        weir_str service = dot ? str_make(target.ptr, (size_t)(dot - target.ptr)) : target;
        weir_str name =
            dot ? str_make(dot + 1, (size_t)(target.ptr + target.len - dot - 1)) : STR("");
        buf_printf(&b, "weir-local has no service '%.*s' (operation '%.*s')", shown(service),
                   service.ptr, shown(name), name.ptr);
    } else {
        aws_identity who;
        verify_read(exchange_request(x), &who);
        weir_str action = field(form_of(x), "Action"), version = field(form_of(x), "Version");
        if (who.service.len)
            buf_printf(&b, "weir-local has no service '%.*s'", shown(who.service), who.service.ptr);
        else
            buf_printf(&b, "weir-local has no service of version %.*s", shown(version),
                       version.ptr);
        buf_printf(&b, " (operation '%.*s')", shown(action), action.ptr);
    }
    buf_append_z(&b, "; it has ");
    say_what_is_here(home, &b);
    fail(home, x, 400, target.len ? "UnknownOperationException" : "InvalidAction",
         buf_ok(&b) ? b.data : "weir-local has no such service");
    buf_free(&b);
}

/* None: faults meet all of them as "?". */
static const char *operation(const void *state, uint32_t index) {
    (void)state;
    (void)index;
    return NULL;
}

bool unknown_service(local *home, local_service *out) {
    *out = (local_service){.name = "unknown",
                           .claims = claims,
                           .serve = serve,
                           .fail = fail,
                           .operation = operation,
                           .state = home,
                           .own = home};
    return true;
}

/*
 * HTTP/2 by nghttp2. Frames it makes are copied to `out`; bodies are not: a DATA frame is its nine
 * bytes, then slices of the answer's own parts.
 */
#include <nghttp2/nghttp2.h>
#include <stdio.h>

#include "server/internal.h"

#define OUT_HIGH ((size_t)1 << 20)
#define WINDOW_STREAM (8 << 20)
#define WINDOW_CONNECTION (64 << 20)
#define FRAME_MAX (1 << 20)

static exchange *of_stream(nghttp2_session *h2, int32_t stream) {
    return nghttp2_session_get_stream_user_data(h2, stream);
}

/* ---- coming in ---- */

static int on_begin_headers(nghttp2_session *h2, const nghttp2_frame *frame, void *opaque) {
    connection *c = opaque;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    exchange *x = exchange_new(c);
    if (!x) return NGHTTP2_ERR_CALLBACK_FAILURE;
    x->stream = frame->hd.stream_id;
    x->request.protocol = SERVER_HTTP_2;
    nghttp2_session_set_stream_user_data(h2, x->stream, x);
    return 0;
}

/* Texts are kept as offsets first, since the buffer moves as it grows. */
static int on_header(nghttp2_session *h2, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *opaque) {
    (void)flags;
    connection *c = opaque;
    exchange *x = of_stream(h2, frame->hd.stream_id);
    if (!x || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    if (x->head.len + name_len + value_len > c->srv->options.limits.head_bytes)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    weir_str n = {(const char *)(uintptr_t)x->head.len, name_len};
    buf_append(&x->head, name, name_len);
    weir_str v = {(const char *)(uintptr_t)x->head.len, value_len};
    buf_append(&x->head, value, value_len);
    if (!buf_ok(&x->head) || !exchange_add_request_header(x, n, v))
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    return 0;
}

static void settle_headers(exchange *x) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < x->request.header_count; i++) {
        server_header h = x->headers[i];
        h.name.ptr = x->head.data + (uintptr_t)h.name.ptr;
        h.value.ptr = x->head.data + (uintptr_t)h.value.ptr;
        if (str_eq_z(h.name, ":method"))
            x->request.method = h.value;
        else if (str_eq_z(h.name, ":path"))
            x->request.path = h.value;
        else if (str_eq_z(h.name, ":authority"))
            x->request.host = h.value;
        else if (str_starts(h.name, STR(":")))
            continue;
        else
            x->headers[kept++] = h;
        if (str_eq_z(h.name, "host") && !x->request.host.ptr) x->request.host = h.value;
    }
    x->request.header_count = kept;
    if (!x->request.host.ptr) x->request.host = STR("");
}

static int on_data(nghttp2_session *h2, uint8_t flags, int32_t stream, const uint8_t *bytes,
                   size_t len, void *opaque) {
    (void)flags;
    connection *c = opaque;
    exchange *x = of_stream(h2, stream);
    if (!x) return 0;
    if (x->body_len + len > c->srv->options.limits.body_bytes ||
        !exchange_append_body(x, bytes, len, 0)) {
        nghttp2_submit_rst_stream(h2, NGHTTP2_FLAG_NONE, stream, NGHTTP2_ENHANCE_YOUR_CALM);
        return 0;
    }
    return 0;
}

static int on_frame(nghttp2_session *h2, const nghttp2_frame *frame, void *opaque) {
    (void)opaque;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    exchange *x = of_stream(h2, frame->hd.stream_id);
    if (!x) return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        settle_headers(x);
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) exchange_dispatch(x);
    return 0;
}

static int on_stream_close(nghttp2_session *h2, int32_t stream, uint32_t code, void *opaque) {
    (void)code;
    (void)opaque;
    exchange *x = of_stream(h2, stream);
    if (x) {
        nghttp2_session_set_stream_user_data(h2, stream, NULL);
        exchange_lost(x);
    }
    return 0;
}

/* ---- going out ---- */

static ssize_t on_send(nghttp2_session *h2, const uint8_t *bytes, size_t len, int flags,
                       void *opaque) {
    (void)h2;
    (void)flags;
    connection *c = opaque;
    if (c->out.bytes >= OUT_HIGH) return NGHTTP2_ERR_WOULDBLOCK;
    return connection_out(c, bytes, len) ? (ssize_t)len : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_send_data(nghttp2_session *h2, nghttp2_frame *frame, const uint8_t *head, size_t len,
                        nghttp2_data_source *source, void *opaque) {
    (void)h2;
    (void)frame;
    connection *c = opaque;
    exchange *x = source->ptr;
    if (c->out.bytes >= OUT_HIGH) return NGHTTP2_ERR_WOULDBLOCK;
    if (!connection_out(c, head, 9)) return NGHTTP2_ERR_CALLBACK_FAILURE;
    for (uint32_t i = 0; len; i++) {
        slice *s = slices_at(&x->parts, 0);
        size_t take = s->len < len ? s->len : len;
        if (!slices_push(&c->out, s->of, s->at, take)) return NGHTTP2_ERR_CALLBACK_FAILURE;
        exchange_sent(x, take);
        len -= take;
    }
    return 0;
}

static ssize_t frame_length(nghttp2_session *h2, uint8_t type, int32_t stream,
                            int32_t session_window, int32_t stream_window, uint32_t max,
                            void *opaque) {
    (void)h2;
    (void)type;
    (void)stream;
    (void)opaque;
    int64_t n = max;
    if (n > session_window) n = session_window;
    if (n > stream_window) n = stream_window;
    return (ssize_t)(n > 0 ? n : 1);
}

static void say_goodbye(nghttp2_session *h2) {
    nghttp2_submit_goaway(h2, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(h2),
                          NGHTTP2_NO_ERROR, NULL, 0);
}

static void go_away(exchange *x) {
    say_goodbye(x->conn->h2);
    x->has_cut = false;
    x->cut_done = true;
}

static void act_on_cut(exchange *x) {
    connection *c = x->conn;
    x->cut_done = true;
    switch (x->cut_how) {
    case EXCHANGE_CUT_CLOSE:
    case EXCHANGE_CUT_RESET:
        c->refused = true;
        c->close_after = true;
        c->reset_after = x->cut_how == EXCHANGE_CUT_RESET;
        break;
    case EXCHANGE_CUT_GOAWAY:
        go_away(x);
        break;
    default:
        h2_abort(x, x->cut_how);
    }
}

static ssize_t on_read(nghttp2_session *h2, int32_t stream, uint8_t *room, size_t length,
                       uint32_t *flags, nghttp2_data_source *source, void *opaque) {
    (void)h2;
    (void)stream;
    (void)room;
    (void)opaque;
    exchange *x = source->ptr;
    size_t n = exchange_may_send(x);
    if (n > length) n = length;
    if (x->has_cut && x->body_out >= x->cut_at && n == 0) {
        x->deferred = true;
        return NGHTTP2_ERR_DEFERRED; /* h2_pump acts on the cut */
    }
    bool last = x->state == EXCHANGE_GIVEN && n == x->parts.bytes;
    if (n == 0 && !last) {
        x->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (last) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static nghttp2_nv pair(const char *name, size_t name_len, const char *value, size_t value_len) {
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, name_len,
                        value_len, NGHTTP2_NV_FLAG_NONE};
}

void h2_answer(exchange *x) {
    connection *c = x->conn;
    if (c->dead || x->head_out) return;
    if (x->has_cut && x->cut_at == 0) {
        if (x->cut_how != EXCHANGE_CUT_GOAWAY) {
            act_on_cut(x);
            return;
        }
        go_away(x);
    }
    nghttp2_nv *nv = mem_array(x->answer_header_count + 3, sizeof *nv);
    if (!nv) {
        h2_abort(x, EXCHANGE_CUT_RST_STREAM);
        return;
    }
    char status[12], length[24];
    size_t n = 0;
    int len = snprintf(status, sizeof status, "%u", x->status);
    nv[n++] = pair(":status", 7, status, (size_t)len);
    for (uint32_t i = 0; i < x->answer_header_count; i++) {
        const header_place *p = &x->answer_headers[i];
        nv[n++] =
            pair(x->texts.data + p->name, p->name_len, x->texts.data + p->value, p->value_len);
    }
    const char *date = server_date(c->srv, x->date_offset_ms);
    nv[n++] = pair("date", 4, date, strlen(date));
    if (x->has_length && x->status != 204 && x->status != 304) {
        len = snprintf(length, sizeof length, "%llu", (unsigned long long)x->length);
        nv[n++] = pair("content-length", 14, length, (size_t)len);
    }
    nghttp2_data_provider body = {.source.ptr = x, .read_callback = on_read};
    bool empty = x->no_body || (x->state == EXCHANGE_GIVEN && x->parts.bytes == 0);
    x->head_out = true;
    if (conduct_last_answer(c)) say_goodbye(c->h2);
    nghttp2_submit_response(c->h2, x->stream, nv, n, empty ? NULL : &body);
    mem_free(nv);
}

void h2_more(exchange *x) {
    if (x->deferred && !x->conn->dead) {
        x->deferred = false;
        nghttp2_session_resume_data(x->conn->h2, x->stream);
    }
}

void h2_abort(exchange *x, exchange_cut how) {
    if (x->conn->dead) return;
    uint32_t code = how == EXCHANGE_CUT_REFUSED ? NGHTTP2_REFUSED_STREAM : NGHTTP2_INTERNAL_ERROR;
    nghttp2_submit_rst_stream(x->conn->h2, NGHTTP2_FLAG_NONE, x->stream, code);
}

static void act_on_cuts(connection *c) {
    exchange *next;
    for (exchange *x = c->exchanges; x; x = next) {
        next = x->next;
        if (x->has_cut && !x->cut_done && x->head_out && x->body_out >= x->cut_at) act_on_cut(x);
        if (x->cut_done && !x->has_cut) h2_more(x);
    }
}

bool h2_pump(connection *c) {
    if (!c->h2) return true;
    int rc = nghttp2_session_send(c->h2);
    act_on_cuts(c);
    if (rc == 0) rc = nghttp2_session_send(c->h2);
    if (rc != 0) return false;
    if (!nghttp2_session_want_read(c->h2) && !nghttp2_session_want_write(c->h2))
        c->close_after = true;
    return true;
}

bool h2_input(connection *c, const char *bytes, size_t len) {
    return nghttp2_session_mem_recv(c->h2, (const uint8_t *)bytes, len) >= 0;
}

bool h2_start(connection *c) {
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    if (nghttp2_session_callbacks_new(&callbacks) != 0) return false;
    if (nghttp2_option_new(&option) != 0) {
        nghttp2_session_callbacks_del(callbacks);
        return false;
    }
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_send_callback(callbacks, on_send);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, on_send_data);
    nghttp2_session_callbacks_set_data_source_read_length_callback(callbacks, frame_length);
    int rc = nghttp2_session_server_new2(&c->h2, callbacks, c, option);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    if (rc != 0) return false;
    const server_conduct *conduct = &c->srv->conduct;
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
         conduct->streams ? conduct->streams : c->srv->options.limits.streams},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, conduct->window ? conduct->window : WINDOW_STREAM},
        {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, FRAME_MAX},
    };
    if (nghttp2_submit_settings(c->h2, NGHTTP2_FLAG_NONE, settings,
                                sizeof settings / sizeof settings[0]) != 0 ||
        (!conduct->window && nghttp2_session_set_local_window_size(c->h2, NGHTTP2_FLAG_NONE, 0,
                                                                   WINDOW_CONNECTION) != 0))
        return false;
    connection_ready(c);
    return true;
}

void h2_free(connection *c) {
    if (c->h2) nghttp2_session_del(c->h2);
    c->h2 = NULL;
}

#include "weir/http.h"

#include <ctype.h>
#include <curl/curl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* Idle easy handles kept for the next request: an easy handle with its buffers costs 20 us. */
#define SPARE_MAX 16u
/* All response headers together; a longer answer is refused. */
#define HEADER_BYTES_MAX 65536u
#define BODY_FIRST 16384u
#define NS_PER_MS 1000000

struct weir_http_response {
    weir_status status;
    uint32_t http_status;
    const char *text;
    char *body;
    uint64_t len, capacity;
    char *headers; /* raw header lines of the last header block, each ended by "\r\n" */
    uint32_t headers_len, headers_capacity;
    uint64_t wire_bytes;
    const weir_http_memory *memory;
};

struct weir_http_request {
    weir_http *http;
    weir_http_request *prev, *next;
    CURL *easy;
    struct curl_slist *header_list;
    weir_str *body; /* own copy of the segment list, not of the bytes */
    uint32_t body_count, body_index;
    uint64_t body_offset, response_max;
    int64_t deadline_ns;
    weir_status abort_status; /* why a callback stopped the transfer */
    void (*done)(void *opaque, weir_http_response *response);
    weir_status (*data)(void *opaque, weir_str bytes);
    char *(*alloc)(void *opaque, uint64_t size, uint64_t *capacity);
    void *opaque;
    weir_http_response response;
    char error[CURL_ERROR_SIZE];
};

struct weir_http {
    CURLM *multi;
    weir_http_request *first; /* under way, unordered */
    uint32_t active;
    uint32_t spare_count;
    CURL *spare[SPARE_MAX];
    weir_http_config config;
    char *proxy, *ca_bundle, *user_agent;
    bool driving, freeing;
    atomic_bool woken;
};

static pthread_once_t global_once = PTHREAD_ONCE_INIT;
static CURLcode global_result;

static void global_init(void);
static bool dup_text(char **out, const char *text);
static bool request_setup(weir_http_request *q, const weir_http_args *args);
static bool request_headers(weir_http_request *q, const weir_http_args *args);
static void request_body(weir_http_request *q, const weir_http_args *args);
static void request_free(weir_http_request *q);
static void complete(weir_http *http, weir_http_request *q, weir_status status, const char *text);
static void complete_curl(weir_http *http, weir_http_request *q, CURLcode code);
static uint32_t expire(weir_http *http, int64_t *next_ns);
static uint32_t collect(weir_http *http);
static size_t on_header(char *bytes, size_t size, size_t count, void *opaque);
static size_t on_body(char *bytes, size_t size, size_t count, void *opaque);
static size_t on_send(char *out, size_t size, size_t count, void *opaque);
static int on_seek(void *opaque, curl_off_t offset, int origin);
static char *default_alloc(void *opaque, uint64_t size, uint64_t *capacity);
static int64_t now_ns(void);

weir_http *weir_http_new(const weir_http_config *config) {
    pthread_once(&global_once, global_init);
    if (global_result != CURLE_OK) return NULL;
    weir_http *http = calloc(1, sizeof *http);
    if (!http) return NULL;
    http->config = *config;
    if (!http->config.max_connections) http->config.max_connections = 64;
    if (!http->config.connect_timeout_ms) http->config.connect_timeout_ms = 10000;
    if (!http->config.memory.alloc) {
        http->config.memory.alloc = default_alloc;
        http->config.memory.release = free;
    }
    http->multi = curl_multi_init();
    if (!http->multi || !dup_text(&http->proxy, config->proxy) ||
        !dup_text(&http->ca_bundle, config->ca_bundle) ||
        !dup_text(&http->user_agent, config->user_agent ? config->user_agent : "weir")) {
        weir_http_free(http);
        return NULL;
    }
    long connections = (long)http->config.max_connections;
    curl_multi_setopt(http->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, connections);
    curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, connections);
    curl_multi_setopt(http->multi, CURLMOPT_PIPELINING,
                      config->http_version == WEIR_HTTP_2 ? CURLPIPE_MULTIPLEX : CURLPIPE_NOTHING);
    return http;
}

void weir_http_free(weir_http *http) {
    if (!http) return;
    http->freeing = true; /* callbacks cannot start anything new */
    while (http->first) complete(http, http->first, WEIR_E_CANCELLED, "the client was closed");
    while (http->spare_count > 0) curl_easy_cleanup(http->spare[--http->spare_count]);
    if (http->multi) curl_multi_cleanup(http->multi);
    free(http->proxy);
    free(http->ca_bundle);
    free(http->user_agent);
    free(http);
}

weir_status weir_http_start(weir_http *http, const weir_http_args *args, weir_http_request **out) {
    if (http->freeing || !args->done || !args->url || !args->method) return WEIR_E_INVALID_ARG;
    weir_http_request *q = calloc(1, sizeof *q);
    if (!q) return WEIR_E_NOMEM;
    q->http = http;
    q->done = args->done;
    q->data = args->data;
    q->alloc = args->alloc;
    q->opaque = args->opaque;
    q->deadline_ns = args->deadline_ns;
    q->response_max = args->response_max ? args->response_max : WEIR_HTTP_RESPONSE_MAX;
    q->response.memory = &http->config.memory;
    q->response.text = "";
    q->easy = http->spare_count > 0 ? http->spare[--http->spare_count] : curl_easy_init();
    if (!q->easy || !request_setup(q, args) ||
        curl_multi_add_handle(http->multi, q->easy) != CURLM_OK) {
        request_free(q);
        return WEIR_E_NOMEM;
    }
    q->next = http->first;
    if (q->next) q->next->prev = q;
    http->first = q;
    http->active++;
    if (out) *out = q;
    return WEIR_OK;
}

void weir_http_cancel(weir_http *http, weir_http_request *request) {
    complete(http, request, WEIR_E_CANCELLED, "the request was cancelled");
}

uint32_t weir_http_drive(weir_http *http, int64_t deadline_ns) {
    if (http->driving) return 0; /* from inside a callback: the outer drive does the work */
    http->driving = true;
    uint32_t completed = 0;
    for (;;) {
        int running = 0;
        curl_multi_perform(http->multi, &running);
        completed += collect(http);
        int64_t until = deadline_ns;
        completed += expire(http, &until);
        /* The flag, not curl's wake-up, says that somebody called: curl swallows a wake-up that
         * arrives together with socket activity. */
        if (atomic_exchange(&http->woken, false) || completed > 0) break;
        int64_t now = now_ns();
        if (now >= deadline_ns) break;
        if (now >= until) continue;
        int64_t wait_ms = (until - now + NS_PER_MS - 1) / NS_PER_MS;
        int timeout = wait_ms > INT_MAX ? INT_MAX : (int)wait_ms;
        if (curl_multi_poll(http->multi, NULL, 0, timeout, NULL) != CURLM_OK) break;
    }
    http->driving = false;
    return completed;
}

uint32_t weir_http_active(const weir_http *http) {
    return http->active;
}

void weir_http_wakeup(weir_http *http) {
    atomic_store(&http->woken, true);
    curl_multi_wakeup(http->multi);
}

weir_status weir_http_result(const weir_http_response *r) {
    return r->status;
}

const char *weir_http_error_text(const weir_http_response *r) {
    return r->text;
}

uint32_t weir_http_status(const weir_http_response *r) {
    return r->http_status;
}

weir_str weir_http_header_value(const weir_http_response *r, const char *name) {
    weir_str found = {NULL, 0};
    size_t name_len = strlen(name);
    const char *p = r->headers, *end = p ? p + r->headers_len : NULL;
    while (p && p < end) {
        const char *line_end = memchr(p, '\n', (size_t)(end - p));
        if (!line_end) line_end = end;
        const char *stop = line_end;
        if ((size_t)(stop - p) > name_len && p[name_len] == ':' &&
            strncasecmp(p, name, name_len) == 0) {
            const char *value = p + name_len + 1;
            while (value < stop && (*value == ' ' || *value == '\t')) value++;
            while (stop > value && isspace((unsigned char)stop[-1])) stop--;
            found.ptr = value;
            found.len = (uint64_t)(stop - value);
        }
        p = line_end < end ? line_end + 1 : end;
    }
    return found;
}

weir_str weir_http_body(const weir_http_response *r) {
    weir_str body = {r->body ? r->body : "", r->body ? r->len : 0};
    return body;
}

uint64_t weir_http_wire_bytes(const weir_http_response *r) {
    return r->wire_bytes;
}

char *weir_http_take_body(weir_http_response *r, uint64_t *len, uint64_t *capacity) {
    char *body = r->body;
    *len = body ? r->len : 0;
    *capacity = body ? r->capacity : 0;
    r->body = NULL;
    return body;
}

static void global_init(void) {
    global_result = curl_global_init(CURL_GLOBAL_ALL);
}

static bool dup_text(char **out, const char *text) {
    *out = text ? strdup(text) : NULL;
    return *out || !text;
}

static bool request_setup(weir_http_request *q, const weir_http_args *args) {
    CURL *e = q->easy;
    const weir_http *h = q->http;
    bool https = strncasecmp(args->url, "https:", 6) == 0;
    long version = CURL_HTTP_VERSION_1_1;
    if (h->config.http_version == WEIR_HTTP_2)
        version = https ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE;
    long verify = h->config.tls_verify_off ? 0 : 1;
    bool ok = curl_easy_setopt(e, CURLOPT_URL, args->url) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_HTTP_VERSION, version) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_USERAGENT, h->user_agent) == CURLE_OK &&
              (!h->proxy || curl_easy_setopt(e, CURLOPT_PROXY, h->proxy) == CURLE_OK) &&
              (!h->ca_bundle || curl_easy_setopt(e, CURLOPT_CAINFO, h->ca_bundle) == CURLE_OK) &&
              curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, verify) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, verify * 2) == CURLE_OK;
    if (!ok) return false;
    curl_easy_setopt(e, CURLOPT_PRIVATE, q);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, q->error);
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L); /* the URL was signed as it stands */
    curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(e, CURLOPT_BUFFERSIZE, 65536L);
    curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)h->config.connect_timeout_ms);
    if (h->config.http_version == WEIR_HTTP_2) curl_easy_setopt(e, CURLOPT_PIPEWAIT, 1L);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, q);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, q);
    if (args->body_count > 0) {
        q->body = calloc(args->body_count, sizeof *q->body);
        if (!q->body) return false;
        memcpy(q->body, args->body, args->body_count * sizeof *q->body);
        q->body_count = args->body_count;
    }
    request_body(q, args);
    return request_headers(q, args);
}

static bool request_headers(weir_http_request *q, const weir_http_args *args) {
    for (uint32_t i = 0; i < args->header_count; i++) {
        const weir_http_header *h = &args->headers[i];
        size_t size = (size_t)h->name.len + (size_t)h->value.len + 4;
        if (memchr(h->value.ptr, '\n', (size_t)h->value.len) ||
            memchr(h->value.ptr, '\r', (size_t)h->value.len))
            return false; /* a value that would smuggle in a header of its own */
        char *line = malloc(size);
        if (!line) return false;
        /* "Name;" is curl's way to say a header with an empty value. */
        if (h->value.len == 0)
            snprintf(line, size, "%.*s;", (int)h->name.len, h->name.ptr);
        else
            snprintf(line, size, "%.*s: %.*s", (int)h->name.len, h->name.ptr, (int)h->value.len,
                     h->value.ptr);
        struct curl_slist *list = curl_slist_append(q->header_list, line);
        free(line);
        if (!list) return false;
        q->header_list = list;
    }
    /* Without these, curl waits a second for "100 Continue" and labels bodies as forms. */
    static const char *const silenced[] = {"Expect:", "Accept:", "Content-Type:"};
    for (size_t i = 0; i < sizeof silenced / sizeof silenced[0]; i++) {
        bool given = false;
        size_t len = strlen(silenced[i]) - 1;
        for (uint32_t k = 0; k < args->header_count; k++)
            given |= args->headers[k].name.len == len &&
                     strncasecmp(args->headers[k].name.ptr, silenced[i], len) == 0;
        if (given) continue;
        struct curl_slist *list = curl_slist_append(q->header_list, silenced[i]);
        if (!list) return false;
        q->header_list = list;
    }
    return curl_easy_setopt(q->easy, CURLOPT_HTTPHEADER, q->header_list) == CURLE_OK;
}

static void request_body(weir_http_request *q, const weir_http_args *args) {
    CURL *e = q->easy;
    bool get = strcmp(args->method, "GET") == 0;
    if (q->body_count == 0 && (get || strcmp(args->method, "HEAD") == 0)) {
        curl_easy_setopt(e, get ? CURLOPT_HTTPGET : CURLOPT_NOBODY, 1L);
        return;
    }
    uint64_t size = 0;
    for (uint32_t i = 0; i < q->body_count; i++) size += q->body[i].len;
    curl_easy_setopt(e, CURLOPT_POST, 1L);
    curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size);
    if (strcmp(args->method, "POST") != 0) curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, args->method);
    if (q->body_count <= 1) { /* one segment goes out together with the header */
        curl_easy_setopt(e, CURLOPT_POSTFIELDS, q->body_count ? q->body[0].ptr : "");
    } else {
        curl_easy_setopt(e, CURLOPT_READFUNCTION, on_send);
        curl_easy_setopt(e, CURLOPT_READDATA, q);
        curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, on_seek);
        curl_easy_setopt(e, CURLOPT_SEEKDATA, q);
    }
}

static void request_free(weir_http_request *q) {
    if (q->easy) {
        weir_http *http = q->http;
        if (http->spare_count < SPARE_MAX && !http->freeing) {
            curl_easy_reset(q->easy);
            http->spare[http->spare_count++] = q->easy;
        } else {
            curl_easy_cleanup(q->easy);
        }
    }
    curl_slist_free_all(q->header_list);
    if (q->response.body) q->http->config.memory.release(q->response.body);
    free(q->response.headers);
    free(q->body);
    free(q);
}

/* Takes a request out of everything first, so that its callback may do what it likes. */
static void complete(weir_http *http, weir_http_request *q, weir_status status, const char *text) {
    curl_multi_remove_handle(http->multi, q->easy);
    if (http->first == q)
        http->first = q->next;
    else
        q->prev->next = q->next;
    if (q->next) q->next->prev = q->prev;
    http->active--;

    long code = 0, header_bytes = 0;
    curl_off_t body_bytes = 0;
    curl_easy_getinfo(q->easy, CURLINFO_RESPONSE_CODE, &code);
    curl_easy_getinfo(q->easy, CURLINFO_HEADER_SIZE, &header_bytes);
    curl_easy_getinfo(q->easy, CURLINFO_SIZE_DOWNLOAD_T, &body_bytes);
    q->response.http_status = code > 0 ? (uint32_t)code : 0;
    q->response.wire_bytes = (uint64_t)header_bytes + (uint64_t)body_bytes;
    q->response.status = status;
    q->response.text = text;
    q->done(q->opaque, &q->response);
    request_free(q);
}

static void complete_curl(weir_http *http, weir_http_request *q, CURLcode code) {
    weir_status status = WEIR_E_IO;
    if (q->error[0] != '\0' && isupper((unsigned char)q->error[0]) &&
        !isupper((unsigned char)q->error[1]))
        q->error[0] = (char)tolower((unsigned char)q->error[0]); /* our texts begin in lower case */
    const char *text = q->error[0] ? q->error : curl_easy_strerror(code);
    if (code == CURLE_OK) {
        status = WEIR_OK;
        text = "";
    } else if (q->abort_status != WEIR_OK) {
        status = q->abort_status;
        if (status == WEIR_E_TOO_LARGE) text = "the answer is longer than allowed";
        if (status == WEIR_E_NOMEM) text = "out of memory for the answer";
    } else if (code == CURLE_OPERATION_TIMEDOUT) {
        status = WEIR_E_TIMEOUT;
    } else if (code == CURLE_OUT_OF_MEMORY) {
        status = WEIR_E_NOMEM;
    } else if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE) {
        status = WEIR_E_AUTH;
    }
    complete(http, q, status, text);
}

/* Ends requests that are past their deadline, also those that still wait for a connection (curl's
 * own timer does not cover these), and narrows `next_ns` to the earliest deadline left. */
static uint32_t expire(weir_http *http, int64_t *next_ns) {
    uint32_t expired = 0;
    int64_t now = now_ns();
    for (weir_http_request *q = http->first; q;) {
        if (q->deadline_ns != 0 && q->deadline_ns <= now) {
            complete(http, q, WEIR_E_TIMEOUT, "no complete answer before the deadline");
            expired++;
            q = http->first; /* the callback may have changed the list anywhere */
            continue;
        }
        if (q->deadline_ns != 0 && q->deadline_ns < *next_ns) *next_ns = q->deadline_ns;
        q = q->next;
    }
    return expired;
}

static uint32_t collect(weir_http *http) {
    uint32_t completed = 0;
    int left = 0;
    CURLMsg *message;
    while ((message = curl_multi_info_read(http->multi, &left)) != NULL) {
        if (message->msg != CURLMSG_DONE) continue;
        char *private = NULL;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
        complete_curl(http, (weir_http_request *)(void *)private, message->data.result);
        completed++;
    }
    return completed;
}

static size_t on_header(char *bytes, size_t size, size_t count, void *opaque) {
    weir_http_request *q = opaque;
    weir_http_response *r = &q->response;
    size_t len = size * count;
    if (len >= 5 && memcmp(bytes, "HTTP/", 5) == 0) r->headers_len = 0; /* after a 1xx or a proxy */
    if (len > HEADER_BYTES_MAX - r->headers_len) {
        q->abort_status = WEIR_E_TOO_LARGE;
        return 0;
    }
    if (r->headers_len + len > r->headers_capacity) {
        uint32_t want = r->headers_capacity ? r->headers_capacity * 2 : 1024;
        while (want < r->headers_len + len) want *= 2;
        char *grown = realloc(r->headers, want);
        if (!grown) {
            q->abort_status = WEIR_E_NOMEM;
            return 0;
        }
        r->headers = grown;
        r->headers_capacity = want;
    }
    memcpy(r->headers + r->headers_len, bytes, len);
    r->headers_len += (uint32_t)len;
    return len;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *opaque) {
    weir_http_request *q = opaque;
    weir_http_response *r = &q->response;
    const weir_http_memory *m = &q->http->config.memory;
    size_t len = size * count;
    if (q->data) {
        long code = 0;
        curl_easy_getinfo(q->easy, CURLINFO_RESPONSE_CODE, &code);
        if (code >= 200 && code < 300) {
            weir_str piece = {bytes, len};
            q->abort_status = q->data(q->opaque, piece);
            return q->abort_status == WEIR_OK ? len : 0;
        }
    }
    if (len > q->response_max - r->len) {
        q->abort_status = WEIR_E_TOO_LARGE;
        return 0;
    }
    if (r->len + len > r->capacity) {
        /* The announced length makes one allocation the rule; without it the buffer doubles. */
        uint64_t want = r->capacity ? r->capacity * 2 : BODY_FIRST;
        curl_off_t announced = -1;
        if (!r->body) {
            curl_easy_getinfo(q->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &announced);
            if (announced > (curl_off_t)q->response_max) {
                q->abort_status = WEIR_E_TOO_LARGE;
                return 0;
            }
            if (announced > 0) want = (uint64_t)announced;
        }
        if (want < r->len + len) want = r->len + len;
        uint64_t capacity = 0;
        char *grown =
            q->alloc ? q->alloc(q->opaque, want, &capacity) : m->alloc(m->opaque, want, &capacity);
        if (!grown) {
            q->abort_status = WEIR_E_NOMEM;
            return 0;
        }
        if (r->body) {
            memcpy(grown, r->body, (size_t)r->len);
            m->release(r->body);
        }
        r->body = grown;
        r->capacity = capacity;
    }
    memcpy(r->body + r->len, bytes, len);
    r->len += len;
    return len;
}

static size_t on_send(char *out, size_t size, size_t count, void *opaque) {
    weir_http_request *q = opaque;
    size_t room = size * count, written = 0;
    while (written < room && q->body_index < q->body_count) {
        const weir_str *s = &q->body[q->body_index];
        size_t left = (size_t)(s->len - q->body_offset);
        size_t n = left < room - written ? left : room - written;
        if (n > 0) memcpy(out + written, s->ptr + q->body_offset, n);
        written += n;
        q->body_offset += n;
        if (q->body_offset == s->len) {
            q->body_index++;
            q->body_offset = 0;
        }
    }
    return written;
}

/* curl rewinds when a kept connection turns out to be dead before the first answer byte. */
static int on_seek(void *opaque, curl_off_t offset, int origin) {
    weir_http_request *q = opaque;
    if (origin != SEEK_SET || offset < 0) return CURL_SEEKFUNC_CANTSEEK;
    uint64_t skip = (uint64_t)offset;
    q->body_index = 0;
    while (q->body_index < q->body_count && skip >= q->body[q->body_index].len)
        skip -= q->body[q->body_index++].len;
    q->body_offset = skip;
    return CURL_SEEKFUNC_OK;
}

static char *default_alloc(void *opaque, uint64_t size, uint64_t *capacity) {
    (void)opaque;
    *capacity = size;
    return malloc((size_t)size);
}

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

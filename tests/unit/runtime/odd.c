/*
 * A plugin of components that a healthy runtime must survive: see odd.json.
 */
#include <pthread.h>
#include <stdint.h>

#include "weir/sdk.h"

typedef struct odd {
    weir_ctx *ctx;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int cancelled, woken;
    uint32_t writes;
} odd;

static weir_status odd_create(weir_create *args) {
    odd *self = weir_zalloc(args->ctx, sizeof *self);
    if (self == NULL) return WEIR_E_NOMEM;
    self->ctx = args->ctx;
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->changed, NULL);
    args->self = self;
    return WEIR_OK;
}

static void odd_destroy(void *opaque) {
    odd *self = opaque;
    pthread_mutex_destroy(&self->lock);
    pthread_cond_destroy(&self->changed);
    weir_free(self->ctx, self);
}

static void set(odd *self, int *what) {
    pthread_mutex_lock(&self->lock);
    *what = 1;
    pthread_cond_broadcast(&self->changed);
    pthread_mutex_unlock(&self->lock);
}

static void odd_cancel(void *opaque) {
    odd *self = opaque;
    set(self, &self->cancelled);
}

static void odd_wakeup(void *opaque) {
    odd *self = opaque;
    set(self, &self->woken);
}

static weir_status odd_close(void *opaque, weir_close *args) {
    (void)opaque;
    (void)args;
    return WEIR_OK;
}

static weir_status source_open(void *opaque, weir_open *args) {
    (void)opaque;
    (void)args;
    return WEIR_OK;
}

static weir_status source_assign(void *opaque, weir_assign *args) {
    (void)opaque;
    (void)args;
    return WEIR_OK;
}

static weir_status source_poll(void *opaque, weir_poll *args) {
    odd *self = opaque;
    pthread_mutex_lock(&self->lock);
    while (!self->woken && !self->cancelled) pthread_cond_wait(&self->changed, &self->lock);
    self->woken = 0;
    pthread_mutex_unlock(&self->lock);
    args->next_ns = weir_mono_ns(self->ctx) + INT64_C(3600000000000);
    return WEIR_AGAIN;
}

static weir_status sink_open(void *opaque, weir_open *args) {
    odd *self = opaque;
    if (!weir_opt_is(self->ctx, "mode", "hang")) return WEIR_OK;
    pthread_mutex_lock(&self->lock);
    while (!self->cancelled) pthread_cond_wait(&self->changed, &self->lock);
    pthread_mutex_unlock(&self->lock);
    return weir_fail(self->ctx, args->error, WEIR_E_CANCELLED, 0, "cancelled in open");
}

static void write_flaky(odd *self, const weir_write *args) {
    uint32_t index[100];
    weir_status status[100];
    uint32_t n = 0;
    for (uint32_t i = 0; args->request->attempt == 0 && i < args->request->rows->count; i += 2) {
        index[n] = i;
        status[n++] = WEIR_E_IO;
    }
    weir_result result = {.struct_size = sizeof result,
                          .failed_index = index,
                          .failed_status = status,
                          .failed_count = n};
    weir_api_of(self->ctx)->task.write_done(self->ctx, args->token, &result);
}

static weir_status sink_write(void *opaque, weir_write *args) {
    odd *self = opaque;
    args->taken = args->request->rows->count;
    if (weir_opt_is(self->ctx, "mode", "fail")) {
        if (++self->writes == 3) {
            return weir_fail(self->ctx, args->error, WEIR_E_PERMISSION, WEIR_ERR_FATAL,
                             "the third request is one too many");
        }
        weir_write_ok(self->ctx, args->token);
    }
    if (weir_opt_is(self->ctx, "mode", "flaky")) write_flaky(self, args);
    return WEIR_OK;
}

static weir_status sink_flush(void *opaque, weir_flush *args) {
    odd *self = opaque;
    weir_flush_done(self->ctx, args->epoch, WEIR_OK, NULL);
    return WEIR_OK;
}

static const weir_source_ops sleeper_ops = {
    .struct_size = sizeof sleeper_ops,
    .create = odd_create,
    .destroy = odd_destroy,
    .open = source_open,
    .assign = source_assign,
    .poll = source_poll,
    .cancel = odd_cancel,
    .wakeup = odd_wakeup,
    .close = odd_close,
};
static const weir_component sleeper = {.struct_size = sizeof sleeper,
                                       .kind = WEIR_KIND_SOURCE,
                                       .name = "sleeper",
                                       .ops = &sleeper_ops};

static const weir_sink_ops sink_ops = {
    .struct_size = sizeof sink_ops,
    .create = odd_create,
    .destroy = odd_destroy,
    .open = sink_open,
    .write = sink_write,
    .flush = sink_flush,
    .cancel = odd_cancel,
    .close = odd_close,
};
static const weir_component oddsink = {
    .struct_size = sizeof oddsink, .kind = WEIR_KIND_SINK, .name = "oddsink", .ops = &sink_ops};

static const weir_component *const components[] = {&sleeper, &oddsink};
static const weir_plugin plugin = {
    .struct_size = sizeof plugin,
    .abi_minor = WEIR_ABI_MINOR,
    .id = "dev.weir.test.odd",
    .version = "0.1.0",
    .components = components,
    .component_count = 2,
};

WEIR_PLUGIN_ENTRY(plugin, 9)

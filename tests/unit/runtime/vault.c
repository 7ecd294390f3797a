/*
 * A plugin for the tests of references and live checks: each instance does what it is told in its
 * text or in its option `mode`.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "weir/sdk.h"
#include "weir_options_vault.h"

typedef struct vault {
    weir_ctx *ctx;
    atomic_bool cancelled;
    bool closed;
    unsigned calls;
    char answer[256];
} vault;

static void nap(void) {
    const struct timespec t = {.tv_nsec = 1000000};
    nanosleep(&t, NULL);
}

/* Until it is cancelled. */
static void wait_cancel(vault *v) {
    while (!atomic_load(&v->cancelled)) nap();
}

static weir_status create(weir_create *args) {
    vault *v = weir_zalloc(args->ctx, sizeof *v);
    if (v == NULL) return WEIR_E_NOMEM;
    v->ctx = args->ctx;
    args->self = v;
    return WEIR_OK;
}
static weir_status create_closed(weir_create *args) {
    weir_status status = create(args);
    if (status == WEIR_OK) ((vault *)args->self)->closed = true;
    return status;
}
static void destroy(void *self) {
    weir_free(((vault *)self)->ctx, self);
}
static weir_status open_instance(void *self, weir_open *args) {
    vault *v = self;
    if (args->role != WEIR_ROLE_CONTROL) return WEIR_E_INVALID_ARG;
    if (v->closed || weir_opt_is(v->ctx, "mode", "closed"))
        return weir_fail(v->ctx, args->error, WEIR_E_AUTH, 0, "the door is locked");
    return WEIR_OK;
}
static void cancel(void *self) {
    atomic_store(&((vault *)self)->cancelled, true);
}
static weir_status close_instance(void *self, weir_close *args) {
    (void)self, (void)args;
    return WEIR_OK;
}

/* ---- the reference ---- */

static weir_status resolve(void *self, weir_resolve *args) {
    vault *v = self;
    const char *colon = memchr(args->text.ptr, ':', (size_t)args->text.len);
    weir_str what = args->text, text = {"", 0};
    if (colon != NULL) {
        what.len = (uint64_t)(colon - what.ptr);
        text.ptr = colon + 1;
        text.len = args->text.len - what.len - 1;
    }
    v->calls++;
    snprintf(v->answer, sizeof v->answer, "%.*s", (int)text.len, text.ptr);
    args->kind = WEIR_RESOLVED_VALUE;
    args->bytes = weir_str_of(v->answer);
    if (weir_str_is(what, "value")) return WEIR_OK;
    if (weir_str_is(what, "calls")) {
        snprintf(v->answer, sizeof v->answer, "%u", v->calls);
        args->bytes = weir_str_of(v->answer);
        return WEIR_OK;
    }
    if (weir_str_is(what, "deadline")) {
        int64_t left = args->deadline_ns - weir_mono_ns(v->ctx);
        return left > 0 && left < 3600000000000 ? WEIR_OK : WEIR_E_INVALID_ARG;
    }
    if (weir_str_is(what, "file")) {
        args->kind = WEIR_RESOLVED_FILE;
        return WEIR_OK;
    }
    if (weir_str_is(what, "kind")) {
        args->kind = 9;
        return WEIR_OK;
    }
    if (weir_str_is(what, "nowhere")) {
        args->bytes.ptr = NULL;
        args->bytes.len = 5;
        return WEIR_OK;
    }
    if (weir_str_is(what, "denied")) {
        weir_fail(v->ctx, args->error, WEIR_E_PERMISSION, 0, "not for you");
        weir_fail_hint(v->ctx, args->error, "ask nicely");
        return WEIR_E_PERMISSION;
    }
    if (weir_str_is(what, "busy"))
        return weir_fail(v->ctx, args->error, WEIR_E_THROTTLED, WEIR_ERR_RETRYABLE, "too many");
    if (weir_str_is(what, "silent")) return WEIR_E_IO;
    if (weir_str_is(what, "odd")) return WEIR_AGAIN;
    if (weir_str_is(what, "slow")) {
        wait_cancel(v);
        return WEIR_E_CANCELLED;
    }
    if (weir_str_is(what, "hang"))
        for (;;) nap();
    return weir_fail(v->ctx, args->error, WEIR_E_NOT_FOUND, 0, "there is no such thing");
}

static const weir_reference_ops reference_ops = {.struct_size = sizeof reference_ops,
                                                 .create = create,
                                                 .destroy = destroy,
                                                 .open = open_instance,
                                                 .resolve = resolve,
                                                 .cancel = cancel,
                                                 .close = close_instance};
static const weir_reference_ops closed_ops = {.struct_size = sizeof closed_ops,
                                              .create = create_closed,
                                              .destroy = destroy,
                                              .open = open_instance,
                                              .resolve = resolve,
                                              .cancel = cancel,
                                              .close = close_instance};

/* ---- the source ---- */

static weir_status check(void *self, weir_check_live *args) {
    vault *v = self;
    weir_str mode = weir_opt_str(v->ctx, "mode");
    if (weir_str_is(mode, "lines")) {
        args->report(args, WEIR_OK, weir_str_of("first"));
        weir_fail(v->ctx, args->error, WEIR_E_PERMISSION, 0, "second is denied");
        weir_fail_hint(v->ctx, args->error, "ask nicely");
        args->report(args, WEIR_E_PERMISSION, weir_str_of(""));
        args->report(args, WEIR_E_IO, weir_str_of("third"));
        return WEIR_E_PERMISSION;
    }
    if (weir_str_is(mode, "quiet")) return WEIR_OK;
    if (weir_str_is(mode, "fails"))
        return weir_fail(v->ctx, args->error, WEIR_E_THROTTLED, 0, "too many");
    if (weir_str_is(mode, "wordless")) return WEIR_E_IO;
    if (weir_str_is(mode, "slow")) {
        args->report(args, WEIR_OK, weir_str_of("first"));
        wait_cancel(v);
        return WEIR_E_CANCELLED;
    }
    if (weir_str_is(mode, "late")) {
        wait_cancel(v);
        return weir_fail(v->ctx, args->error, WEIR_E_TIMEOUT, 0, "at last");
    }
    for (;;) nap();
}

static const weir_component_check check_table = {.struct_size = sizeof check_table, .check = check};

static const void *extension(void *self, const char *name) {
    vault *v = self;
    if (weir_opt_is(v->ctx, "mode", "none")) return NULL;
    return strcmp(name, WEIR_COMPONENT_CHECK) == 0 ? &check_table : NULL;
}
static weir_status assign(void *self, weir_assign *args) {
    (void)self, (void)args;
    return WEIR_OK;
}
static weir_status poll(void *self, weir_poll *args) {
    (void)self, (void)args;
    return WEIR_END;
}

static const weir_source_ops source_ops = {.struct_size = sizeof source_ops,
                                           .create = create,
                                           .destroy = destroy,
                                           .open = open_instance,
                                           .assign = assign,
                                           .poll = poll,
                                           .cancel = cancel,
                                           .close = close_instance,
                                           .get_extension = extension};

static const weir_component vault_component = {.struct_size = sizeof vault_component,
                                               .kind = WEIR_KIND_REFERENCE,
                                               .name = "vault",
                                               .ops = &reference_ops};
static const weir_component closed_component = {.struct_size = sizeof closed_component,
                                                .kind = WEIR_KIND_REFERENCE,
                                                .name = "closed",
                                                .ops = &closed_ops};
static const weir_component probe_component = {.struct_size = sizeof probe_component,
                                               .kind = WEIR_KIND_SOURCE,
                                               .name = "probe",
                                               .capabilities = WEIR_CAP_BOUNDED,
                                               .ops = &source_ops};
static const weir_component *const components[] = {&vault_component, &closed_component,
                                                   &probe_component};

static const weir_plugin plugin = {.struct_size = sizeof plugin,
                                   .abi_minor = WEIR_ABI_MINOR,
                                   .id = WEIR_PLUGIN_ID,
                                   .version = WEIR_PLUGIN_VERSION,
                                   .components = components,
                                   .component_count = 3};

WEIR_PLUGIN_ENTRY(plugin, WEIR_PLUGIN_REQUIRES_MINOR)

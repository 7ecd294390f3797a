/*
 * A plugin that uses the AWS layer of the installed SDK: it only has to build and to load.
 */
#include "weir/aws.h"
#include "weir/sdk.h"
#include "weir_options_cloud.h"

static weir_status cloud_create(weir_create *args) {
    args->self = args->ctx;
    return WEIR_OK;
}

static void cloud_destroy(void *self) {
    (void)self;
}

static weir_status cloud_open(void *self, weir_open *args) {
    (void)self;
    (void)args;
    return WEIR_OK;
}

static weir_status cloud_assign(void *self, weir_assign *args) {
    (void)self;
    (void)args;
    return WEIR_OK;
}

static weir_status cloud_poll(void *self, weir_poll *args) {
    weir_ctx *ctx = self;
    weir_aws_signer *signer = weir_aws_signer_new(); /* takes the library, libcrypto and all */
    weir_aws_signer_free(signer);
    if (weir_opt_is_set(ctx, OPT_CLOUD_ENDPOINT)) return WEIR_END;
    return weir_fail(ctx, args->error, WEIR_E_INVALID_ARG, WEIR_ERR_CONFIG, "no endpoint");
}

static void cloud_cancel(void *self) {
    (void)self;
}

static weir_status cloud_close(void *self, weir_close *args) {
    (void)self;
    (void)args;
    return WEIR_OK;
}

static const weir_source_ops ops = {
    .struct_size = sizeof ops,
    .create = cloud_create,
    .destroy = cloud_destroy,
    .open = cloud_open,
    .assign = cloud_assign,
    .poll = cloud_poll,
    .cancel = cloud_cancel,
    .close = cloud_close,
};

static const weir_component cloud = {
    .struct_size = sizeof cloud,
    .kind = WEIR_KIND_SOURCE,
    .name = "cloud",
    .ops = &ops,
};
static const weir_component *const components[] = {&cloud};
static const weir_plugin plugin = {
    .struct_size = sizeof plugin,
    .abi_minor = WEIR_ABI_MINOR,
    .id = WEIR_PLUGIN_ID,
    .version = WEIR_PLUGIN_VERSION,
    .components = components,
    .component_count = 1,
};

WEIR_PLUGIN_ENTRY(plugin, WEIR_PLUGIN_REQUIRES_MINOR)

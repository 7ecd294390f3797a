#include "kinesis.h"

static weir_status source_validate(weir_validate *args) {
    kinesis_options options;
    weir_status status = options_read(args->ctx, &options, args->error);
    if (status == WEIR_OK) options_free(args->ctx, &options);
    return status;
}

static const weir_component source = {.struct_size = sizeof source,
                                      .kind = WEIR_KIND_SOURCE,
                                      .name = "kinesis",
                                      .capabilities = WEIR_CAP_BOUNDED | WEIR_CAP_REPLAYABLE,
                                      .ops = &kinesis_source_ops,
                                      .validate = source_validate};

static const weir_component *const components[] = {&source};

static const weir_plugin plugin = {.struct_size = sizeof plugin,
                                   .abi_minor = WEIR_ABI_MINOR,
                                   .id = "dev.weir.kinesis",
                                   .version = "0.1.0",
                                   .components = components,
                                   .component_count = 1};

WEIR_PLUGIN_ENTRY(plugin, 9)

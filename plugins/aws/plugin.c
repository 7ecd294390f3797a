#include "reference.h"
#include "weir_options_aws.h"

static const weir_component secretsmanager = {.struct_size = sizeof secretsmanager,
                                              .kind = WEIR_KIND_REFERENCE,
                                              .name = "secretsmanager",
                                              .ops = &secretsmanager_ops};
static const weir_component s3file = {.struct_size = sizeof s3file,
                                      .kind = WEIR_KIND_REFERENCE,
                                      .name = "s3file",
                                      .ops = &s3file_ops};

static const weir_component *const components[] = {&secretsmanager, &s3file};

static const weir_plugin plugin = {.struct_size = sizeof plugin,
                                   .abi_minor = WEIR_ABI_MINOR,
                                   .id = WEIR_PLUGIN_ID,
                                   .version = WEIR_PLUGIN_VERSION,
                                   .components = components,
                                   .component_count = 2};

WEIR_PLUGIN_ENTRY(plugin, WEIR_PLUGIN_REQUIRES_MINOR)

#include "transform.h"

static const weir_component *const components[] = {&transform_filter, &transform_sample};

const weir_plugin transform_plugin = {
    .struct_size = sizeof(weir_plugin),
    .abi_minor = WEIR_ABI_MINOR,
    .id = TRANSFORM_ID,
    .version = TRANSFORM_VERSION,
    .components = components,
    .component_count = sizeof components / sizeof components[0],
};

WEIR_PLUGIN_ENTRY(transform_plugin, 9)

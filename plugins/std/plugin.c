#include "std.h"

static const weir_component *const components[] = {
    &std_generator, &std_file_source, &std_file_sink, &std_stdin, &std_stdout, &std_blackhole};

const weir_plugin std_plugin = {
    .struct_size = sizeof(weir_plugin),
    .abi_minor = WEIR_ABI_MINOR,
    .id = STD_ID,
    .version = STD_VERSION,
    .components = components,
    .component_count = sizeof components / sizeof components[0],
};

WEIR_PLUGIN_ENTRY(std_plugin, 9)

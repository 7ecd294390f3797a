/*
 * core/loader/version.h - versions: of the ABI, and of plugins.
 *
 * Private to the loader.
 */
#ifndef WEIR_LOADER_VERSION_H
#define WEIR_LOADER_VERSION_H

#include "loader/loader.h"

/* The first release of a major, 1.0, as `abi_minor`; drafts 0.9, 0.10 are 9, 10. See weir/types.h.
 */
#define VERSION_FIRST_RELEASE 1000u

/* "0.9" -> 9, "1.2" -> 1002. False if it is no ABI version. */
bool version_abi_minor(weir_str text, uint32_t *minor);

/*
 * Can a host of `host_minor` (its text is `host_text`) serve the plugin that says this of itself?
 * WEIR_OK, or WEIR_E_INCOMPATIBLE with a text that names both versions. The host's are parameters
 * so that tests can be another host. [any]
 */
weir_status version_check_abi(const note *plugin, uint32_t host_minor, const char *host_text,
                              weir_error *err);

/* The platform this host is, as plugin.json writes it: "linux-x86_64". */
const char *version_platform(void);

/* Order of semantic versions, build metadata ignored: below 0, 0, above 0. What is not one sorts
 * before all that are. */
int version_compare(weir_str a, weir_str b);

#endif

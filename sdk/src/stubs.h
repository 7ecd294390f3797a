/*
 * sdk/src/stubs.h - what stands in a slot that a host does not have.
 *
 * Private to libweir_sdk.a.
 */
#ifndef WEIR_SDK_STUBS_H
#define WEIR_SDK_STUBS_H

#include "weir/sdk.h"

/* Puts a stub into every slot of `api` that is NULL. Operations answer WEIR_E_UNSUPPORTED, requests
 * for an object answer NULL, notifications do nothing. [loader] */
void weir_sdk_fill_stubs(weir_api *api);

#endif

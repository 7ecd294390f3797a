/*
 * tests/unit/manifest/fake_registry.h - a registry of made-up components that stands in the program
 * itself: core/loader's functions as far as core/manifest calls them, without a plugin file.
 *
 * The components have options of every type and rules of every kind. A registry is NULL.
 */
#ifndef TEST_MANIFEST_FAKE_REGISTRY_H
#define TEST_MANIFEST_FAKE_REGISTRY_H

#include "loader/loader.h"

/* What registry_add was asked for last. It refuses paths with "bad.so" in them. */
extern char added_path[512];
extern char added_sha256[80];

#endif

/*
 * tools/local-aws/services.h - the constructors of all services: see services.def.
 */
#ifndef WEIR_LOCAL_SERVICES_H
#define WEIR_LOCAL_SERVICES_H

#include "local.h"

#define SERVICE(name) bool name##_service(local *home, local_service *out);
SERVICE(admin)
#include "services.def"
#undef SERVICE

#endif

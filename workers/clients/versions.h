// The versions of the libraries behind the clients, for `weir version`. A new client is one line in versions.c.
#pragma once

void clients_versions(void (*tell)(void *context, const char *name, const char *version), void *context);

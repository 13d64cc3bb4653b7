// See versions.h.
#include "workers/clients/versions.h"

#include <stdio.h>

#include "workers/clients/curl.h"
#include "workers/clients/kafka.h"
#include "workers/clients/postgres.h"
#include "workers/clients/sqlite.h"

void clients_versions(void (*tell)(void *context, const char *name, const char *version), void *context) {
  char libpq[32];
  int number = postgres_version();
  snprintf(libpq, sizeof libpq, "%d.%d", number / 10000, number % 10000);
  tell(context, "sqlite", sqlite_version());
  tell(context, "libcurl", http_version());
  tell(context, "tls", http_tls_version());
  tell(context, "libpq", libpq);
  tell(context, "librdkafka", kafka_version());
}

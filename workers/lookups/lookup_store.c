// The files of a lookup in the state folder: STATE/lookups/NAME.GENERATION.db, and NAME.building while one is made.
//
// A file that has its name is whole: it was made durable before. All the same it is looked through when it is found at a start, because
// disks forget.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/log.h"
#include "shm/crash_point.h"
#include "workers/lookups/lookup.h"

#define NOTE_TABLE "weir_lookup"

void lookup_note_free(struct lookup_note *note) {
  free(note->etag);
  free(note->modified);
  *note = (struct lookup_note){0};
}

static void text_bind(struct sqlite_query *q, int parameter, const char *text) {
  if (text)
    sqlite_bind_cstring(q, parameter, text);
  else
    sqlite_bind_null(q, parameter);
}

bool lookup_note_write(struct sqlite *db, const struct lookup_note *note, struct error *e) {
  if (!sqlite_exec(db, "CREATE TABLE " NOTE_TABLE "(format, fingerprint, rows, loaded, etag, modified, content)", e)) return false;
  struct sqlite_query *q = sqlite_prepare(db, "INSERT INTO " NOTE_TABLE " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)", e);
  if (!q) return false;
  sqlite_bind_int(q, 1, LOOKUP_FORMAT);
  sqlite_bind_int(q, 2, (int64_t)note->fingerprint);
  sqlite_bind_int(q, 3, (int64_t)note->rows);
  sqlite_bind_int(q, 4, note->loaded);
  text_bind(q, 5, note->etag);
  text_bind(q, 6, note->modified);
  sqlite_bind_int(q, 7, (int64_t)note->content);
  return sqlite_run(q, e);
}

static char *column_copy(struct sqlite_query *q, int column) {
  if (sqlite_column_kind(q, column) == SQLITE_IS_NULL) return NULL;
  return memory_text(sqlite_column_text(q, column, NULL));
}

static bool note_read(struct sqlite *db, struct lookup_note *note, struct error *e) {
  struct sqlite_query *q = sqlite_prepare(db, "SELECT format, fingerprint, rows, loaded, etag, modified, content FROM " NOTE_TABLE, e);
  if (!q || sqlite_step(q, e) != SQLITE_GOT_ROW) return false;
  bool good = sqlite_column_int(q, 0) == LOOKUP_FORMAT;
  *note = (struct lookup_note){.fingerprint = (uint64_t)sqlite_column_int(q, 1),
                               .rows = (uint64_t)sqlite_column_int(q, 2),
                               .loaded = sqlite_column_int(q, 3),
                               .etag = column_copy(q, 4),
                               .modified = column_copy(q, 5),
                               .content = (uint64_t)sqlite_column_int(q, 6)};
  sqlite_reset(q);
  return good;
}

static bool is_sound(struct sqlite *db, struct error *e) {
  struct sqlite_query *q = sqlite_prepare(db, "PRAGMA quick_check(1)", e);
  bool sound = q && sqlite_step(q, e) == SQLITE_GOT_ROW && strcmp(sqlite_column_text(q, 0, NULL), "ok") == 0;
  if (q) sqlite_reset(q);
  return sound;
}

// False: the file is damaged, or of other settings.
static bool file_look(const char *path, uint64_t fingerprint, struct lookup_note *note) {
  struct error e = {0};
  struct sqlite *db = sqlite_open(path, SQLITE_FOR_READING, 0, &e);
  bool read = db && lookup_functions_declare(db, &e) && note_read(db, note, &e) && note->fingerprint == fingerprint;
  bool good = read && is_sound(db, &e) && sqlite_bytes_used(db, &note->bytes, &e);
  if (read && !good) log_say(LOG_LEVEL_WARN, "the table in %s is damaged: %s", path, error_is_set(&e) ? e.text : "quick_check failed");
  sqlite_close(db);
  if (!good) lookup_note_free(note);
  return good;
}

// The number in "NAME.NUMBER.db"; 0: the name is another.
static uint64_t generation_of(const char *file, const char *name) {
  size_t length = strlen(name);
  char *end;
  if (strncmp(file, name, length) != 0 || file[length] != '.' || file[length + 1] < '1' || file[length + 1] > '9') return 0;
  errno = 0;
  unsigned long long number = strtoull(file + length + 1, &end, 10);
  return errno == 0 && strcmp(end, ".db") == 0 ? number : 0;
}

static DIR *folder_open(const char *state, struct error *e) {
  char *folder = lookup_folder(state);
  DIR *list = mkdir(folder, 0700) == 0 || errno == EEXIST ? opendir(folder) : NULL;
  if (!list) error_set(e, ERROR_ENVIRONMENT, "state", "cannot use the folder %s: %s", folder, strerror(errno));
  free(folder);
  return list;
}

// The highest number below `below`; 0: none.
static uint64_t highest_below(DIR *list, const char *name, uint64_t below) {
  uint64_t highest = 0;
  rewinddir(list);
  for (const struct dirent *one; (one = readdir(list));) {
    uint64_t number = generation_of(one->d_name, name);
    if (number > highest && number < below) highest = number;
  }
  return highest;
}

bool lookup_store_find(const char *state, const char *name, uint64_t fingerprint, uint64_t *generation, uint64_t *highest,
                       struct lookup_note *note, struct error *e) {
  DIR *list = folder_open(state, e);
  *note = (struct lookup_note){0};
  *generation = 0;
  if (!list) return false;
  *highest = highest_below(list, name, UINT64_MAX);
  for (uint64_t number = *highest; number > 0 && *generation == 0; number = highest_below(list, name, number)) {
    char *path = lookup_path(state, name, number);
    if (file_look(path, fingerprint, note)) *generation = number;
    free(path);
  }
  closedir(list);
  char *building = lookup_store_building(state, name);
  unlink(building); // of a predecessor that died; usually there is none
  free(building);
  return true;
}

char *lookup_store_building(const char *state, const char *name) {
  return memory_print("%s/lookups/%s.building", state, name);
}

static bool sync_path(const char *path, int flags, struct error *e) {
  int fd = open(path, flags | O_CLOEXEC);
  bool synced = fd >= 0 && fsync(fd) == 0;
  if (!synced) error_set(e, ERROR_OUTAGE, "io", "cannot make %s durable: %s", path, strerror(errno));
  if (fd >= 0) close(fd);
  return synced;
}

bool lookup_store_finish(const char *state, const char *name, const char *building, uint64_t generation, struct error *e) {
  char *path = lookup_path(state, name, generation), *folder = lookup_folder(state);
  bool good = sync_path(building, O_RDONLY, e);
  CRASH_POINT("lookup.before_rename");
  if (good && rename(building, path) != 0) {
    error_set(e, ERROR_OUTAGE, "io", "cannot rename %s: %s", building, strerror(errno));
    good = false;
  }
  good = good && sync_path(folder, O_RDONLY | O_DIRECTORY, e);
  free(folder);
  free(path);
  return good;
}

void lookup_store_clean(const char *state, const char *name, uint64_t generation) {
  struct error e = {0};
  DIR *list = folder_open(state, &e);
  if (!list) return; // the next load says so
  for (uint64_t number = highest_below(list, name, generation); number > 0; number = highest_below(list, name, number)) {
    char *path = lookup_path(state, name, number);
    if (unlink(path) != 0 && errno != ENOENT) log_say(LOG_LEVEL_WARN, "cannot remove %s: %s", path, strerror(errno));
    free(path);
  }
  closedir(list);
}

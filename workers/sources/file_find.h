// Which files a file source reads: the patterns of `path`, resolved. Called by file_source.c at the start and at each poll.
#pragma once
#include "workers/sources/file_state.h"

// Adds every file that the patterns name, that belongs to this lane and that is not known yet, as a stream that is not begun. `later`:
// the source is running already. *added: how many.
bool file_find(struct file_source *f, bool later, size_t *added, struct error *e);
// What is at the path of a file that has been read to its end.
enum file_path_state { FILE_PATH_SAME, FILE_PATH_OTHER, FILE_PATH_GONE };
enum file_path_state file_path_look(const struct file *file, uint64_t *device, uint64_t *inode);
// The earlier life of this worker read a file that has another name by now: finds it beside its old name. Owned by the caller, or NULL.
char *file_renamed(const char *path, uint64_t device, uint64_t inode);

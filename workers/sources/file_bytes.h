// One file's bytes: opening, identity, witness, and the read buffer. Called by the other parts of the file source.
#pragma once
#include "workers/sources/file_state.h"

// Opens the file if it is closed and makes sure that it is still the one announced.
bool file_open(struct file_source *f, struct file *file, struct error *e);
void file_close(struct file *file);
// "file:DEVICE:INODE", owned by the caller.
char *file_identity(uint64_t device, uint64_t inode);
bool file_size(const struct file *file, uint64_t *size, struct error *e);
// When its bytes were last changed.
bool file_changed(const struct file *file, int64_t *micros, struct error *e);
// Reads up to `length` bytes at `offset`; the number read.
bool file_read_at(const struct file *file, void *to, size_t length, uint64_t offset, size_t *got, struct error *e);
// The bytes before `position` are the same as when the position was stored. False: ERROR_OPERATOR with the choices.
bool file_verify(struct file_source *f, struct file *file, uint64_t position, uint64_t witness, struct error *e);
// Fills the block with what lies at file->at. False: e. f->held 0 and f->block_end: the end.
bool file_fill(struct file_source *f, struct file *file, struct error *e);
// Makes the block at least `room` bytes long; keeps what it holds.
void file_block_grow(struct file_source *f, size_t room);
// Offset behind the last newline: where the lines that are complete end.
bool file_lines_end(struct file_source *f, struct file *file, uint64_t *offset, struct error *e);
// The operator's choices for a position that does not fit the file any more, appended to what was found.
void file_choices(const struct file_source *f, const struct file *file, const char *found, struct error *e);

// Files have one writer: two workers that were to write the same one would wait for each other's lock for ever. Here every file that a
// worker of the plan will write is named as it lies in the file system, so that another spelling of the same place is noticed.
//
// Two sinks may well write one table: the database orders them, and each keeps positions of its own.
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "supervisor/plan_build.h"
#include "supervisor/plan_report.h"

struct writer {
  char *file, *path; // where it lies; as the sink spells it
  unsigned node;
  const char *edge;
};

struct writers {
  struct writer *at;
  size_t count;
};

// ---- one place, one name

// "a//b/./c/../d" -> "a/b/d", in place. For folders that are not there yet: links cannot be followed.
static void lexical(char *path) {
  char *to = path, *rest = path;
  while (*rest) {
    rest += strspn(rest, "/");
    size_t length = strcspn(rest, "/");
    bool up = length == 2 && strncmp(rest, "..", 2) == 0, here = length == 0 || (length == 1 && *rest == '.');
    if (up)
      while (to > path && *--to != '/') continue;
    if (!up && !here) {
      *to++ = '/';
      memmove(to, rest, length);
      to += length;
    }
    rest += length;
  }
  *to = '\0';
}

// A file that is there is known by device and inode, whatever its names; else its folder's real path and its name count.
static char *file_of(const char *path) {
  struct stat info;
  if (stat(path, &info) == 0) return memory_print("%llu:%llu", (unsigned long long)info.st_dev, (unsigned long long)info.st_ino);
  const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
  char *folder = slash ? memory_text_n(path, (size_t)(slash - path) + 1) : memory_text("./");
  char *real = realpath(folder, NULL);
  if (!real) {
    char *here = *folder == '/' ? NULL : realpath(".", NULL);
    real = memory_print("%s/%s", here ? here : "", folder);
    lexical(real);
    free(here);
  }
  char *file = memory_print("%s/%s", strcmp(real, "/") == 0 ? "" : real, name);
  free(folder);
  free(real);
  return file;
}

// ---- all writers of the plan

static void collect(struct writers *all, const struct plan *p, const struct plan_chain *chain) {
  for (size_t w = 0; w < chain->worker_count; w++) {
    const struct plan_worker *worker = &chain->workers[w];
    for (unsigned lane = 0; worker->kind->writes && lane < chain->lanes; lane++) {
      char *path = worker->kind->writes(plan_settings(&p->nodes[worker->node]), lane, chain->lanes);
      if (!path) continue;
      if ((all->count & (all->count - 1)) == 0) all->at = memory_resize(all->at, (all->count ? all->count * 2 : 1) * sizeof *all->at);
      all->at[all->count++] = (struct writer){.file = file_of(path), .path = path, .node = worker->node, .edge = worker->edge};
    }
  }
}

static int by_file(const void *a, const void *b) {
  const struct writer *one = a, *other = b;
  int order = strcmp(one->file, other->file);
  if (order != 0) return order;
  return one->node != other->node ? (one->node < other->node ? -1 : 1) : strcmp(one->edge, other->edge);
}

static void refuse(struct draft *d, const struct writer *first, const struct writer *second) {
  const struct plan_node *node = &d->plan->nodes[second->node], *other = &d->plan->nodes[first->node];
  const struct config_entry *path = config_find(&d->nodes[second->node].entry->value, "path");
  int line = path ? path->line : node->line, column = path ? path->column : node->column;
  if (first->node != second->node)
    plan_report_add(
        d->report, CHECK_ERROR, line, column, NULL,
        "sink `%s` would write %s, which sink `%s` in line %d writes as well: a file has one writer, give each a `path` of its own",
        node->name, second->path, other->name, other->line);
  else if (strcmp(first->edge, second->edge) != 0)
    plan_report_add(d->report, CHECK_ERROR, line, column, NULL,
                    "sink `%s` would write %s twice at the same time, with what comes by %s and with what comes by %s: a file has one "
                    "writer, give each way a sink with a `path` of its own",
                    node->name, second->path, first->edge, second->edge);
  else
    plan_report_add(d->report, CHECK_ERROR, line, column, NULL,
                    "all lanes of sink `%s` would write %s: a file has one writer, put `{lane}` into the name", node->name, second->path);
}

void plan_files(struct draft *d) {
  struct writers all = {0};
  for (size_t i = 0; i < d->plan->chain_count; i++) collect(&all, d->plan, &d->plan->chains[i]);
  if (all.count > 0) qsort(all.at, all.count, sizeof *all.at, by_file);
  for (size_t i = 1; i < all.count; i++)
    if (strcmp(all.at[i - 1].file, all.at[i].file) == 0) refuse(d, &all.at[i - 1], &all.at[i]);
  for (size_t i = 0; i < all.count; i++) {
    free(all.at[i].file);
    free(all.at[i].path);
  }
  free(all.at);
}

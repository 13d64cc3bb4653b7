// Making and mapping memfds: see sealed.h.
#include "shm/sealed.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

uint64_t sealed_page(void) {
  long page = sysconf(_SC_PAGESIZE);
  return page > 4096 ? (uint64_t)page : 4096;
}

uint64_t sealed_round(uint64_t bytes) {
  uint64_t page = sealed_page();
  return (bytes + page - 1) / page * page;
}

static int sealed_fill(int fd, uint64_t bytes) {
  while (fallocate(fd, 0, 0, (off_t)bytes) != 0) {
    if (errno != EINTR) return -errno;
  }
  if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) return -errno;
  return 0;
}

int sealed_create(const char *name, uint64_t bytes) {
  int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return -errno;
  int rc = sealed_fill(fd, bytes);
  if (rc != 0) {
    close(fd);
    return rc;
  }
  return fd;
}

int sealed_size(int memfd, uint64_t *bytes) {
  int seals = fcntl(memfd, F_GET_SEALS);
  if (seals < 0) return -errno;
  if ((seals & F_SEAL_SHRINK) == 0) return -EBADMSG;
  struct stat st;
  if (fstat(memfd, &st) != 0) return -errno;
  *bytes = (uint64_t)st.st_size;
  return 0;
}

int sealed_map(int memfd, uint64_t offset, uint64_t bytes, bool writable, void **memory) {
  void *at = mmap(NULL, bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, memfd, (off_t)offset);
  if (at == MAP_FAILED) return -errno;
  *memory = at;
  return 0;
}

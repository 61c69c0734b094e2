/* Faults of a file system, injected into the process that preloads this library.
 *
 * Every call that changes files under a folder is counted, from `faults_arm` on, and the call of a given number does
 * not succeed: the process is killed (a write is torn before), or the call returns an error, once or from there on.
 * Only names that a program calls are replaced; what libc calls inside of itself (the buffer of a FILE) is not seen.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static char folder[PATH_MAX];
static size_t folder_length;
static atomic_long calls;
static long chosen;
static int failure;   /* an errno, or -1: kill */
static int lasting;   /* from the chosen call on */
static int trace = -1; /* where calls are listed */

/* Count calls under a folder and fail the one of number `at` (from 1; 0: none). */
void faults_arm(const char *under, long at, int error, int from_there_on, int trace_to) {
  folder_length = 0;
  strncpy(folder, under, sizeof folder - 1);
  chosen = at, failure = error, lasting = from_there_on, trace = trace_to;
  atomic_store(&calls, 0);
  folder_length = strlen(folder);
}

long faults_calls(void) { return atomic_load(&calls); }

/* A full disk takes no new name and no byte, but lets names be taken away and changed. */
static int concerns(const char *call) {
  if (failure != ENOSPC && failure != EDQUOT) return 1;
  return !strcmp(call, "open") || !strcmp(call, "write") || !strcmp(call, "mkdir") || !strcmp(call, "ftruncate") ||
         !strcmp(call, "link") || !strcmp(call, "fsync");
}

static int is_under(int at, const char *path, char *full) {
  if (!folder_length) return 0;
  if (path && path[0] == '/') {
    snprintf(full, PATH_MAX, "%s", path);
  } else {
    char link[64], base[PATH_MAX];
    if (path && at == AT_FDCWD) strcpy(link, "/proc/self/cwd");
    else snprintf(link, sizeof link, "/proc/self/fd/%d", at);
    ssize_t length = readlink(link, base, sizeof base - 1);
    if (length < 0) return 0;
    base[length] = 0;
    if (path) snprintf(full, PATH_MAX, "%.2000s/%.2000s", base, path);
    else snprintf(full, PATH_MAX, "%s", base);
  }
  return !strncmp(full, folder, folder_length) && (full[folder_length] == '/' || !full[folder_length]);
}

/* Return an errno to fail with, 0 to go on; does not return where the process is killed. */
static int meet(const char *call, int at, const char *path, const void *data, size_t size) {
  char full[PATH_MAX];
  int kept = errno, under = is_under(at, path, full);
  errno = kept;
  if (!under) return 0;
  long number = atomic_fetch_add(&calls, 1) + 1;
  if (trace >= 0) dprintf(trace, "%s\t%s\n", call, full + folder_length);
  if (!chosen || number < chosen || (number > chosen && !lasting)) return 0;
  if (failure < 0) {
    if (data && size > 1) syscall(SYS_write, at, data, size / 2);
    kill(getpid(), SIGKILL);
    for (;;) pause();
  }
  return concerns(call) ? failure : 0;
}

#define REAL(name) __typeof__(name) *real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)
#define MEET(result, ...) do { int e = meet(__VA_ARGS__); if (e) { errno = e; return result; } } while (0)
#define CHANGES (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)

#define OPEN(name)                                                        \
  int name(const char *path, int flags, ...) {                            \
    REAL(name);                                                           \
    va_list more; va_start(more, flags);                                  \
    mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0; \
    va_end(more);                                                         \
    if (flags & CHANGES) MEET(-1, "open", AT_FDCWD, path, NULL, 0);       \
    return real(path, flags, mode);                                       \
  }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                      \
  int name(int at, const char *path, int flags, ...) {                    \
    REAL(name);                                                           \
    va_list more; va_start(more, flags);                                  \
    mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0; \
    va_end(more);                                                         \
    if (flags & CHANGES) MEET(-1, "open", at, path, NULL, 0);             \
    return real(at, path, flags, mode);                                   \
  }
OPENAT(openat)
OPENAT(openat64)

#define FOPEN(name)                                                       \
  FILE *name(const char *path, const char *mode) {                        \
    REAL(name);                                                           \
    if (strpbrk(mode, "wa+")) MEET(NULL, "open", AT_FDCWD, path, NULL, 0); \
    return real(path, mode);                                              \
  }
FOPEN(fopen)
FOPEN(fopen64)

ssize_t write(int to, const void *data, size_t size) {
  REAL(write);
  MEET(-1, "write", to, NULL, data, size);
  return real(to, data, size);
}
ssize_t pwrite(int to, const void *data, size_t size, off_t place) {
  REAL(pwrite);
  MEET(-1, "write", to, NULL, NULL, 0);
  return real(to, data, size, place);
}
ssize_t pwrite64(int to, const void *data, size_t size, off64_t place) {
  REAL(pwrite64);
  MEET(-1, "write", to, NULL, NULL, 0);
  return real(to, data, size, place);
}
ssize_t writev(int to, const struct iovec *parts, int count) {
  REAL(writev);
  MEET(-1, "write", to, NULL, NULL, 0);
  return real(to, parts, count);
}
ssize_t sendfile(int to, int from, off_t *place, size_t size) {
  ssize_t (*real)(int, int, off_t *, size_t) = dlsym(RTLD_NEXT, "sendfile");
  MEET(-1, "write", to, NULL, NULL, 0);
  return real(to, from, place, size);
}
ssize_t sendfile64(int to, int from, off64_t *place, size_t size) {
  ssize_t (*real)(int, int, off64_t *, size_t) = dlsym(RTLD_NEXT, "sendfile64");
  MEET(-1, "write", to, NULL, NULL, 0);
  return real(to, from, place, size);
}
ssize_t copy_file_range(int from, off64_t *a, int to, off64_t *b, size_t size, unsigned flags) {
  REAL(copy_file_range);
  MEET(-1, "write", to, NULL, NULL, 0);
  return real(from, a, to, b, size, flags);
}

#define OF_FILE(name, call)                \
  int name(int file) {                     \
    REAL(name);                            \
    MEET(-1, call, file, NULL, NULL, 0);   \
    return real(file);                     \
  }
OF_FILE(fsync, "fsync")
OF_FILE(fdatasync, "fsync")

int ftruncate(int file, off_t size) { REAL(ftruncate); MEET(-1, "ftruncate", file, NULL, NULL, 0); return real(file, size); }
int ftruncate64(int file, off64_t size) { REAL(ftruncate64); MEET(-1, "ftruncate", file, NULL, NULL, 0); return real(file, size); }
int truncate(const char *path, off_t size) { REAL(truncate); MEET(-1, "ftruncate", AT_FDCWD, path, NULL, 0); return real(path, size); }
int truncate64(const char *path, off64_t size) { REAL(truncate64); MEET(-1, "ftruncate", AT_FDCWD, path, NULL, 0); return real(path, size); }
int mkdir(const char *path, mode_t mode) { REAL(mkdir); MEET(-1, "mkdir", AT_FDCWD, path, NULL, 0); return real(path, mode); }
int mkdirat(int at, const char *path, mode_t mode) { REAL(mkdirat); MEET(-1, "mkdir", at, path, NULL, 0); return real(at, path, mode); }
int unlink(const char *path) { REAL(unlink); MEET(-1, "unlink", AT_FDCWD, path, NULL, 0); return real(path); }
int unlinkat(int at, const char *path, int flags) { REAL(unlinkat); MEET(-1, "unlink", at, path, NULL, 0); return real(at, path, flags); }
int rmdir(const char *path) { REAL(rmdir); MEET(-1, "unlink", AT_FDCWD, path, NULL, 0); return real(path); }
int chmod(const char *path, mode_t mode) { REAL(chmod); MEET(-1, "chmod", AT_FDCWD, path, NULL, 0); return real(path, mode); }
int fchmod(int file, mode_t mode) { REAL(fchmod); MEET(-1, "chmod", file, NULL, NULL, 0); return real(file, mode); }
int rename(const char *from, const char *to) { REAL(rename); MEET(-1, "rename", AT_FDCWD, to, NULL, 0); return real(from, to); }
int renameat(int a, const char *from, int b, const char *to) { REAL(renameat); MEET(-1, "rename", b, to, NULL, 0); return real(a, from, b, to); }
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) { REAL(renameat2); MEET(-1, "rename", b, to, NULL, 0); return real(a, from, b, to, flags); }
int link(const char *from, const char *to) { REAL(link); MEET(-1, "link", AT_FDCWD, to, NULL, 0); return real(from, to); }
int linkat(int a, const char *from, int b, const char *to, int flags) { REAL(linkat); MEET(-1, "link", b, to, NULL, 0); return real(a, from, b, to, flags); }
int symlink(const char *from, const char *to) { REAL(symlink); MEET(-1, "link", AT_FDCWD, to, NULL, 0); return real(from, to); }

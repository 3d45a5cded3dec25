/* A library for LD_PRELOAD that ends a process, or lets a call fail, at its k-th call that changes files in a folder.

   Python calls `arm` before the command under test; every library of the process (Arrow, torch, safetensors) is seen,
   because all of them change files by libc. Only files in the folder count: standard output and caches do not. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/* Kinds of calls, a bit each. */
enum { OPEN = 1, CREATE = 2, WRITE = 4, NAME = 8, REMOVE = 16, SYNC = 32, SIZE = 64 };
/* How a call ends: a signal, an error, or half a write. */
enum { SIGNAL = 1, ERROR = 2, SHORT = 3 };

/* Shared with the process that watches. */
struct seen {
    atomic_int calls, reached;
};

static struct seen *seen;
static char folder[PATH_MAX];
static int kinds, at, how, number, onwards;

void arm(const char *inside, int which, int call, int end, int value, int lasting, struct seen *shared) {
    strncpy(folder, inside, sizeof folder - 1);
    kinds = which, at = call, how = end, number = value, onwards = lasting, seen = shared;
}

static int is_inside(const char *path) {
    size_t n = strlen(folder);
    return strncmp(path, folder, n) == 0 && (path[n] == '/' || path[n] == 0);
}

static int inside_fd(int fd) {
    char name[64], path[PATH_MAX];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(name, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return is_inside(path);
}

static int inside(int dir, const char *path) {
    char here[PATH_MAX];
    if (!path) return 0;
    if (path[0] == '/') return is_inside(path);
    if (dir != AT_FDCWD) return inside_fd(dir);
    return getcwd(here, sizeof here) && is_inside(here);
}

/* Count a call; whether it has to fail (1), or to write only half (2). */
static int ends(int kind) {
    if (!(kind & kinds)) return 0;
    int call = atomic_fetch_add(&seen->calls, 1) + 1;
    if (call != at && !(onwards && at && call > at)) return 0;
    atomic_store(&seen->reached, 1);
    if (how == SIGNAL) {
        kill(getpid(), number);
        return 0;
    }
    if (how == ERROR) errno = number;
    return how == ERROR ? 1 : 2;
}

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define COUNT(kind, where) do { if (seen && (where) && ends(kind) == 1) return -1; } while (0)

static int opening(int flags) {
    return flags & (O_CREAT | O_TRUNC | O_WRONLY | O_RDWR) ? CREATE : OPEN;
}

/* The mode stands behind the named arguments, where there is one. */
#define OPENS(name, takes, gives, where)                              \
    int name takes {                                                  \
        REAL(name);                                                   \
        va_list more;                                                 \
        va_start(more, flags);                                        \
        mode_t mode = va_arg(more, mode_t);                           \
        va_end(more);                                                 \
        COUNT(opening(flags), where);                                 \
        return real gives;                                            \
    }
#define FOPENS(name)                                                  \
    FILE *name(const char *path, const char *mode) {                  \
        REAL(name);                                                   \
        int kind = strpbrk(mode, "wa+") ? CREATE : OPEN;              \
        if (seen && inside(AT_FDCWD, path) && ends(kind) == 1) return NULL; \
        return real(path, mode);                                      \
    }
OPENS(open, (const char *path, int flags, ...), (path, flags, mode), inside(AT_FDCWD, path))
OPENS(open64, (const char *path, int flags, ...), (path, flags, mode), inside(AT_FDCWD, path))
OPENS(openat, (int dir, const char *path, int flags, ...), (dir, path, flags, mode), inside(dir, path))
OPENS(openat64, (int dir, const char *path, int flags, ...), (dir, path, flags, mode), inside(dir, path))
FOPENS(fopen)
FOPENS(fopen64)

ssize_t write(int fd, const void *data, size_t n) {
    REAL(write);
    int end = seen && inside_fd(fd) ? ends(WRITE) : 0;
    return end == 1 ? -1 : real(fd, data, end == 2 ? (n + 1) / 2 : n);
}

/* Half of the parts, and of a single one half of its bytes. */
ssize_t writev(int fd, const struct iovec *parts, int n) {
    REAL(writev);
    int end = seen && inside_fd(fd) ? ends(WRITE) : 0;
    if (end == 1) return -1;
    if (end == 2 && n > 1) return real(fd, parts, n / 2);
    struct iovec half = {n ? parts->iov_base : NULL, n ? (parts->iov_len + 1) / 2 : 0};
    return end == 2 && n ? real(fd, &half, 1) : real(fd, parts, n);
}

#define WRITES_AT(name, offset_t)                                     \
    ssize_t name(int fd, const void *data, size_t n, offset_t place) { \
        REAL(name);                                                   \
        int end = seen && inside_fd(fd) ? ends(WRITE) : 0;            \
        return end == 1 ? -1 : real(fd, data, end == 2 ? (n + 1) / 2 : n, place); \
    }
WRITES_AT(pwrite, off_t)
WRITES_AT(pwrite64, off64_t)

#define COPIES(name, from_t)                                          \
    ssize_t name(int to, int from, from_t *place, size_t n) {         \
        REAL(name);                                                   \
        int end = seen && inside_fd(to) ? ends(WRITE) : 0;            \
        return end == 1 ? -1 : real(to, from, place, end == 2 ? (n + 1) / 2 : n); \
    }
ssize_t sendfile(int, int, off_t *, size_t);
ssize_t sendfile64(int, int, off64_t *, size_t);
COPIES(sendfile, off_t)
COPIES(sendfile64, off64_t)

ssize_t copy_file_range(int from, off64_t *read, int to, off64_t *written, size_t n, unsigned flags) {
    REAL(copy_file_range);
    int end = seen && inside_fd(to) ? ends(WRITE) : 0;
    return end == 1 ? -1 : real(from, read, to, written, end == 2 ? (n + 1) / 2 : n, flags);
}

/* Calls that take whatever is between the brackets, and fail as a whole. */
#define CALL(name, kind, takes, gives, where)                         \
    int name takes {                                                  \
        REAL(name);                                                   \
        COUNT(kind, where);                                           \
        return real gives;                                            \
    }
#define TWO inside(AT_FDCWD, a) || inside(AT_FDCWD, b)
#define TWO_AT inside(x, a) || inside(y, b)
CALL(rename, NAME, (const char *a, const char *b), (a, b), TWO)
CALL(renameat, NAME, (int x, const char *a, int y, const char *b), (x, a, y, b), TWO_AT)
CALL(renameat2, NAME, (int x, const char *a, int y, const char *b, unsigned f), (x, a, y, b, f), TWO_AT)
CALL(link, NAME, (const char *a, const char *b), (a, b), inside(AT_FDCWD, b))
CALL(linkat, NAME, (int x, const char *a, int y, const char *b, int f), (x, a, y, b, f), inside(y, b))
CALL(symlink, NAME, (const char *a, const char *b), (a, b), inside(AT_FDCWD, b))
CALL(symlinkat, NAME, (const char *a, int y, const char *b), (a, y, b), inside(y, b))
CALL(mkdir, NAME, (const char *a, mode_t m), (a, m), inside(AT_FDCWD, a))
CALL(mkdirat, NAME, (int x, const char *a, mode_t m), (x, a, m), inside(x, a))
CALL(unlink, REMOVE, (const char *a), (a), inside(AT_FDCWD, a))
CALL(unlinkat, REMOVE, (int x, const char *a, int f), (x, a, f), inside(x, a))
CALL(rmdir, REMOVE, (const char *a), (a), inside(AT_FDCWD, a))
CALL(remove, REMOVE, (const char *a), (a), inside(AT_FDCWD, a))
CALL(fsync, SYNC, (int fd), (fd), inside_fd(fd))
CALL(fdatasync, SYNC, (int fd), (fd), inside_fd(fd))
CALL(ftruncate, SIZE, (int fd, off_t n), (fd, n), inside_fd(fd))
CALL(ftruncate64, SIZE, (int fd, off64_t n), (fd, n), inside_fd(fd))
CALL(truncate, SIZE, (const char *a, off_t n), (a, n), inside(AT_FDCWD, a))
CALL(truncate64, SIZE, (const char *a, off64_t n), (a, n), inside(AT_FDCWD, a))
CALL(fallocate, SIZE, (int fd, int m, off_t o, off_t n), (fd, m, o, n), inside_fd(fd))

/* Preloaded into the binary under test: a disk that fails, and a clock that is wrong, as the test says.
 *
 * What the test says stands in a file that both map: three numbers of 64 bits. The first is added to the wall clock, in
 * seconds. The second says how the disk behaves for files whose name holds "sekisho.db": 0 as it is, 1 every write and
 * every sync fails with EIO, 2 every sync takes as many milliseconds as the third says. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *said;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("SEKISHO_TEST_FAULTS");
    if (!path) return;
    int fd = open(path, O_RDONLY);
    if (fd < 0) return;
    void *mapped = mmap(NULL, 24, PROT_READ, MAP_SHARED, fd, 0);
    if (mapped != MAP_FAILED) said = mapped;
    close(fd);
}

static int is_database(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return strstr(path, "sekisho.db") != NULL;
}

static int fails(int fd) {
    if (!said || said[1] != 1 || !is_database(fd)) return 0;
    errno = EIO;
    return 1;
}

static void waits(int fd) {
    if (said && said[1] == 2 && is_database(fd)) usleep((useconds_t)(said[2] * 1000));
}

#define REAL(result, name, ...)                                                 \
    static result (*real)(__VA_ARGS__);                                         \
    if (!real) real = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

ssize_t write(int fd, const void *bytes, size_t count) {
    REAL(ssize_t, "write", int, const void *, size_t);
    return fails(fd) ? -1 : real(fd, bytes, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    REAL(ssize_t, "pwrite", int, const void *, size_t, off_t);
    return fails(fd) ? -1 : real(fd, bytes, count, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    return fails(fd) ? -1 : real(fd, bytes, count, at);
}

int fsync(int fd) {
    REAL(int, "fsync", int);
    waits(fd);
    return fails(fd) ? -1 : real(fd);
}

int fdatasync(int fd) {
    REAL(int, "fdatasync", int);
    waits(fd);
    return fails(fd) ? -1 : real(fd);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    REAL(int, "clock_gettime", clockid_t, struct timespec *);
    int result = real(clock, now);
    if (said && clock == CLOCK_REALTIME) now->tv_sec += said[0];
    return result;
}

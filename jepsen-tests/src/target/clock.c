/* A wall clock of a process's own, by a file of three numbers of eight bytes: how many nanoseconds it is
   from the true time, and by how many parts of a million it runs too fast since which moment of the true
   time, in nanoseconds. Preloaded. Clocks that only run forward (CLOCK_MONOTONIC, CLOCK_BOOTTIME) are
   left as they are. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* Soon after the year 2200: what a file of damaged numbers may show at most. */
#define SHOWN_MAX 7300000000000000000LL

static const volatile struct {
    long long offset, ppm, since;
} *clock_file;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("JEPSEN_CLOCK");
    if (path == NULL) return;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    void *mapped = mmap(NULL, sizeof(*clock_file), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED) clock_file = mapped;
}

int clock_gettime(clockid_t id, struct timespec *at) {
    int failed = (int)syscall(SYS_clock_gettime, id, at);
    if (failed || clock_file == NULL || (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE))
        return failed;
    long long ns = (long long)at->tv_sec * 1000000000LL + at->tv_nsec;
    __int128 shown = (__int128)(ns - clock_file->since) * clock_file->ppm / 1000000;
    shown += (__int128)ns + clock_file->offset;
    ns = shown < 0 ? 0 : shown > SHOWN_MAX ? SHOWN_MAX : (long long)shown;
    at->tv_sec = ns / 1000000000LL;
    at->tv_nsec = ns % 1000000000LL;
    return 0;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    struct timespec now;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now)) return (time_t)-1;
    if (at != NULL) *at = now.tv_sec;
    return now.tv_sec;
}

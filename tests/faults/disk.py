"""A disk that fails: a small library, preloaded into a process, through which its writes to the files of a database go.

It is ruled by the environment: FAULT_FILE is the database, FAULT_AT the number of the write that goes wrong, FAULT how
(an error, "hang" or "unlink"), FAULT_STICKS whether all writes after it fail as well, and FAULT_COUNT a file that gets
the number of writes of each process.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static long count;

static int is_ours(int fd) {
    const char *file = getenv("FAULT_FILE");
    char link[64], target[PATH_MAX];
    if (!file) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, target, sizeof target - 1);
    if (size < 0) return 0;
    target[size] = 0;
    if (strncmp(target, file, strlen(file))) return 0;
    const char *rest = target + strlen(file);
    /* Not the log's index, which is only in memory, nor our lock. */
    return !*rest || !strncmp(rest, "-wal", 4) || !strncmp(rest, "-journal", 8) || !strncmp(rest, " (deleted)", 10);
}

static int fails(int fd) {
    const char *at = getenv("FAULT_AT"), *how = getenv("FAULT"), *sticks = getenv("FAULT_STICKS");
    if (!is_ours(fd)) return 0;
    long number = __sync_add_and_fetch(&count, 1);
    if (!at || !how) return 0;
    if (!strcmp(how, "hang")) {
        struct timespec pause = {10, 0};
        if (number == atol(at)) nanosleep(&pause, NULL);
        return 0;
    }
    if (!strcmp(how, "unlink")) {
        char name[PATH_MAX];
        const char *ends[] = {"", "-wal", "-shm"};
        if (number == atol(at))
            for (int i = 0; i < 3; i++) {
                snprintf(name, sizeof name, "%s%s", getenv("FAULT_FILE"), ends[i]);
                unlink(name);
            }
        return 0;
    }
    if (number != atol(at) && !(sticks && number > atol(at))) return 0;
    errno = !strcmp(how, "ENOSPC") ? ENOSPC : !strcmp(how, "EROFS") ? EROFS : EIO;
    return 1;
}

#define REAL(name, type) static type real; if (!real) real = (type)dlsym(RTLD_NEXT, name)

typedef ssize_t (*pwrite_type)(int, const void *, size_t, off64_t);
typedef ssize_t (*write_type)(int, const void *, size_t);
typedef int (*sync_type)(int);
typedef int (*truncate_type)(int, off64_t);

ssize_t pwrite(int fd, const void *from, size_t size, off_t at) {
    REAL("pwrite", pwrite_type); return fails(fd) ? -1 : real(fd, from, size, at);
}
ssize_t pwrite64(int fd, const void *from, size_t size, off64_t at) {
    REAL("pwrite64", pwrite_type); return fails(fd) ? -1 : real(fd, from, size, at);
}
ssize_t write(int fd, const void *from, size_t size) {
    REAL("write", write_type); return fails(fd) ? -1 : real(fd, from, size);
}
int fsync(int fd) { REAL("fsync", sync_type); return fails(fd) ? -1 : real(fd); }
int fdatasync(int fd) { REAL("fdatasync", sync_type); return fails(fd) ? -1 : real(fd); }
int ftruncate(int fd, off_t size) { REAL("ftruncate", truncate_type); return fails(fd) ? -1 : real(fd, size); }
int ftruncate64(int fd, off64_t size) { REAL("ftruncate64", truncate_type); return fails(fd) ? -1 : real(fd, size); }

__attribute__((destructor)) static void tell(void) {
    const char *name = getenv("FAULT_COUNT");
    FILE *file = name ? fopen(name, "a") : NULL;
    if (file) { fprintf(file, "%ld\n", count); fclose(file); }
}
"""


def compiled(folder: Path) -> Path:
    """Return the library, or skip the test where none can be made or preloaded."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or not Path("/proc/self/fd").is_dir():
        pytest.skip("needs a C compiler and /proc, to preload a library that fails writes")
    source, library = folder / "disk.c", folder / "libdisk.so"
    source.write_text(SOURCE)
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True, capture_output=True
    )
    return library

#include "memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { LARGE_PAGE = 2 << 20 };

_Noreturn void fail(const char *what, const char *path)
{
    fprintf(stderr, "floor: %s: %s\n", path, what);
    exit(2);
}

void *memory(uint64_t bytes)
{
    uint64_t whole = (bytes + LARGE_PAGE - 1) / LARGE_PAGE * LARGE_PAGE;
    void *found = aligned_alloc(LARGE_PAGE, whole);
    if (!found)
        fail("no memory", "floor");
    madvise(found, whole, MADV_HUGEPAGE); /* a wish: what comes of it is the system's */
    memset(found, 0, whole);
    return found;
}

void *file_read(const char *path, uint64_t slack, uint64_t *size)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END))
        fail("cannot be read", path);
    long end = ftell(file);
    rewind(file);
    if (end < 0)
        fail("cannot be read", path);
    uint8_t *found = memory((uint64_t)end + slack);
    if (fread(found, 1, (size_t)end, file) != (size_t)end)
        fail("cannot be read", path);
    fclose(file);
    *size = (uint64_t)end;
    return found;
}

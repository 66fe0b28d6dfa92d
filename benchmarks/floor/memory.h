/* Memory in large pages where the system has them, and files read into it. */
#ifndef FLOOR_MEMORY_H
#define FLOOR_MEMORY_H

#include <stdint.h>

void *memory(uint64_t bytes); /* zeros; ends the program if there is none */
void *file_read(const char *path, uint64_t slack, uint64_t *size);
_Noreturn void fail(const char *what, const char *path);

#endif

#include "capture.h"

#include "memory.h"

enum { FILE_HEADER_BYTES = 24 };

capture_t capture_open(const char *path, uint64_t packets)
{
    uint64_t size;
    const uint8_t *bytes = file_read(path, SLACK_BYTES, &size);
    if (size < FILE_HEADER_BYTES || load32(bytes) != 0xa1b23c4d || load32(bytes + 20) != 1)
        fail("not a little-endian pcap of Ethernet with nanoseconds", path);
    return (capture_t){bytes + FILE_HEADER_BYTES, size - FILE_HEADER_BYTES, packets};
}

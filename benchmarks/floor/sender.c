/* Sends a capture's frames out by one device, as fast as the kernel takes them.
 *
 *     sender DEVICE CAPTURE PASSES
 *
 * The device is a veth's end, so that the kernel carries each frame as far as it goes before the
 * next is sent: in softirq, on this core and on this process's account.  Prints nanoseconds of
 * processor time per frame, how many were sent, and how many of them the kernel took.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "capture.h"
#include "memory.h"

static int open_socket(const char *device)
{
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(device)};
    int yes = 1, found = socket(AF_PACKET, SOCK_RAW, 0);
    if (found < 0 || !address.sll_ifindex)
        fail("no such device, or no right to send by it", device);
    if (setsockopt(found, SOL_PACKET, PACKET_QDISC_BYPASS, &yes, sizeof yes)
        || bind(found, (struct sockaddr *)&address, sizeof address))
        fail(strerror(errno), device);
    return found;
}

static uint32_t fill(cursor_t *cursor, struct mmsghdr *messages, struct iovec *parts)
{
    uint32_t count = 0, size;
    const uint8_t *frame;
    while (count < BATCH && (frame = cursor_next(cursor, &size))) {
        parts[count] = (struct iovec){(void *)frame, size};
        messages[count].msg_hdr = (struct msghdr){.msg_iov = &parts[count], .msg_iovlen = 1};
        count++;
    }
    return count;
}

/* How many were taken; one that is refused is not sent again. */
static uint64_t send_all(int out, const capture_t *capture, uint64_t *tried)
{
    struct mmsghdr messages[BATCH];
    struct iovec parts[BATCH];
    cursor_t cursor = cursor_begin(capture);
    uint64_t taken = 0;
    uint32_t count;
    while ((count = fill(&cursor, messages, parts))) {
        for (uint32_t at = 0; at < count;) {
            int sent = sendmmsg(out, messages + at, count - at, 0);
            taken += sent > 0 ? (uint64_t)sent : 0;
            at += sent > 0 ? (uint32_t)sent : 1;
        }
        *tried += count;
    }
    return taken;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

int main(int count, char **words)
{
    if (count != 4)
        fail("DEVICE CAPTURE PASSES", "expected");
    int out = open_socket(words[1]);
    capture_t capture = capture_open(words[2], UINT64_MAX);
    uint64_t taken = 0, tried = 0, passes = strtoull(words[3], NULL, 10);
    double start = now();
    for (uint64_t i = 0; i < passes; i++)
        taken += send_all(out, &capture, &tried);
    double spent = now() - start;
    printf("%.2f %lu %lu\n", tried ? spent / (double)tried : 0.0, (unsigned long)tried,
           (unsigned long)taken);
    return 0;
}

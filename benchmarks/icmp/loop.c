/* The same work as the engine's, in C: so many pings to so many addresses over one raw socket, with sendmmsg and
 * recvmmsg, kernel receive stamps, the kernel's filters, and the RTT of each ping kept.
 *
 *     loop PINGS PERIOD_MS < addresses      prints: sent answered mean_rtt_us
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/icmp.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define CHUNK 32
#define BATCH 512
#define WIDTH 256
#define PAYLOAD 56
#define PACKET (8 + PAYLOAD)
#define PATIENCE_NS 100000000LL
#define SEQUENCES (1 << 20) /* 16 identifiers */

static int fd;
static uint16_t id_base;
static int64_t cookie = 0x1122334455667788LL;
static int64_t *sent_at;        /* by ping, wall clock */
static float *rtts;             /* by ping, seconds, 0 while not answered */
static int32_t ping_of[SEQUENCES];
static int64_t answered;

static int64_t now_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static uint16_t checksum(const unsigned char *data) {
    uint32_t sum = 0;
    for (int i = 0; i < PACKET; i += 2) {
        uint16_t word;
        memcpy(&word, data + i, 2);
        sum += word;
    }
    sum = (sum & 0xffff) + (sum >> 16);
    sum += sum >> 16;
    return (uint16_t)~sum;
}

static void open_socket(void) {
    fd = socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK, IPPROTO_ICMP);
    if (fd < 0) {
        perror("socket");
        exit(4);
    }
    int on = 1, room = 8 << 20;
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    struct icmp_filter types = {~(1U << ICMP_ECHOREPLY)};
    setsockopt(fd, SOL_RAW, ICMP_FILTER, &types, sizeof types);
    struct sock_filter code[] = {
        BPF_STMT(BPF_LDX | BPF_MSH | BPF_B, 0),      BPF_STMT(BPF_LD | BPF_H | BPF_IND, 4),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xfff0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, id_base, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0xffffffff),       BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

static void drain(void) {
    static unsigned char packets[BATCH][WIDTH], control[BATCH][64];
    static struct iovec vectors[BATCH];
    static struct mmsghdr headers[BATCH];
    int got;
    do {
        for (int i = 0; i < BATCH; i++) {
            vectors[i] = (struct iovec){packets[i], WIDTH};
            headers[i].msg_hdr = (struct msghdr){
                .msg_iov = &vectors[i], .msg_iovlen = 1, .msg_control = control[i], .msg_controllen = 64};
        }
        got = recvmmsg(fd, headers, BATCH, MSG_DONTWAIT, NULL);
        for (int i = 0; i < got; i++) {
            unsigned char *icmp = packets[i] + (packets[i][0] & 15) * 4;
            uint16_t id = (uint16_t)(icmp[4] << 8 | icmp[5]), sequence = (uint16_t)(icmp[6] << 8 | icmp[7]);
            int64_t found_cookie, number;
            memcpy(&found_cookie, icmp + 8, 8);
            memcpy(&number, icmp + 16, 8);
            int32_t ping = ping_of[(id - id_base) << 16 | sequence];
            if (icmp[0] != ICMP_ECHOREPLY || found_cookie != cookie || number != ping || checksum(icmp) != 0)
                continue;
            struct cmsghdr *c = CMSG_FIRSTHDR(&headers[i].msg_hdr);
            if (c == NULL || c->cmsg_type != SO_TIMESTAMPNS || rtts[ping] != 0)
                continue;
            struct timespec t;
            memcpy(&t, CMSG_DATA(c), sizeof t);
            int64_t rtt = t.tv_sec * 1000000000LL + t.tv_nsec - sent_at[ping];
            rtts[ping] = rtt > 1000 ? (float)rtt * 1e-9f : 1e-6f;
            answered++;
        }
    } while (got == BATCH);
}

int main(int argc, char **argv) {
    if (argc != 3)
        return 3;
    int pings = atoi(argv[1]), hosts = 0, room = 0;
    int64_t period = atoll(argv[2]) * 1000000;
    struct sockaddr_in *names = NULL;
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        if (hosts == room)
            names = realloc(names, sizeof *names * (size_t)(room = room ? 2 * room : 1024));
        line[strcspn(line, "\n")] = 0;
        names[hosts] = (struct sockaddr_in){.sin_family = AF_INET};
        if (inet_pton(AF_INET, line, &names[hosts].sin_addr) == 1)
            hosts++;
    }
    int64_t total = (int64_t)hosts * pings, number = 0;
    sent_at = calloc((size_t)total, sizeof *sent_at);
    rtts = calloc((size_t)total, sizeof *rtts);
    id_base = (uint16_t)(now_ns(CLOCK_MONOTONIC) >> 4 & 0xfff0);
    open_socket();

    static unsigned char packets[CHUNK][PACKET];
    static struct iovec vectors[CHUNK];
    static struct mmsghdr headers[CHUNK];
    int64_t begin = now_ns(CLOCK_MONOTONIC), undrained = 0;
    for (int round = 0; round < pings; round++) {
        int64_t wait = begin + round * period - now_ns(CLOCK_MONOTONIC);
        while (wait > 0) {
            struct pollfd polled = {fd, POLLIN, 0};
            struct timespec limit = {wait / 1000000000, wait % 1000000000};
            ppoll(&polled, 1, &limit, NULL);
            drain();
            wait = begin + round * period - now_ns(CLOCK_MONOTONIC);
        }
        for (int first = 0; first < hosts; first += CHUNK) {
            int count = hosts - first < CHUNK ? hosts - first : CHUNK;
            for (int i = 0; i < count; i++) {
                unsigned char *p = packets[i];
                int slot = (int)((number + i) % SEQUENCES);
                uint16_t id = (uint16_t)(id_base + (slot >> 16)), sequence = (uint16_t)slot;
                int64_t ping = number + i;
                memset(p, 0, PACKET);
                p[0] = ICMP_ECHO;
                p[4] = (unsigned char)(id >> 8), p[5] = (unsigned char)id;
                p[6] = (unsigned char)(sequence >> 8), p[7] = (unsigned char)sequence;
                memcpy(p + 8, &cookie, 8);
                memcpy(p + 16, &ping, 8);
                for (int k = 16; k < PAYLOAD; k++)
                    p[8 + k] = (unsigned char)k;
                uint16_t sum = checksum(p);
                memcpy(p + 2, &sum, 2);
                ping_of[slot] = (int32_t)ping;
                vectors[i] = (struct iovec){p, PACKET};
                headers[i].msg_hdr = (struct msghdr){
                    .msg_name = &names[first + i], .msg_namelen = sizeof *names, .msg_iov = &vectors[i], .msg_iovlen = 1};
            }
            int64_t before = now_ns(CLOCK_REALTIME);
            for (int i = 0; i < count; i++)
                sent_at[number + i] = before;
            int done = 0;
            while (done < count) {
                int sent = sendmmsg(fd, headers + done, (unsigned)(count - done), MSG_DONTWAIT);
                if (sent < 0 && errno != EAGAIN && errno != ENOBUFS)
                    sent = 1;
                done += sent > 0 ? sent : 0;
            }
            int64_t each = (now_ns(CLOCK_REALTIME) - before) / count;
            for (int i = 0; i < count; i++)
                sent_at[number + i] += i * each + each / 3;
            number += count;
            if ((undrained += count) >= BATCH)
                drain(), undrained = 0;
        }
    }
    int64_t end = now_ns(CLOCK_MONOTONIC) + PATIENCE_NS;
    while (answered < total && now_ns(CLOCK_MONOTONIC) < end) {
        struct pollfd polled = {fd, POLLIN, 0};
        poll(&polled, 1, 1);
        drain();
    }
    double sum = 0;
    for (int64_t i = 0; i < total; i++)
        sum += rtts[i];
    printf("%lld %lld %.1f\n", (long long)total, (long long)answered, answered ? sum / (double)answered * 1e6 : 0.0);
    return answered == total ? 0 : 1;
}

// The floor for a proxy over epoll: a byte relay that parses nothing. Each client connection gets one connection to
// the backend, and what comes from one side goes to the other as it is: two recv and two send a request, like the
// best that a proxy which must read heads can do.
//
//   relay LISTEN_PORT BACKEND_PORT
//
// One thread, level-triggered epoll, loopback only. What the receiver does not take at once is kept (at most one
// read's worth) and the sender is not read meanwhile.

#define _GNU_SOURCE
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>

#include "server.h"

enum {
    // Two descriptors a connection: room for the 10,000 idle clients of the memory measurement.
    maximum_descriptors = 65536,
    events_per_turn = 256,
    // The same read size as the gateway's larger buffer class.
    read_size = 65536,
};

struct side {
    int other;         // the descriptor of the other side
    int ended;         // this side has sent its last byte, and the other was told
    uint32_t events;   // what epoll watches
    char *kept;        // bytes for this side that it did not take; NULL mostly
    size_t kept_from, kept_to;
    int closed_in_turn;
};

static struct side *sides[maximum_descriptors];
static int poller;
static struct sockaddr_in backend;
static char shared_buffer[read_size];
// Pairs that ended in this turn are freed after it, since events for the other side may still be in the list.
static int graveyard[2 * events_per_turn];
static int graves;

static void watch(int descriptor, uint32_t events) {
    struct side *side = sides[descriptor];
    if (side->events == events) return;
    struct epoll_event event = {.events = events, .data.fd = descriptor};
    if (epoll_ctl(poller, EPOLL_CTL_MOD, descriptor, &event) != 0) fail("epoll_ctl");
    side->events = events;
}

static void bury(int descriptor) {
    struct side *side = sides[descriptor];
    if (side->closed_in_turn) return;
    side->closed_in_turn = 1;
    graveyard[graves++] = descriptor;
}

static void end_pair(int descriptor) {
    int other = sides[descriptor]->other;
    bury(descriptor);
    bury(other);
}

static void empty_graveyard(void) {
    while (graves > 0) {
        int descriptor = graveyard[--graves];
        free(sides[descriptor]->kept);
        free(sides[descriptor]);
        sides[descriptor] = NULL;
        close(descriptor);
    }
}

static void relay(int from) {
    struct side *source = sides[from];
    struct side *target = sides[source->other];
    // A hang-up is reported also for a side that is not read, while the other one still has bytes to take.
    if (target->kept != NULL) return;
    ssize_t received = recv(from, shared_buffer, read_size, 0);
    if (received < 0 && errno == EAGAIN) return;
    if (received < 0) return end_pair(from);
    if (received == 0) {
        source->ended = 1;
        shutdown(source->other, SHUT_WR);
        watch(from, source->events & ~(uint32_t)EPOLLIN);
        if (target->ended) end_pair(from);
        return;
    }
    ssize_t sent = send(source->other, shared_buffer, (size_t)received, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != ENOTCONN) return end_pair(from);
    if (sent < 0) sent = 0;
    if (sent == received) return;
    target->kept = malloc((size_t)(received - sent));
    if (target->kept == NULL) return end_pair(from);
    memcpy(target->kept, shared_buffer + sent, (size_t)(received - sent));
    target->kept_from = 0;
    target->kept_to = (size_t)(received - sent);
    watch(from, source->events & ~(uint32_t)EPOLLIN);
    watch(source->other, target->events | EPOLLOUT);
}

static void flush(int to) {
    struct side *target = sides[to];
    struct side *source = sides[target->other];
    while (target->kept_from < target->kept_to) {
        ssize_t sent = send(to, target->kept + target->kept_from, target->kept_to - target->kept_from, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) return;
        if (sent <= 0) return end_pair(to);
        target->kept_from += (size_t)sent;
    }
    free(target->kept);
    target->kept = NULL;
    target->kept_from = target->kept_to = 0;
    watch(to, target->events & ~(uint32_t)EPOLLOUT);
    if (!source->ended) watch(target->other, source->events | EPOLLIN);
}

static void add(int descriptor, int other) {
    int on = 1;
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct side *side = calloc(1, sizeof *side);
    if (side == NULL) fail("calloc");
    side->other = other;
    side->events = EPOLLIN;
    sides[descriptor] = side;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = descriptor};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, descriptor, &event) != 0) fail("epoll_ctl");
}

static void accept_all(int listener) {
    for (;;) {
        int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (client < 0) return;
        int upstream = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        // A blocking connect: on loopback it is done when it returns, and it happens once a connection.
        if (upstream < 0 || client >= maximum_descriptors || upstream >= maximum_descriptors
            || connect(upstream, (struct sockaddr *)&backend, sizeof backend) != 0) {
            if (upstream >= 0) close(upstream);
            close(client);
            continue;
        }
        if (fcntl(upstream, F_SETFL, O_NONBLOCK) != 0) fail("fcntl");
        add(client, upstream);
        add(upstream, client);
    }
}

int main(int count, char **arguments) {
    if (count != 3) {
        fprintf(stderr, "usage: relay LISTEN_PORT BACKEND_PORT\n");
        return 2;
    }
    raise_descriptor_limit();
    backend.sin_family = AF_INET;
    backend.sin_port = htons((uint16_t)atoi(arguments[2]));
    backend.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = listen_at(arguments[1], INADDR_LOOPBACK, 4096);
    poller = poller_of(listener);

    for (;;) {
        struct epoll_event events[events_per_turn];
        int ready = epoll_wait(poller, events, events_per_turn, -1);
        if (ready < 0 && errno != EINTR) fail("epoll_wait");
        for (int index = 0; index < ready; index += 1) {
            int descriptor = events[index].data.fd;
            uint32_t what = events[index].events;
            if (descriptor == listener) {
                accept_all(listener);
                continue;
            }
            if (sides[descriptor]->closed_in_turn) continue;
            if (what & EPOLLERR) {
                end_pair(descriptor);
                continue;
            }
            if (what & EPOLLOUT) flush(descriptor);
            if (what & (EPOLLIN | EPOLLHUP) && !sides[descriptor]->closed_in_turn) relay(descriptor);
        }
        empty_graveyard();
    }
}

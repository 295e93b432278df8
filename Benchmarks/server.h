// How the servers of the benchmarks begin: one thread, epoll, one listener of the loopback device.

#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static void fail(const char *what) {
    perror(what);
    exit(1);
}

// A number in a file that the bench maps, too; it lives as long as the process.
static inline void *mapped_counter(const char *path) {
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0 || ftruncate(file, sizeof(uint64_t)) != 0) fail(path);
    void *counter = mmap(NULL, sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (counter == MAP_FAILED) fail("mmap");
    return counter;
}

// Lets the process have as many connections as the system allows it.
static inline void raise_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

// A listener that does not block. INADDR_ANY stands for all addresses of the loopback device, so that one process is
// many endpoints, and for no other device's.
static inline int listen_at(const char *port, in_addr_t address, int backlog) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address == INADDR_ANY && setsockopt(listener, SOL_SOCKET, SO_BINDTODEVICE, "lo", sizeof "lo") != 0)
        fail("SO_BINDTODEVICE");
    struct sockaddr_in place = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)), .sin_addr.s_addr = htonl(address)};
    if (bind(listener, (struct sockaddr *)&place, sizeof place) != 0) fail("bind");
    if (listen(listener, backlog) != 0) fail("listen");
    return listener;
}

// A descriptor of epoll that tells of new connections.
static inline int poller_of(int listener) {
    int poller = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    if (poller < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event) != 0) fail("epoll");
    return poller;
}

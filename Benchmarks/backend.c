// The origin behind every proxy of the benchmarks: one thread, epoll, HTTP/1.1 with keep-alive, fixed answers.
// It costs as little as it can, is the same for all, and counts the requests it answered in a file that the bench
// maps, so that a window of time can be divided by exactly the requests that were proxied in it.
//
//   backend PORT COUNTER_FILE
//
// GET  /                     200 bytes in all, head included
// GET  /stream/BYTES         a body of that many bytes, as fast as the reader takes it
// POST /v1/models/...        the body is read and dropped; a small predict answer in JSON
// POST /v2/models/...        the same; a V2 inference answer
// POST anything else         the same; two bytes
//
// A body must come with Content-Length (a proxy that turns it into chunks gets 411). Loopback only.

#define _GNU_SOURCE
#include <errno.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <string.h>

#include "server.h"

enum {
    // One descriptor a connection; more than any benchmark opens (10,000 idle clients use few upstream ones).
    maximum_descriptors = 32768,
    // A head larger than this is an error here: the largest scenario sends under 2 KB.
    head_capacity = 8192,
    events_per_turn = 256,
    body_chunk = 65536,
};

struct connection {
    uint64_t body_left;    // bytes of the current request's body not yet read
    uint64_t stream_left;  // bytes of the current answer not yet sent (only /stream)
    const char *answer;    // what to send when the body has been read; NULL between requests
    size_t answer_length;
    uint32_t head_length;  // bytes in `head`
    uint32_t events;       // what epoll watches
    char head[head_capacity];
};

struct answer {
    char bytes[512];
    size_t length;
};

static struct connection *connections[maximum_descriptors];
static _Atomic uint64_t *answered;
static int poller;
static char zeros[body_chunk];
static char sink[body_chunk];
static struct answer get_answer, predict_answer, infer_answer, post_answer;
static const char length_required[] = "HTTP/1.1 411 Length Required\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

static void make_answer(struct answer *answer, const char *type, const char *body) {
    int length = snprintf(
        answer->bytes, sizeof answer->bytes, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
        type, strlen(body), body);
    if (length < 0 || (size_t)length >= sizeof answer->bytes) fail("answer too long");
    answer->length = (size_t)length;
}

static void watch(int descriptor, uint32_t events) {
    struct connection *connection = connections[descriptor];
    if (connection->events == events) return;
    struct epoll_event event = {.events = events, .data.fd = descriptor};
    if (epoll_ctl(poller, EPOLL_CTL_MOD, descriptor, &event) != 0) fail("epoll_ctl");
    connection->events = events;
}

static void end(int descriptor) {
    free(connections[descriptor]);
    connections[descriptor] = NULL;
    close(descriptor);
}

// Sends what is left of a streamed body. False: the connection has ended.
static int pump(int descriptor) {
    struct connection *connection = connections[descriptor];
    while (connection->stream_left > 0) {
        size_t size = connection->stream_left < body_chunk ? (size_t)connection->stream_left : body_chunk;
        ssize_t sent = send(descriptor, zeros, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            watch(descriptor, EPOLLOUT);
            return 1;
        }
        if (sent <= 0) {
            end(descriptor);
            return 0;
        }
        connection->stream_left -= (uint64_t)sent;
    }
    watch(descriptor, EPOLLIN);
    return 1;
}

// Sends the answer whose request is complete. False: the connection has ended.
static int finish(int descriptor) {
    struct connection *connection = connections[descriptor];
    const char *bytes = connection->answer;
    connection->answer = NULL;
    atomic_store_explicit(answered, atomic_load_explicit(answered, memory_order_relaxed) + 1, memory_order_relaxed);
    // At most 512 bytes toward a peer that read all before: a short count means that it is gone.
    if (send(descriptor, bytes, connection->answer_length, MSG_NOSIGNAL) != (ssize_t)connection->answer_length
        || bytes == length_required) {
        end(descriptor);
        return 0;
    }
    return connection->stream_left == 0 || pump(descriptor);
}

static void choose(struct connection *connection, const struct answer *answer) {
    connection->answer = answer->bytes;
    connection->answer_length = answer->length;
}

// Reads one head of `length` bytes and says what will be answered. False: it is none that this program knows.
static int begin(struct connection *connection, char *head, size_t length) {
    static struct answer stream_answer;
    head[length - 1] = 0;  // the last LF, so that the string functions stop
    if (strncmp(head, "GET ", 4) == 0) {
        if (strncmp(head + 4, "/stream/", 8) == 0) {
            connection->stream_left = strtoull(head + 12, NULL, 10);
            int size = snprintf(
                stream_answer.bytes, sizeof stream_answer.bytes,
                "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %llu\r\n\r\n",
                (unsigned long long)connection->stream_left);
            stream_answer.length = (size_t)size;
            choose(connection, &stream_answer);
        } else {
            choose(connection, &get_answer);
        }
        return 1;
    }
    if (strncmp(head, "POST ", 5) != 0) return 0;
    if (strncmp(head + 5, "/v1/models/", 11) == 0) choose(connection, &predict_answer);
    else if (strncmp(head + 5, "/v2/models/", 11) == 0) choose(connection, &infer_answer);
    else choose(connection, &post_answer);
    const char *field = strcasestr(head, "\r\nContent-Length:");
    if (field == NULL) {
        connection->answer = length_required;
        connection->answer_length = sizeof length_required - 1;
        return 1;
    }
    connection->body_left = strtoull(field + 17, NULL, 10);
    return 1;
}

// What has come is read as far as it goes: bodies are dropped, heads are answered, one after another.
static void read_requests(int descriptor) {
    struct connection *connection = connections[descriptor];
    if (connection->body_left > body_chunk) {
        // A long body needs no look at its bytes.
        ssize_t received = recv(descriptor, sink, body_chunk, 0);
        if (received < 0 && errno == EAGAIN) return;
        if (received <= 0) return end(descriptor);
        connection->body_left -= (uint64_t)received;
        return;
    }
    size_t room = head_capacity - connection->head_length;
    ssize_t received = recv(descriptor, connection->head + connection->head_length, room, 0);
    if (received < 0 && errno == EAGAIN) return;
    if (received <= 0) return end(descriptor);
    connection->head_length += (uint32_t)received;
    char *at = connection->head;
    size_t left = connection->head_length;
    for (;;) {
        if (connection->answer != NULL) {
            size_t body = connection->body_left < left ? (size_t)connection->body_left : left;
            connection->body_left -= body;
            at += body;
            left -= body;
            if (connection->body_left > 0) break;
            if (!finish(descriptor)) return;
            continue;
        }
        char *stop = left > 0 ? memmem(at, left, "\r\n\r\n", 4) : NULL;
        if (stop == NULL) break;
        size_t length = (size_t)(stop + 4 - at);
        if (!begin(connection, at, length)) return end(descriptor);
        at += length;
        left -= length;
    }
    if (left == head_capacity) return end(descriptor);
    if (left > 0 && at != connection->head) memmove(connection->head, at, left);
    connection->head_length = (uint32_t)left;
}

static void accept_all(int listener) {
    for (;;) {
        int descriptor = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (descriptor < 0) return;
        int on = 1;
        struct connection *connection = descriptor < maximum_descriptors ? calloc(1, sizeof *connection) : NULL;
        struct epoll_event event = {.events = EPOLLIN, .data.fd = descriptor};
        if (connection == NULL || setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0
            || epoll_ctl(poller, EPOLL_CTL_ADD, descriptor, &event) != 0) {
            free(connection);
            close(descriptor);
            continue;
        }
        connection->events = EPOLLIN;
        connections[descriptor] = connection;
    }
}

int main(int count, char **arguments) {
    if (count != 3) {
        fprintf(stderr, "usage: backend PORT COUNTER_FILE\n");
        return 2;
    }
    // 200 bytes in all: the head above with this type and a length of two digits is 66 bytes.
    static char text[135];
    memset(text, 'x', sizeof text - 1);
    make_answer(&get_answer, "text/plain", text);
    make_answer(&post_answer, "text/plain", "ok");
    make_answer(&predict_answer, "application/json", "{\"predictions\":[[0.5,0.25,0.25]]}");
    make_answer(
        &infer_answer, "application/json",
        "{\"model_name\":\"m\",\"model_version\":\"1\",\"outputs\":"
        "[{\"name\":\"y\",\"datatype\":\"FP32\",\"shape\":[1,3],\"data\":[0.5,0.25,0.25]}]}");

    answered = mapped_counter(arguments[2]);
    raise_descriptor_limit();
    int listener = listen_at(arguments[1], INADDR_ANY, 4096);
    poller = poller_of(listener);

    for (;;) {
        struct epoll_event events[events_per_turn];
        int ready = epoll_wait(poller, events, events_per_turn, -1);
        if (ready < 0 && errno != EINTR) fail("epoll_wait");
        for (int index = 0; index < ready; index += 1) {
            int descriptor = events[index].data.fd;
            if (descriptor == listener) accept_all(listener);
            else if (events[index].events & (EPOLLERR | EPOLLHUP)) end(descriptor);
            else if (connections[descriptor]->stream_left > 0) pump(descriptor);
            else read_requests(descriptor);
        }
    }
}

// The origin of the gRPC and HTTP/2 measurements: one thread, epoll, libnghttp2 over h2c with prior knowledge. Every
// request is read to its end and answered like a unary call, with one small message and trailers. Requests that were
// answered are counted in a file that the bench maps, as in backend.c.
//
//   grpc_backend PORT COUNTER_FILE
//
// GET /stream/BYTES   a body of that many bytes, no trailers
// anything else       status 200, application/grpc, one message of 11 bytes, grpc-status 0 in the trailers
//
// Loopback only.

#define _GNU_SOURCE
#include <errno.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <string.h>

#include "server.h"

enum {
    // A proxy opens some hundred connections at most.
    maximum_descriptors = 4096,
    events_per_turn = 64,
    read_chunk = 65536,
    // What is gathered before one send: bounds the memory of a connection whatever its streams have to say.
    output_capacity = 131072,
    // As many as any proxy here asks for at once; the window lets a 64 MB body run without a stop at each 64 KB.
    concurrent_streams = 1024,
    window = 1 << 20,
};

struct stream {
    uint64_t left;  // bytes of the answer's body not yet given out
    int streamed;
};

struct connection {
    nghttp2_session *session;
    int descriptor;
    uint32_t events;
    size_t output_start, output_end;
    uint8_t output[output_capacity];
};

static struct connection *connections[maximum_descriptors];
static volatile uint64_t *answered;
static int poller;
// A ModelInferResponse of the V2 protocol with the model `m` and its version `1`, and no outputs: a translation reads
// it too. (gRPC over HTTP/2, Length-Prefixed-Message)
static const uint8_t message[11] = {0, 0, 0, 0, 6, 0x0a, 1, 'm', 0x12, 1, '1'};

#define FIELD(name, value) {(uint8_t *)(name), (uint8_t *)(value), sizeof(name) - 1, sizeof(value) - 1, 0}

static int on_begin(nghttp2_session *session, const nghttp2_frame *frame, void *context) {
    (void)context;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        struct stream *stream = calloc(1, sizeof *stream);
        if (stream == NULL) return NGHTTP2_ERR_CALLBACK_FAILURE;
        stream->left = sizeof message;
        nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, stream);
    }
    return 0;
}

static int on_header(
    nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_length,
    const uint8_t *value, size_t value_length, uint8_t flags, void *context) {
    (void)value_length, (void)flags, (void)context;
    // nghttp2 ends names and values with a zero byte.
    if (name_length == 5 && memcmp(name, ":path", 5) == 0 && strncmp((const char *)value, "/stream/", 8) == 0) {
        struct stream *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
        if (stream != NULL) {
            stream->left = strtoull((const char *)value + 8, NULL, 10);
            stream->streamed = 1;
        }
    }
    return 0;
}

static ssize_t give(
    nghttp2_session *session, int32_t identifier, uint8_t *buffer, size_t room, uint32_t *flags,
    nghttp2_data_source *source, void *context) {
    (void)context;
    struct stream *stream = source->ptr;
    size_t size = stream->left < room ? (size_t)stream->left : room;
    if (stream->streamed) memset(buffer, 0, size);
    else memcpy(buffer, message + sizeof message - stream->left, size);
    stream->left -= size;
    if (stream->left > 0) return (ssize_t)size;
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (!stream->streamed) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        nghttp2_nv trailers[] = {FIELD("grpc-status", "0")};
        if (nghttp2_submit_trailer(session, identifier, trailers, 1) != 0) return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return (ssize_t)size;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *context) {
    (void)context;
    int whole = (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA)
        && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM);
    struct stream *stream = whole ? nghttp2_session_get_stream_user_data(session, frame->hd.stream_id) : NULL;
    if (stream == NULL) return 0;
    nghttp2_nv fields[] = {FIELD(":status", "200"), FIELD("content-type", "application/grpc")};
    nghttp2_data_provider provider = {.source.ptr = stream, .read_callback = give};
    if (nghttp2_submit_response(session, frame->hd.stream_id, fields, 2, &provider) != 0)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    *answered += 1;
    return 0;
}

static int on_close(nghttp2_session *session, int32_t identifier, uint32_t code, void *context) {
    (void)code, (void)context;
    free(nghttp2_session_get_stream_user_data(session, identifier));
    return 0;
}

static void end(struct connection *connection) {
    connections[connection->descriptor] = NULL;
    close(connection->descriptor);
    nghttp2_session_del(connection->session);
    free(connection);
}

static void watch(struct connection *connection, uint32_t events) {
    if (connection->events == events) return;
    struct epoll_event event = {.events = events, .data.fd = connection->descriptor};
    if (epoll_ctl(poller, EPOLL_CTL_MOD, connection->descriptor, &event) != 0) fail("epoll_ctl");
    connection->events = events;
}

// Sends what the session has to say as far as the socket takes it. False: the connection has ended.
static int flush(struct connection *connection) {
    for (;;) {
        // One piece of nghttp2's is at most a frame of 16 KB and its header.
        while (connection->output_end + 16384 + 9 <= output_capacity) {
            const uint8_t *bytes;
            ssize_t size = nghttp2_session_mem_send(connection->session, &bytes);
            if (size < 0) return end(connection), 0;
            if (size == 0) break;
            memcpy(connection->output + connection->output_end, bytes, (size_t)size);
            connection->output_end += (size_t)size;
        }
        if (connection->output_start == connection->output_end) break;
        ssize_t sent = send(
            connection->descriptor, connection->output + connection->output_start,
            connection->output_end - connection->output_start, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) return watch(connection, EPOLLIN | EPOLLOUT), 1;
        if (sent <= 0) return end(connection), 0;
        connection->output_start += (size_t)sent;
        if (connection->output_start == connection->output_end) connection->output_start = connection->output_end = 0;
    }
    watch(connection, EPOLLIN);
    if (!nghttp2_session_want_read(connection->session)) return end(connection), 0;
    return 1;
}

static void read_some(struct connection *connection) {
    static uint8_t input[read_chunk];
    ssize_t received = recv(connection->descriptor, input, sizeof input, 0);
    if (received < 0 && errno == EAGAIN) return;
    if (received <= 0 || nghttp2_session_mem_recv(connection->session, input, (size_t)received) != received)
        return end(connection);
    flush(connection);
}

static void accept_all(int listener, const nghttp2_session_callbacks *callbacks) {
    for (;;) {
        int descriptor = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (descriptor < 0) return;
        int on = 1;
        setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct connection *connection = descriptor < maximum_descriptors ? calloc(1, sizeof *connection) : NULL;
        struct epoll_event event = {.events = EPOLLIN, .data.fd = descriptor};
        if (connection == NULL || nghttp2_session_server_new(&connection->session, callbacks, connection) != 0
            || epoll_ctl(poller, EPOLL_CTL_ADD, descriptor, &event) != 0) fail("a connection could not be served");
        connection->descriptor = descriptor;
        connection->events = EPOLLIN;
        connections[descriptor] = connection;
        nghttp2_settings_entry settings[] = {
            {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, concurrent_streams},
            {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window}};
        nghttp2_submit_settings(connection->session, 0, settings, 2);
        nghttp2_session_set_local_window_size(connection->session, 0, 0, window);
        flush(connection);
    }
}

int main(int count, char **arguments) {
    if (count != 3) {
        fprintf(stderr, "usage: grpc_backend PORT COUNTER_FILE\n");
        return 2;
    }
    answered = mapped_counter(arguments[2]);

    nghttp2_session_callbacks *callbacks;
    if (nghttp2_session_callbacks_new(&callbacks) != 0) fail("nghttp2");
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);

    int listener = listen_at(arguments[1], INADDR_LOOPBACK, 1024);
    poller = poller_of(listener);

    for (;;) {
        struct epoll_event events[events_per_turn];
        int ready = epoll_wait(poller, events, events_per_turn, -1);
        if (ready < 0 && errno != EINTR) fail("epoll_wait");
        for (int index = 0; index < ready; index += 1) {
            int descriptor = events[index].data.fd;
            if (descriptor == listener) {
                accept_all(listener, callbacks);
                continue;
            }
            struct connection *connection = connections[descriptor];
            if ((events[index].events & EPOLLOUT) && !flush(connection)) continue;
            if (events[index].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) read_some(connection);
        }
    }
}

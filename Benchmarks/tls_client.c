// A client of TLS for the benchmarks: bounded, one connection after another, TLS 1.3, no resumption, one suite and one
// group, so that every server does the same work. It trusts any certificate: the server is the bench's own.
//
//   tls_client handshakes PORT COUNT     full handshakes; each ends when the server has closed
//   tls_client bytes PORT COUNT PATH     GET PATH on one connection, COUNT times; prints the bytes that came

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static void fail(const char *what) {
    fprintf(stderr, "tls_client: %s\n", what);
    exit(1);
}

static SSL *opened(SSL_CTX *context, int port) {
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    // A server that stalls ends the run and not the patience of its caller.
    struct timeval patience = {.tv_sec = 20};
    int on = 1;
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (connect(descriptor, (struct sockaddr *)&address, sizeof address) != 0) fail("no connection");
    SSL *connection = SSL_new(context);
    if (connection == NULL || SSL_set_fd(connection, descriptor) != 1) fail("no session");
    SSL_set_tlsext_host_name(connection, "localhost");
    if (SSL_connect(connection) != 1) fail("the handshake failed");
    return connection;
}

static void handshake(SSL_CTX *context, int port) {
    SSL *connection = opened(context, port);
    int descriptor = SSL_get_fd(connection);
    char rest[4096];
    SSL_shutdown(connection);
    shutdown(descriptor, SHUT_WR);
    // The server's tickets and its close: by then it has read our Finished.
    while (recv(descriptor, rest, sizeof rest, 0) > 0) {}
    SSL_free(connection);
    close(descriptor);
}

// Reads one answer with a Content-Length and returns the length of its body.
static long long answer(SSL *connection) {
    static char buffer[262144];
    size_t held = 0;
    char *stop = NULL;
    while (stop == NULL) {
        int size = SSL_read(connection, buffer + held, (int)(sizeof buffer - 1 - held));
        if (size <= 0) fail("the connection ended in a head");
        held += (size_t)size;
        buffer[held] = 0;
        stop = strstr(buffer, "\r\n\r\n");
    }
    char *field = strcasestr(buffer, "\r\ncontent-length:");
    if (strncmp(buffer, "HTTP/1.1 200", 12) != 0 || field == NULL || field > stop) fail("no 200 with a length");
    long long length = atoll(field + 17), left = length - (long long)(held - (size_t)(stop + 4 - buffer));
    while (left > 0) {
        int size = SSL_read(connection, buffer, sizeof buffer);
        if (size <= 0) fail("the connection ended in a body");
        left -= size;
    }
    return length;
}

int main(int count, char **arguments) {
    if (count < 4) fail("usage: tls_client handshakes|bytes PORT COUNT [PATH]");
    int port = atoi(arguments[2]), times = atoi(arguments[3]);
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (context == NULL || SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1
        || SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256") != 1
        || SSL_CTX_set1_groups_list(context, "X25519") != 1) fail("no context");
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    if (strcmp(arguments[1], "handshakes") == 0) {
        for (int index = 0; index < times; index += 1) handshake(context, port);
        printf("%d\n", times);
        return 0;
    }
    if (count != 5) fail("bytes needs a path");
    SSL *connection = opened(context, port);
    long long bytes = 0;
    for (int index = 0; index < times; index += 1) {
        char head[256];
        int length = snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", arguments[4]);
        if (SSL_write(connection, head, length) != length) fail("the request could not be sent");
        bytes += answer(connection);
    }
    printf("%lld\n", bytes);
    return 0;
}

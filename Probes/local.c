// Connections that do not leave this machine.

#include "probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/// A listener at a port of the kernel's choice; its address.
static int listener(int family, const char *host, struct sockaddr_storage *address, socklen_t *length) {
    int socket = new_socket(family, 0);
    *length = sizeof *address;
    memset(address, 0, sizeof *address);
    address->ss_family = (sa_family_t)family;
    if (family == AF_INET)
        inet_pton(family, host, &((struct sockaddr_in *)address)->sin_addr);
    else
        inet_pton(family, host, &((struct sockaddr_in6 *)address)->sin6_addr);
    if (bind(socket, (struct sockaddr *)address, *length) < 0 || listen(socket, 1) < 0) exit(1);
    getsockname(socket, (struct sockaddr *)address, length);
    return socket;
}

/// Takes the connection that has come, if one has.
static int accept_one(int listening, struct sockaddr_storage *peer, socklen_t *length) {
    struct pollfd entry = {.fd = listening, .events = POLLIN};
    int isThere = poll(&entry, 1, 1000);
    printf("connection arrived=%d\n", isThere);
    return isThere == 1 ? accept4(listening, (struct sockaddr *)peer, length, SOCK_CLOEXEC) : -1;
}

static void to_own(int family, const char *host, int flags) {
    struct sockaddr_storage address;
    socklen_t length;
    int listening = listener(family, host, &address, &length);
    int socket = new_socket(family, flags);
    try_connect(socket, (struct sockaddr *)&address, length);
    int accepted = accept_one(listening, NULL, NULL);
    names(socket);
    if (accepted >= 0) {
        names(accepted);
        char byte = 0;
        printf("send result=%zd\n", send(socket, "x", 1, MSG_NOSIGNAL));
        printf("recv result=%zd\n", recv(accepted, &byte, 1, 0));
        close(accepted);
    }
    // Nobody listens there any more.
    close(listening);
    int late = new_socket(family, flags);
    try_connect(late, (struct sockaddr *)&address, length);
    wait_for(late, POLLOUT, 10000);
    socket_error(late);
    close(late);
    close(socket);
}

static void loopback(const struct row *row) { to_own(AF_INET, "127.0.0.1", row->option); }
static void loopback6(const struct row *row) { to_own(AF_INET6, "::1", row->option); }

static void own_address(const struct row *row) {
    char host[64];
    const struct sockaddr_storage *address = &target(row->target)->address;
    host_text(address, host, sizeof host);
    to_own(address->ss_family, host, row->option);
}

static void wildcard(const struct row *row) {
    struct sockaddr_storage address;
    socklen_t length;
    int listening = listener(AF_INET, "0.0.0.0", &address, &length);
    int socket = new_socket(AF_INET, row->option);
    try_connect(socket, (struct sockaddr *)&address, length);
    names(socket);
    close(socket);
    close(listening);
}

/// A socket that is connected to itself: the kernel's simultaneous open.
static void self(const char *host, int port) {
    int socket = new_socket(AF_INET, 0), on = 1;
    // What the last run has left may be in TIME_WAIT.
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons((in_port_t)port)};
    inet_pton(AF_INET, host, &own.sin_addr);
    if (bind_to(socket, host, port) < 0) return;
    if (try_connect(socket, (struct sockaddr *)&own, sizeof own) == 0) {
        names(socket);
        talk(socket);
    }
    close(socket);
}

static void self_loopback(const struct row *row) { self("127.0.0.1", row->option); }

static void self_own(const struct row *row) {
    char host[64];
    host_text(&target(row->target)->address, host, sizeof host);
    self(host, row->option);
}

static void listening(const struct row *row) {
    struct sockaddr_storage address;
    socklen_t length;
    int socket = listener(AF_INET, "0.0.0.0", &address, &length);
    connect_to(socket, row->target);
    names(socket);
    close(socket);
}

/// A server's side: who has connected, by accept(2) and getpeername(2).
static void server(const struct row *row) {
    (void)row;
    struct sockaddr_storage address, peer;
    socklen_t length, peerLength = sizeof peer;
    int listening = listener(AF_INET, "127.0.0.1", &address, &length);
    int socket = new_socket(AF_INET, 0), on = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    bind_to(socket, "127.0.0.1", 4712);
    try_connect(socket, (struct sockaddr *)&address, length);
    int accepted = accept_one(listening, &peer, &peerLength);
    if (accepted >= 0) {
        char text[80];
        printf("accept peer=%s length=%u\n", address_text(&peer, text, sizeof text), peerLength);
        names(accepted);
        close(accepted);
    }
    names(listening);
    close(socket);
    close(listening);
}

const struct row local_rows[] = {
    {"loopback", loopback, "own4", 0},
    {"loopback, IPv6", loopback6, "own6", 0},
    {"loopback, not blocking", loopback, "own4", SOCK_NONBLOCK},
    {"own address", own_address, "own4", 0},
    {"own address, IPv6", own_address, "own6", 0},
    {"own address, not blocking", own_address, "own4", SOCK_NONBLOCK},
    {"wildcard address", wildcard, "own4", 0},
    {"self-connect, loopback", self_loopback, "own4", 4710},
    {"self-connect, own address", self_own, "own4", 4711},
    {"listening socket", listening, "echo4", 0},
    {"accepted socket", server, "own4", 0},
    {0},
};

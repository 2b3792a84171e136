// Sockets that do not block, and the ways to wait for them.

#include "probe.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <unistd.h>

static bool is_early(int waiting) { return waiting == EPOLL_LEVEL_BEFORE || waiting == EPOLL_EDGE_BEFORE; }

static int add(int socket, int waiting) {
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    bool isEdge = waiting == EPOLL_EDGE || waiting == EPOLL_EDGE_BEFORE;
    struct epoll_event event = {.events = EPOLLOUT | EPOLLRDHUP | (isEdge ? (unsigned)EPOLLET : 0)};
    epoll_ctl(epoll, EPOLL_CTL_ADD, socket, &event);
    return epoll;
}

static int wait_epoll(int epoll, int milliseconds) {
    struct epoll_event event = {0};
    char text[64];
    begin();
    int result = epoll_wait(epoll, &event, 1, milliseconds);
    printf("epoll_wait result=%d events=%s elapsed=%s\n", result, event_names(event.events, text), elapsed());
    return result;
}

static int wait_select(int socket, int milliseconds) {
    fd_set readable, writable;
    FD_ZERO(&readable);
    FD_ZERO(&writable);
    FD_SET(socket, &readable);
    FD_SET(socket, &writable);
    struct timeval limit = {.tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};
    begin();
    int result = select(socket + 1, &readable, &writable, NULL, &limit);
    bool isReadable = result > 0 && FD_ISSET(socket, &readable), isWritable = result > 0 && FD_ISSET(socket, &writable);
    printf("select result=%d readable=%d writable=%d elapsed=%s\n", result, isReadable, isWritable, elapsed());
    return result;
}

static int wait_once(int socket, int epoll, int waiting, int milliseconds) {
    switch (waiting) {
    case POLL: return wait_for(socket, POLLOUT | POLLRDHUP, milliseconds);
    case SELECT: return wait_select(socket, milliseconds);
    default: return wait_epoll(epoll, milliseconds);
    }
}

static void nonblocking(const struct row *row) {
    int socket = socket_for(row, SOCK_NONBLOCK);
    int epoll = -1;
    if (is_early(row->option)) {
        epoll = add(socket, row->option);
        wait_epoll(epoll, 0);
    }
    names(socket);
    connect_to(socket, row->target);
    if (row->option == EPOLL_LEVEL || row->option == EPOLL_EDGE) epoll = add(socket, row->option);
    if (is_silent(row)) {
        wait_once(socket, epoll, row->option, 200);
        names(socket);
        connect_to(socket, row->target);
    }
    wait_once(socket, epoll, row->option, 10000);
    wait_once(socket, epoll, row->option, 0);
    socket_error(socket);
    socket_error(socket);
    names(socket);
    // Connected, or free for another attempt: only the former has a conversation.
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    if (getpeername(socket, (struct sockaddr *)&address, &length) == 0) {
        converse(socket, row);
    } else if (!is_silent(row)) {
        connect_to(socket, row->target);
    }
    if (epoll >= 0) close(epoll);
    close(socket);
}

/// The reset may come before or after the connection is seen; what counts is that it is seen.
static void reset(const struct row *row) {
    int socket = socket_for(row, SOCK_NONBLOCK);
    struct pollfd entry = {.fd = socket, .events = POLLIN};
    char byte;
    const struct target *to = target(row->target);
    int result = connect(socket, (const struct sockaddr *)&to->address, to->length);
    if (result < 0 && errno == EINPROGRESS) {
        poll(&entry, 1, 10000);
        result = recv(socket, &byte, 1, 0) < 0 ? -1 : 0;
    }
    printf("reset result=%d errno=%s\n", result, error_name(result < 0 ? errno : 0));
    wait_for(socket, POLLIN | POLLOUT | POLLRDHUP, 0);
    socket_error(socket);
    names(socket);
    close(socket);
}

/// A connection that is given up while it is under way.
static void give_up(const struct row *row) {
    int socket = socket_for(row, SOCK_NONBLOCK);
    connect_to(socket, row->target);
    int result = row->option ? shutdown(socket, SHUT_RDWR) : close(socket);
    printf("%s result=%d errno=%s\n", row->option ? "shutdown" : "close", result, error_name(result < 0 ? errno : 0));
    if (!row->option) return;
    wait_for(socket, POLLOUT | POLLRDHUP, 0);
    socket_error(socket);
    names(socket);
    close(socket);
}

/// SO_ERROR is not asked for: the second connect(2) brings what the first one has come to.
static void connect_again(const struct row *row) {
    int socket = socket_for(row, SOCK_NONBLOCK);
    connect_to(socket, row->target);
    wait_for(socket, POLLOUT, 10000);
    connect_to(socket, row->target);
    connect_to(socket, row->target);
    wait_for(socket, POLLOUT, 10000);
    socket_error(socket);
    names(socket);
    close(socket);
}

const struct row waiting_rows[] = {
    {"poll", nonblocking, "echo4", POLL},
    {"poll, IPv6", nonblocking, "echo6", POLL},
    {"poll, mapped address", nonblocking, "echo-mapped", POLL},
    {"poll, server speaks first", nonblocking, "greeting4", POLL},
    {"poll, aborted later", nonblocking, "abort4", POLL},
    {"poll, refused", nonblocking, "refused4", POLL},
    {"poll, refused, IPv6", nonblocking, "refused6", POLL},
    {"poll, unreachable", nonblocking, "unreachable4", POLL},
    {"poll, unreachable, IPv6", nonblocking, "unreachable6", POLL},
    {"poll, no route", nonblocking, "no-route4", POLL},
    {"poll, prohibited here", nonblocking, "prohibited4", POLL},
    {"poll, silent", nonblocking, "silent4", POLL},
    {"poll, silent, IPv6", nonblocking, "silent6", POLL},
    {"select", nonblocking, "echo4", SELECT},
    {"select, refused", nonblocking, "refused4", SELECT},
    {"select, silent", nonblocking, "silent4", SELECT},
    {"epoll level", nonblocking, "echo4", EPOLL_LEVEL},
    {"epoll level, refused", nonblocking, "refused4", EPOLL_LEVEL},
    {"epoll level, silent", nonblocking, "silent4", EPOLL_LEVEL},
    {"epoll edge", nonblocking, "echo4", EPOLL_EDGE},
    {"epoll edge, refused", nonblocking, "refused4", EPOLL_EDGE},
    {"epoll edge, silent", nonblocking, "silent4", EPOLL_EDGE},
    {"epoll level before connect", nonblocking, "echo4", EPOLL_LEVEL_BEFORE},
    {"epoll level before connect, refused", nonblocking, "refused4", EPOLL_LEVEL_BEFORE},
    {"epoll level before connect, silent", nonblocking, "silent4", EPOLL_LEVEL_BEFORE},
    {"epoll edge before connect", nonblocking, "echo4", EPOLL_EDGE_BEFORE},
    {"epoll edge before connect, IPv6", nonblocking, "echo6", EPOLL_EDGE_BEFORE},
    {"epoll edge before connect, refused", nonblocking, "refused4", EPOLL_EDGE_BEFORE},
    {"epoll edge before connect, silent", nonblocking, "silent4", EPOLL_EDGE_BEFORE},
    {"reset after accept", reset, "reset4", 0},
    {"close while connecting", give_up, "silent4", 0},
    {"shutdown while connecting", give_up, "silent4", 1},
    {"connect again, connected", connect_again, "echo4", 0},
    {"connect again, refused", connect_again, "refused4", 0},
    {0},
};

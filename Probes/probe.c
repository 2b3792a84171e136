#include "probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct target targets[64];
static int target_count;
static struct timespec start;

static bool parse(const char *text, struct target *target) {
    char host[64];
    const char *colon = strrchr(text, ':');
    if (colon == NULL || (size_t)(colon - text) >= sizeof host) return false;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = 0;
    in_port_t port = htons((in_port_t)atoi(colon + 1));
    if (host[0] == '[') {
        struct sockaddr_in6 *address = (struct sockaddr_in6 *)&target->address;
        host[strlen(host) - 1] = 0;
        address->sin6_family = AF_INET6;
        address->sin6_port = port;
        target->length = sizeof *address;
        return inet_pton(AF_INET6, host + 1, &address->sin6_addr) == 1;
    }
    struct sockaddr_in *address = (struct sockaddr_in *)&target->address;
    address->sin_family = AF_INET;
    address->sin_port = port;
    target->length = sizeof *address;
    return inet_pton(AF_INET, host, &address->sin_addr) == 1;
}

void read_targets(int count, char **words) {
    for (int index = 0; index < count && target_count < 64; index++) {
        if (strncmp(words[index], "only:", 5) == 0) continue;
        char *equals = strchr(words[index], '=');
        if (equals == NULL || !parse(equals + 1, &targets[target_count])) {
            fprintf(stderr, "no target: %s\n", words[index]);
            exit(2);
        }
        targets[target_count++].name = strndup(words[index], (size_t)(equals - words[index]));
    }
}

const struct target *target(const char *name) {
    for (int index = 0; index < target_count; index++)
        if (strcmp(targets[index].name, name) == 0) return &targets[index];
    fprintf(stderr, "no target named %s\n", name);
    exit(2);
}

bool is_silent(const struct row *row) { return strncmp(row->target, "silent", 6) == 0; }

void begin(void) { clock_gettime(CLOCK_MONOTONIC, &start); }

const char *elapsed(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    long milliseconds = (now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000;
    if (milliseconds < 150) return "instant";
    if (milliseconds < 400) return "short";
    return milliseconds < 2000 ? "long" : "longer";
}

const char *error_name(int error) { return error == 0 ? "0" : strerrorname_np(error); }

/// Whether two addresses of a family are of one host.
static bool is_same_host(const struct sockaddr_storage *one, const struct sockaddr_storage *other) {
    if (one->ss_family != other->ss_family) return false;
    if (one->ss_family == AF_INET) {
        const struct sockaddr_in *a = (const void *)one, *b = (const void *)other;
        return a->sin_addr.s_addr == b->sin_addr.s_addr;
    }
    const struct sockaddr_in6 *a = (const void *)one, *b = (const void *)other;
    return IN6_ARE_ADDR_EQUAL(&a->sin6_addr, &b->sin6_addr);
}

/// The address without its port.
const char *host_text(const struct sockaddr_storage *address, char *text, size_t size) {
    return address->ss_family == AF_INET
               ? inet_ntop(AF_INET, &((const struct sockaddr_in *)address)->sin_addr, text, (socklen_t)size)
               : inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)address)->sin6_addr, text, (socklen_t)size);
}

const char *address_text(const struct sockaddr_storage *address, char *text, size_t size) {
    char host[INET6_ADDRSTRLEN];
    char port[16] = "PORT";
    in_port_t number = 0;
    if (address->ss_family != AF_INET && address->ss_family != AF_INET6) {
        snprintf(text, size, "family-%d", address->ss_family);
        return text;
    }
    host_text(address, host, sizeof host);
    // The port is at the same place in both families.
    number = ntohs(((const struct sockaddr_in *)address)->sin_port);
    for (int index = 0; index < target_count; index++)
        if (strncmp(targets[index].name, "own", 3) == 0 && is_same_host(&targets[index].address, address)) strcpy(host, "own");
    bool isKnown = number == 0 || (number >= FIRST_PORT && number <= LAST_PORT);
    for (int index = 0; index < target_count; index++)
        isKnown |= ntohs(((struct sockaddr_in *)&targets[index].address)->sin_port) == number;
    if (isKnown) snprintf(port, sizeof port, "%d", number);
    snprintf(text, size, "%s/%s", host, port);
    return text;
}

int new_socket(int family, int flags) {
    int made = socket(family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    if (made < 0) {
        printf("socket errno=%s\n", error_name(errno));
        exit(1);
    }
    return made;
}

int socket_for(const struct row *row, int flags) { return new_socket(target(row->target)->address.ss_family, flags); }

int try_connect(int socket, const struct sockaddr *address, socklen_t length) {
    errno = 0;
    begin();
    int result = connect(socket, address, length);
    int error = errno;
    printf("connect result=%d errno=%s elapsed=%s\n", result, error_name(error), elapsed());
    errno = error;
    return result;
}

int connect_to(int socket, const char *name) {
    const struct target *to = target(name);
    return try_connect(socket, (const struct sockaddr *)&to->address, to->length);
}

int bind_to(int socket, const char *address, int port) {
    struct target own = {0};
    char text[80];
    snprintf(text, sizeof text, strchr(address, ':') ? "[%s]:%d" : "%s:%d", address, port);
    if (!parse(text, &own)) exit(2);
    int result = bind(socket, (struct sockaddr *)&own.address, own.length);
    printf("bind result=%d errno=%s\n", result, error_name(result < 0 ? errno : 0));
    return result;
}

static const char *name_text(int socket, int (*call)(int, struct sockaddr *, socklen_t *), char *text, size_t size) {
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;
    if (call(socket, (struct sockaddr *)&address, &length) < 0) return error_name(errno);
    return address_text(&address, text, size);
}

void names(int socket) {
    char peer[80], own[80];
    const char *peerText = name_text(socket, getpeername, peer, sizeof peer);
    printf("names peer=%s own=%s\n", peerText, name_text(socket, getsockname, own, sizeof own));
}

void socket_error(int socket) {
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &length);
    printf("so_error value=%s\n", error_name(error));
}

const char *event_names(unsigned events, char *text) {
    // The events of poll(2) and of epoll(7) have the same values.
    const struct {
        unsigned bit;
        const char *name;
    } known[] = {{POLLIN, "IN"}, {POLLOUT, "OUT"}, {POLLERR, "ERR"}, {POLLHUP, "HUP"}, {POLLRDHUP, "RDHUP"}};
    text[0] = 0;
    for (size_t index = 0; index < sizeof known / sizeof *known; index++)
        if (events & known[index].bit) {
            if (text[0]) strcat(text, "|");
            strcat(text, known[index].name);
        }
    return text[0] ? text : "none";
}

int wait_for(int socket, short events, int milliseconds) {
    struct pollfd entry = {.fd = socket, .events = events};
    char text[64];
    begin();
    int result = poll(&entry, 1, milliseconds);
    int error = errno;
    printf("poll result=%d revents=%s elapsed=%s\n", result, event_names((unsigned short)entry.revents, text), elapsed());
    errno = error;
    return result;
}

/// Reads up to so many bytes, for ten seconds at most, without changing the socket; -1 and errno if it ends with an error.
static int receive(int socket, char *bytes, int count) {
    int filled = 0;
    while (filled < count) {
        struct pollfd entry = {.fd = socket, .events = POLLIN};
        if (poll(&entry, 1, 10000) <= 0) {
            errno = ETIME;
            return -1;
        }
        ssize_t got = recv(socket, bytes + filled, (size_t)(count - filled), MSG_DONTWAIT);
        if (got == 0) break;
        if (got < 0 && errno != EAGAIN) return -1;
        if (got > 0) filled += (int)got;
    }
    return filled;
}

static void report_received(const char *call, int socket, int count) {
    char bytes[16] = {0};
    int got = receive(socket, bytes, count);
    if (got < 0)
        printf("%s got=%s\n", call, error_name(errno));
    else
        printf("%s got=%s\n", call, got == 0 ? "EOF" : bytes);
}

void talk(int socket) {
    ssize_t sent = send(socket, "ping", 4, MSG_NOSIGNAL);
    printf("send result=%zd errno=%s\n", sent, error_name(sent < 0 ? errno : 0));
    if (sent > 0) report_received("recv", socket, 4);
}

void hear(int socket) { report_received("hear", socket, 5); }

void finish(int socket) {
    int result = shutdown(socket, SHUT_WR);
    printf("shutdown result=%d errno=%s\n", result, error_name(result < 0 ? errno : 0));
    if (result == 0) report_received("end", socket, 1);
}

void converse(int socket, const struct row *row) {
    if (strncmp(row->target, "abort", 5) == 0) {
        // The server resets when it has the byte.
        printf("send result=%zd\n", send(socket, "!", 1, MSG_NOSIGNAL));
        wait_for(socket, POLLIN, 10000);
        report_received("recv", socket, 1);
        report_received("recv", socket, 1);
        ssize_t sent = send(socket, "!", 1, MSG_NOSIGNAL);
        printf("send result=%zd errno=%s\n", sent, error_name(sent < 0 ? errno : 0));
        names(socket);
        return;
    }
    if (strncmp(row->target, "greeting", 8) == 0)
        hear(socket);
    else
        talk(socket);
    finish(socket);
}

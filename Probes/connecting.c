// Sockets that block: what connect(2) comes to, with timeouts, signals and what was done to the socket before.

#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

static void blocking(const struct row *row) {
    int socket = socket_for(row, 0);
    names(socket);
    if (connect_to(socket, row->target) == 0) {
        names(socket);
        wait_for(socket, POLLOUT | POLLRDHUP, 0);
        socket_error(socket);
        connect_to(socket, row->target);
        converse(socket, row);
    } else {
        socket_error(socket);
        names(socket);
        wait_for(socket, POLLOUT | POLLRDHUP, 0);
        // The same socket may try elsewhere; on Linux, programs do that.
        if (target(row->target)->address.ss_family == AF_INET && connect_to(socket, "echo4") == 0) {
            names(socket);
            talk(socket);
        }
    }
    close(socket);
}

static void send_timeout(const struct row *row) {
    int socket = socket_for(row, 0);
    struct timeval limit = {.tv_usec = 200000};
    setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (connect_to(socket, row->target) == 0) {
        converse(socket, row);
    } else {
        names(socket);
        connect_to(socket, row->target);
        wait_for(socket, POLLOUT, is_silent(row) ? 10000 : 0);
        socket_error(socket);
    }
    close(socket);
}

static volatile sig_atomic_t handled;
static sigjmp_buf landing;
static bool isJumping;

static void handle(int number) {
    (void)number;
    handled++;
    if (isJumping) siglongjmp(landing, 1);
}

static void set_alarm(int flags) {
    struct sigaction action = {.sa_handler = handle, .sa_flags = flags};
    struct itimerval soon = {.it_value = {.tv_usec = 150000}};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &soon, NULL);
}

/// A signal handler runs while the connection is under way.
static void interrupted(const struct row *row) {
    int socket = socket_for(row, 0);
    set_alarm(row->option);
    connect_to(socket, row->target);
    printf("handler runs=%d\n", (int)handled);
    names(socket);
    connect_to(socket, row->target);
    wait_for(socket, POLLOUT, 0);
    socket_error(socket);
    close(socket);
}

static void interrupted_with_timeout(const struct row *row) {
    int socket = socket_for(row, 0);
    struct timeval limit = {.tv_sec = 1};
    setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    set_alarm(SA_RESTART);
    connect_to(socket, row->target);
    printf("handler runs=%d\n", (int)handled);
    close(socket);
}

/// The handler leaves connect(2) for good.
static void jumped_out_of(const struct row *row) {
    static int socket;
    socket = socket_for(row, 0);
    isJumping = true;
    if (sigsetjmp(landing, 1) == 0) {
        set_alarm(0);
        connect_to(socket, row->target);
    }
    printf("handler runs=%d\n", (int)handled);
    names(socket);
    close(socket);
}

/// A signal that is ignored, and one that is blocked, interrupt nothing.
static void undisturbed(const struct row *row) {
    int socket = socket_for(row, 0);
    struct itimerval soon = {.it_value = {.tv_usec = 150000}};
    sigset_t set, pending;
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    if (row->option)
        sigprocmask(SIG_BLOCK, &set, NULL);
    else
        signal(SIGALRM, SIG_IGN);
    setitimer(ITIMER_REAL, &soon, NULL);
    connect_to(socket, row->target);
    sigpending(&pending);
    printf("signal pending=%d\n", sigismember(&pending, SIGALRM));
    close(socket);
}

/// Closes a socket so that nothing keeps its port.
static void leave(int socket) {
    struct linger linger = {.l_onoff = 1};
    setsockopt(socket, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(socket);
}

static void bound(const struct row *row) {
    int socket = socket_for(row, 0);
    char own[64];
    bool isIPv6 = target(row->target)->address.ss_family == AF_INET6;
    const struct sockaddr_storage *address = &target(isIPv6 ? "own6" : "own4")->address;
    host_text(address, own, sizeof own);
    // The lowest bit is for the address, the others are the port.
    int port = row->option >> 1;
    if (bind_to(socket, row->option & 1 ? own : isIPv6 ? "::" : "0.0.0.0", port) == 0) {
        names(socket);
        if (connect_to(socket, row->target) == 0) {
            names(socket);
            talk(socket);
        } else {
            names(socket);
            connect_to(socket, row->target);
        }
    }
    leave(socket);
}

static void bound_to_loopback(const struct row *row) {
    int socket = socket_for(row, 0);
    bind_to(socket, "127.0.0.1", 0);
    connect_to(socket, row->target);
    names(socket);
    close(socket);
}

static void bound_without_port(const struct row *row) {
    int socket = socket_for(row, 0);
    int on = 1;
    setsockopt(socket, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    char own[64];
    host_text(&target("own4")->address, own, sizeof own);
    bind_to(socket, own, 0);
    names(socket);
    connect_to(socket, row->target);
    names(socket);
    converse(socket, row);
    close(socket);
}

/// One port, two destinations.
static void bound_twice(const struct row *row) {
    int sockets[2], on = 1;
    for (int index = 0; index < 2; index++) {
        sockets[index] = socket_for(row, 0);
        setsockopt(sockets[index], SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        bind_to(sockets[index], "0.0.0.0", row->option);
    }
    connect_to(sockets[0], "echo4");
    connect_to(sockets[1], "greeting4");
    names(sockets[0]);
    names(sockets[1]);
    talk(sockets[0]);
    hear(sockets[1]);
    connect_to(sockets[0], "echo4");
    leave(sockets[0]);
    leave(sockets[1]);
}

static void bound_to_device(const struct row *row) {
    int socket = socket_for(row, 0);
    int result = setsockopt(socket, SOL_SOCKET, SO_BINDTODEVICE, "eth0", 5);
    printf("setsockopt result=%d\n", result);
    connect_to(socket, row->target);
    names(socket);
    close(socket);
}

static void only_ipv6(const struct row *row) {
    int socket = socket_for(row, 0);
    int on = 1;
    setsockopt(socket, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (connect_to(socket, row->target) == 0) converse(socket, row);
    close(socket);
}

/// What was set before is there afterwards, and so are the flags.
static void options(const struct row *row) {
    int socket = socket_for(row, row->option);
    const struct {
        int level, option, value;
        const char *name;
    } wanted[] = {
        {SOL_SOCKET, SO_KEEPALIVE, 1, "SO_KEEPALIVE"},
        {SOL_SOCKET, SO_RCVBUF, 30000, "SO_RCVBUF"},
        {SOL_SOCKET, SO_SNDBUF, 30000, "SO_SNDBUF"},
        {SOL_SOCKET, SO_PRIORITY, 3, "SO_PRIORITY"},
        {SOL_SOCKET, SO_REUSEADDR, 0, "SO_REUSEADDR"},
        {SOL_SOCKET, SO_REUSEPORT, 0, "SO_REUSEPORT"},
        {IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY"},
        {IPPROTO_TCP, TCP_KEEPIDLE, 77, "TCP_KEEPIDLE"},
        {IPPROTO_TCP, TCP_SYNCNT, 3, "TCP_SYNCNT"},
        {IPPROTO_TCP, TCP_USER_TIMEOUT, 12345, "TCP_USER_TIMEOUT"},
        {IPPROTO_IP, IP_TOS, 16, "IP_TOS"},
        {IPPROTO_IP, IP_TTL, 61, "IP_TTL"},
        {IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 0, "IP_BIND_ADDRESS_NO_PORT"},
    };
    size_t count = sizeof wanted / sizeof *wanted;
    for (size_t index = 0; index < count; index++)
        if (wanted[index].value != 0)
            setsockopt(socket, wanted[index].level, wanted[index].option, &wanted[index].value, sizeof(int));
    connect_to(socket, row->target);
    wait_for(socket, POLLOUT, 10000);
    printf("options");
    for (size_t index = 0; index < count; index++) {
        int value = -1;
        socklen_t length = sizeof value;
        getsockopt(socket, wanted[index].level, wanted[index].option, &value, &length);
        printf(" %s=%d", wanted[index].name, value);
    }
    struct linger linger = {0};
    socklen_t length = sizeof linger;
    getsockopt(socket, SOL_SOCKET, SO_LINGER, &linger, &length);
    printf(" SO_LINGER=%d/%d O_NONBLOCK=%d FD_CLOEXEC=%d\n", linger.l_onoff, linger.l_linger,
           (fcntl(socket, F_GETFL) & O_NONBLOCK) != 0, fcntl(socket, F_GETFD) & FD_CLOEXEC);
    converse(socket, row);
    close(socket);
}

const struct row connecting_rows[] = {
    {"blocking", blocking, "echo4", 0},
    {"blocking, IPv6", blocking, "echo6", 0},
    {"blocking, mapped address", blocking, "echo-mapped", 0},
    {"blocking, server speaks first", blocking, "greeting4", 0},
    {"blocking, aborted later", blocking, "abort4", 0},
    {"blocking, refused", blocking, "refused4", 0},
    {"blocking, refused, IPv6", blocking, "refused6", 0},
    {"blocking, refused, mapped address", blocking, "refused-mapped", 0},
    {"blocking, unreachable", blocking, "unreachable4", 0},
    {"blocking, unreachable, IPv6", blocking, "unreachable6", 0},
    {"blocking, no route", blocking, "no-route4", 0},
    {"blocking, no route, IPv6", blocking, "no-route6", 0},
    {"blocking, filtered", blocking, "filtered4", 0},
    {"blocking, prohibited here", blocking, "prohibited4", 0},
    {"blocking, unreachable here", blocking, "no-way4", 0},
    {"blocking, silent", blocking, "silent4", 0},
    {"blocking, silent, IPv6", blocking, "silent6", 0},
    {"blocking, port 0", blocking, "zero4", 0},
    {"blocking, multicast", blocking, "multicast4", 0},
    {"blocking, broadcast", blocking, "broadcast4", 0},
    {"SO_SNDTIMEO", send_timeout, "echo4", 0},
    {"SO_SNDTIMEO, refused", send_timeout, "refused4", 0},
    {"SO_SNDTIMEO, silent", send_timeout, "silent4", 0},
    {"SIGALRM without SA_RESTART", interrupted, "silent4", 0},
    {"SIGALRM with SA_RESTART", interrupted, "silent4", SA_RESTART},
    {"SIGALRM with SA_RESTART and SO_SNDTIMEO", interrupted_with_timeout, "silent4", 0},
    {"SIGALRM, siglongjmp", jumped_out_of, "silent4", 0},
    {"SIGALRM ignored", undisturbed, "silent4", 0},
    {"SIGALRM blocked", undisturbed, "silent4", 1},
    {"bound address", bound, "echo4", 1},
    {"bound address, IPv6", bound, "echo6", 1},
    {"bound address, refused", bound, "refused4", 1},
    {"bound address and port", bound, "echo4", 1 | 4701 << 1},
    {"bound address and port, IPv6", bound, "echo6", 1 | 4702 << 1},
    {"bound address and port, refused", bound, "refused4", 1 | 4703 << 1},
    {"bound port", bound, "echo4", 4704 << 1},
    {"bound to loopback", bound_to_loopback, "echo4", 0},
    {"IP_BIND_ADDRESS_NO_PORT", bound_without_port, "echo4", 0},
    {"one port, two destinations", bound_twice, "echo4", 4705},
    {"SO_BINDTODEVICE", bound_to_device, "echo4", 0},
    {"IPV6_V6ONLY", only_ipv6, "echo6", 0},
    {"IPV6_V6ONLY, mapped address", only_ipv6, "echo-mapped", 0},
    {"options, blocking", options, "echo4", 0},
    {"options, not blocking", options, "echo4", SOCK_NONBLOCK},
    {0},
};

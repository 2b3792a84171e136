// What the cases of the probe share: targets, steps that are reported, and what is asked of a socket again and again.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/// Where a case connects to, by a name that the runner gives it: `echo4=10.77.2.2:7001`.
struct target {
    const char *name;
    struct sockaddr_storage address;
    socklen_t length;
};

/// How a socket that does not block is waited for.
enum waiting { POLL, SELECT, EPOLL_LEVEL, EPOLL_EDGE, EPOLL_LEVEL_BEFORE, EPOLL_EDGE_BEFORE };

struct row {
    const char *name;
    void (*run)(const struct row *);
    const char *target;
    int option;
};

/// Ports that cases bind; they are shown as they are. The kernel's own choice is shown as PORT.
enum { FIRST_PORT = 4701, LAST_PORT = 4799 };

extern const struct row connecting_rows[];
extern const struct row waiting_rows[];
extern const struct row calling_rows[];
extern const struct row local_rows[];

void read_targets(int count, char **words);
const struct target *target(const char *name);
bool is_silent(const struct row *row);

/// Starts the clock of the next step.
void begin(void);
/// The time since then: "instant" (less than 150 ms), "short" (less than 400 ms), "long" (less than 2 s) or "longer".
const char *elapsed(void);
const char *error_name(int error);
/// An address without its port.
const char *host_text(const struct sockaddr_storage *address, char *text, size_t size);
/// HOST/PORT, where this machine's own address is "own", and the kernel's choice of a port "PORT".
const char *address_text(const struct sockaddr_storage *address, char *text, size_t size);

int new_socket(int family, int flags);
int socket_for(const struct row *row, int flags);
/// connect(2), reported, with errno as it was left.
int try_connect(int socket, const struct sockaddr *address, socklen_t length);
int connect_to(int socket, const char *name);
int bind_to(int socket, const char *address, int port);
/// getpeername(2) and getsockname(2), reported.
void names(int socket);
void socket_error(int socket);
/// Waits for so many milliseconds at most, and reports what poll(2) says.
int wait_for(int socket, short events, int milliseconds);
const char *event_names(unsigned events, char *text);
/// Bytes there and back.
void talk(int socket);
/// What a server says first.
void hear(int socket);
/// The rest, and how it ends.
void finish(int socket);
/// talk or hear, then finish; for a target that resets, what comes of that.
void converse(int socket, const struct row *row);

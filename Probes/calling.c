// Who calls, and by which call: threads, children, io_uring, Fast Open; and calls that are wrong.

#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct sockaddr *plain(const struct target *target) { return (const struct sockaddr *)&target->address; }

enum { THREADS = 16 };

static void *connect_in_thread(void *argument) {
    const struct target *to = argument;
    int socket = new_socket(to->address.ss_family, 0);
    char bytes[4];
    intptr_t error = 0;
    if (connect(socket, plain(to), to->length) < 0)
        error = errno;
    else if (send(socket, "ping", 4, MSG_NOSIGNAL) != 4 || recv(socket, bytes, 4, MSG_WAITALL) != 4)
        error = EIO;
    close(socket);
    return (void *)error;
}

static void threads(const struct row *row) {
    pthread_t made[THREADS];
    int alike = 0;
    intptr_t first = 0;
    for (int index = 0; index < THREADS; index++)
        if (pthread_create(&made[index], NULL, connect_in_thread, (void *)target(row->target)) != 0) exit(1);
    for (int index = 0; index < THREADS; index++) {
        void *error;
        pthread_join(made[index], &error);
        if (index == 0) first = (intptr_t)error;
        if ((intptr_t)error == first) alike++;
    }
    printf("threads errno=%s alike=%d\n", error_name((int)first), alike);
}

/// A thread that is cancelled in connect(2), which is a cancellation point (pthreads(7)).
static void cancelled(const struct row *row) {
    pthread_t thread;
    void *result = NULL;
    if (pthread_create(&thread, NULL, connect_in_thread, (void *)target(row->target)) != 0) exit(1);
    struct timespec moment = {.tv_nsec = 100000000};
    begin();
    // What is cancelled is what has begun; the moment decides nothing, since the target is silent.
    nanosleep(&moment, NULL);
    pthread_cancel(thread);
    pthread_join(thread, &result);
    printf("join cancelled=%d elapsed=%s\n", result == PTHREAD_CANCELED, elapsed());
}

static void await_child(pid_t child) {
    int status = 0;
    waitpid(child, &status, 0);
    printf("wait exited=%d signal=%d\n", WIFEXITED(status), WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

static void after_fork(const struct row *row) {
    int socket = socket_for(row, 0);
    pid_t child = fork();
    if (child == 0) {
        if (connect_to(socket, row->target) == 0) {
            names(socket);
            talk(socket);
        }
        exit(0);
    }
    await_child(child);
    names(socket);
    if (row->option) finish(socket);
    close(socket);
}

static void after_vfork(const struct row *row) {
    int socket = socket_for(row, 0);
    const struct target *to = target(row->target);
    volatile int result = 0, error = 0;
    pid_t child = vfork();
    if (child == 0) {
        result = connect(socket, plain(to), to->length);
        error = result < 0 ? errno : 0;
        _exit(0);
    }
    await_child(child);
    printf("vfork result=%d errno=%s\n", result, error_name(error));
    names(socket);
    if (result == 0) {
        talk(socket);
        finish(socket);
    }
    close(socket);
}

/// The call past libc.
static void system_call(const struct row *row) {
    int socket = socket_for(row, 0);
    const struct target *to = target(row->target);
    errno = 0;
    long result = syscall(SYS_connect, socket, &to->address, to->length);
    printf("syscall result=%ld errno=%s\n", result, error_name(errno));
    names(socket);
    if (result == 0) converse(socket, row);
    close(socket);
}

/// IORING_OP_CONNECT on a ring of one entry (io_uring(7)).
static void ring(const struct row *row) {
    struct io_uring_params parameters = {0};
    int ring = (int)syscall(SYS_io_uring_setup, 1, &parameters);
    if (ring < 0) {
        printf("io_uring_setup errno=%s\n", error_name(errno));
        return;
    }
    int protection = PROT_READ | PROT_WRITE, kind = MAP_SHARED | MAP_POPULATE;
    size_t submissionSize = parameters.sq_off.array + parameters.sq_entries * sizeof(unsigned);
    size_t completionSize = parameters.cq_off.cqes + parameters.cq_entries * sizeof(struct io_uring_cqe);
    char *submission = mmap(NULL, submissionSize, protection, kind, ring, IORING_OFF_SQ_RING);
    char *completion = mmap(NULL, completionSize, protection, kind, ring, IORING_OFF_CQ_RING);
    size_t entriesSize = parameters.sq_entries * sizeof(struct io_uring_sqe);
    struct io_uring_sqe *entry = mmap(NULL, entriesSize, protection, kind, ring, IORING_OFF_SQES);
    int socket = socket_for(row, row->option);
    const struct target *to = target(row->target);
    memset(entry, 0, sizeof *entry);
    entry->opcode = IORING_OP_CONNECT;
    entry->fd = socket;
    entry->addr = (uint64_t)(uintptr_t)&to->address;
    entry->off = to->length;
    ((unsigned *)(submission + parameters.sq_off.array))[0] = 0;
    __atomic_store_n((unsigned *)(submission + parameters.sq_off.tail), 1, __ATOMIC_RELEASE);
    begin();
    long entered = syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0);
    const struct io_uring_cqe *event = (const struct io_uring_cqe *)(completion + parameters.cq_off.cqes);
    printf("io_uring entered=%ld result=%s elapsed=%s\n", entered, error_name(-event->res), elapsed());
    names(socket);
    if (event->res == 0) converse(socket, row);
    close(socket);
    munmap(submission, submissionSize);
    munmap(completion, completionSize);
    munmap(entry, entriesSize);
    close(ring);
}

/// The connection is made by the first bytes (tcp(7)).
static void fast_open(const struct row *row) {
    int socket = socket_for(row, row->option);
    const struct target *to = target(row->target);
    errno = 0;
    begin();
    ssize_t sent = sendto(socket, "ping", 4, MSG_FASTOPEN | MSG_NOSIGNAL, plain(to), to->length);
    printf("sendto result=%zd errno=%s elapsed=%s\n", sent, error_name(sent < 0 ? errno : 0), elapsed());
    wait_for(socket, POLLOUT, 10000);
    socket_error(socket);
    names(socket);
    if (sent == 4) {
        char bytes[5] = {0};
        recv(socket, bytes, 4, MSG_WAITALL);
        printf("recv got=%s\n", bytes);
        finish(socket);
    }
    close(socket);
}

/// connect(2) does nothing, and the first bytes do (tcp(7), TCP_FASTOPEN_CONNECT).
static void fast_open_connect(const struct row *row) {
    int socket = socket_for(row, row->option), on = 1;
    setsockopt(socket, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof on);
    connect_to(socket, row->target);
    talk(socket);
    wait_for(socket, POLLOUT, 10000);
    socket_error(socket);
    names(socket);
    close(socket);
}

/// connect(2) to AF_UNSPEC ends an association, and the socket is free for another.
static void dissolved(const struct row *row) {
    int socket = socket_for(row, 0);
    struct sockaddr nothing = {.sa_family = AF_UNSPEC};
    try_connect(socket, &nothing, sizeof nothing);
    connect_to(socket, row->target);
    try_connect(socket, &nothing, sizeof nothing);
    names(socket);
    wait_for(socket, POLLOUT | POLLRDHUP, 0);
    if (connect_to(socket, "greeting4") == 0) {
        names(socket);
        hear(socket);
        finish(socket);
    }
    close(socket);
}

static void duplicated(const struct row *row) {
    int socket = socket_for(row, 0);
    int copy = dup(socket);
    connect_to(copy, row->target);
    close(copy);
    names(socket);
    converse(socket, row);
    close(socket);
}

/// Another descriptor's number is taken by the connected socket, as shells and servers do it.
static void moved(const struct row *row) {
    int socket = socket_for(row, 0), other = open("/dev/null", O_RDONLY | O_CLOEXEC);
    connect_to(socket, row->target);
    dup2(socket, other);
    close(socket);
    names(other);
    converse(other, row);
    close(other);
}

/// The room for a name is smaller than the name.
static void small_room(const struct row *row) {
    int socket = socket_for(row, 0);
    connect_to(socket, row->target);
    for (socklen_t room = 0; room <= 8; room += 4) {
        unsigned char bytes[16];
        memset(bytes, 0xee, sizeof bytes);
        socklen_t length = room;
        int result = getpeername(socket, (struct sockaddr *)bytes, &length);
        printf("getpeername result=%d length=%u port=%d behind=%x\n", result, length,
               room >= 4 ? bytes[2] << 8 | bytes[3] : 0, bytes[room]);
    }
    printf("getpeername result=%d\n", getpeername(socket, NULL, NULL));
    printf("getpeername errno=%s\n", error_name(errno));
    close(socket);
}

static void wrong(const struct row *row) {
    int socket = socket_for(row, 0), file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int datagram = (int)syscall(SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int local = (int)syscall(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int six = new_socket(AF_INET6, 0);
    const struct target *to = target(row->target);
    struct sockaddr_storage other = to->address;
    struct sockaddr_un nowhere = {.sun_family = AF_UNIX, .sun_path = "/nowhere"};
    other.ss_family = 77;
    try_connect(socket, plain(to), 8);
    try_connect(socket, plain(to), 1);
    try_connect(socket, plain(to), sizeof to->address);
    close(socket);
    socket = socket_for(row, 0);
    try_connect(socket, plain(to), sizeof to->address + 1);
    try_connect(socket, (struct sockaddr *)&other, to->length);
    try_connect(socket, NULL, 0);
    try_connect(socket, (struct sockaddr *)&nowhere, sizeof nowhere);
    try_connect(six, plain(to), to->length);
    try_connect(-1, plain(to), to->length);
    try_connect(file, plain(to), to->length);
    try_connect(local, (struct sockaddr *)&nowhere, sizeof nowhere);
    try_connect(datagram, plain(to), to->length);
    names(datagram);
    // An address that is not there; from volatile, or the compiler sees it.
    struct sockaddr *volatile missing = NULL;
    try_connect(socket, missing, to->length);
    close(socket);
    close(file);
    close(datagram);
    close(local);
    close(six);
}

const struct row calling_rows[] = {
    {"threads", threads, "echo4", 0},
    {"threads, refused", threads, "refused4", 0},
    {"thread cancelled, silent", cancelled, "silent4", 0},
    {"after fork", after_fork, "echo4", 1},
    {"after fork, refused", after_fork, "refused4", 0},
    {"after vfork", after_vfork, "echo4", 0},
    {"after vfork, refused", after_vfork, "refused4", 0},
    {"system call", system_call, "echo4", 0},
    {"system call, refused", system_call, "refused4", 0},
    {"io_uring", ring, "echo4", 0},
    {"io_uring, refused", ring, "refused4", 0},
    {"io_uring, unreachable", ring, "unreachable4", 0},
    {"io_uring, not blocking", ring, "echo4", SOCK_NONBLOCK},
    {"MSG_FASTOPEN", fast_open, "echo4", 0},
    {"MSG_FASTOPEN, not blocking", fast_open, "echo4", SOCK_NONBLOCK},
    {"MSG_FASTOPEN, refused", fast_open, "refused4", 0},
    {"TCP_FASTOPEN_CONNECT", fast_open_connect, "echo4", 0},
    {"TCP_FASTOPEN_CONNECT, refused", fast_open_connect, "refused4", 0},
    {"AF_UNSPEC, then another", dissolved, "echo4", 0},
    {"dup", duplicated, "echo4", 0},
    {"dup2", moved, "echo4", 0},
    {"names in small rooms", small_room, "echo4", 0},
    {"wrong calls", wrong, "echo4", 0},
    {0},
};

// Many connects from many threads while signals rain on them: none may get lost, and no descriptor may stay open.
//
//   stress CONNECTS THREADS restart|interrupt ADDRESS PORT
//
// Handlers run with SA_RESTART ("restart") or without ("interrupt"); a connect(2) that is interrupted goes on by itself, and is
// waited for with poll(2) (connect(2), EINTR). The last line is the result; anything but zeros in it is a defect. "unbegun" are
// those that were interrupted and did not go on by themselves; they are made again.

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { MOST_THREADS = 256, PATIENCE = 30000 };

static struct sockaddr_in server;
static atomic_int left, done, failed, wrong, unbegun, interrupted, handled;
static atomic_bool isOver;

static void handle(int number) {
    (void)number;
    atomic_fetch_add(&handled, 1);
}

/// Waits until a socket is ready, through all signals.
static bool await(int socket, short events) {
    struct pollfd entry = {.fd = socket, .events = events};
    int result;
    do result = poll(&entry, 1, PATIENCE);
    while (result < 0 && errno == EINTR);
    return result == 1;
}

static int finish_connecting(int socket) {
    int error = ETIME;
    socklen_t length = sizeof error;
    if (await(socket, POLLOUT)) getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &length);
    return error;
}

static bool is_closed(int socket) {
    struct tcp_info info = {.tcpi_state = TCP_CLOSE};
    socklen_t length = sizeof info;
    getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &length);
    return info.tcpi_state == TCP_CLOSE;
}

static int connect_to_server(int socket) {
    for (;;) {
        if (connect(socket, (struct sockaddr *)&server, sizeof server) == 0) return 0;
        if (errno != EINTR) return errno;
        atomic_fetch_add(&interrupted, 1);
        bool was_closed = is_closed(socket);
        int error = finish_connecting(socket);
        if (error != 0 || !was_closed) return error;
        atomic_fetch_add(&unbegun, 1);
    }
}

static bool converse(int socket, unsigned number) {
    unsigned answer = 0;
    size_t filled = 0;
    if (send(socket, &number, sizeof number, MSG_NOSIGNAL) != sizeof number) return false;
    while (filled < sizeof answer && await(socket, POLLIN)) {
        ssize_t got = recv(socket, (char *)&answer + filled, sizeof answer - filled, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) return false;
        if (got > 0) filled += (size_t)got;
    }
    return answer == number;
}

static void *work(void *argument) {
    (void)argument;
    int number;
    while ((number = atomic_fetch_sub(&left, 1)) > 0) {
        // A supervisor may make the socket (seccomp_unotify(2)): a signal can come before it has heard of the call.
        int made;
        do made = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        while (made < 0 && errno == EINTR);
        int error = made < 0 ? errno : connect_to_server(made);
        if (error != 0) {
            if (atomic_fetch_add(&failed, 1) == 0) fprintf(stderr, "first failure: %s\n", strerrorname_np(error));
        } else if (!converse(made, (unsigned)number)) {
            atomic_fetch_add(&wrong, 1);
        } else {
            atomic_fetch_add(&done, 1);
        }
        if (made >= 0) close(made);
    }
    return NULL;
}

/// One signal after the other, to one thread after the other.
static void *rain(void *argument) {
    pthread_t *threads = argument;
    struct timespec moment = {.tv_nsec = 200000};
    for (int index = 0; !atomic_load(&isOver); index++) {
        while (threads[index] == 0) index = 0;
        pthread_kill(threads[index], SIGUSR1);
        if (threads[index + 1] == 0) index = -1;
        nanosleep(&moment, NULL);
    }
    return NULL;
}

static int open_descriptors(void) {
    DIR *listing = opendir("/proc/self/fd");
    int count = 0;
    while (listing != NULL && readdir(listing) != NULL) count++;
    if (listing != NULL) closedir(listing);
    return count;
}

int main(int count, char **words) {
    static pthread_t threads[MOST_THREADS + 1];
    pthread_t cloud;
    if (count != 6) return 2;
    int total = atoi(words[1]), size = atoi(words[2]);
    if (size < 1 || size > MOST_THREADS) return 2;
    server.sin_family = AF_INET;
    server.sin_port = htons((in_port_t)atoi(words[5]));
    if (inet_pton(AF_INET, words[4], &server.sin_addr) != 1) return 2;
    struct sigaction action = {.sa_handler = handle, .sa_flags = strcmp(words[3], "restart") == 0 ? SA_RESTART : 0};
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGALRM, &action, NULL);
    struct itimerval often = {.it_interval = {.tv_usec = 1000}, .it_value = {.tv_usec = 1000}};

    int before = open_descriptors();
    atomic_store(&left, total);
    sigset_t all;
    sigfillset(&all);
    for (int index = 0; index < size; index++)
        if (pthread_create(&threads[index], NULL, work, NULL) != 0) return 1;
    // The threads that work take the signals; this one, and the one that sends them, do not.
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    if (pthread_create(&cloud, NULL, rain, threads) != 0) return 1;
    // No thread is joined before the last signal is sent: its number would mean nothing any more.
    while (atomic_load(&done) + atomic_load(&failed) + atomic_load(&wrong) < total)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    atomic_store(&isOver, true);
    pthread_join(cloud, NULL);
    for (int index = 0; index < size; index++) pthread_join(threads[index], NULL);
    setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
    fprintf(stderr, "connects=%d interrupted=%d unbegun=%d signals=%d\n", atomic_load(&done), atomic_load(&interrupted),
            atomic_load(&unbegun), atomic_load(&handled));
    printf("failed=%d wrong=%d descriptors=%d unbegun=%s\n", atomic_load(&failed), atomic_load(&wrong),
           open_descriptors() - before, atomic_load(&unbegun) == 0 ? "0" : "some");
    return 0;
}

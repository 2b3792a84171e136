// The part of Linux's interface that Swift cannot import by itself: function-like macros, variadic calls, calls that
// the Swift overlay hides, and constants newer than Debian 12's headers. Nothing here holds logic.
#pragma once

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/types.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>
#include <linux/audit.h>
#include <linux/errqueue.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/inet_diag.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/seccomp.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>

// Socket options that Debian 12's headers lack (include/uapi/linux/tcp.h, asm-generic/socket.h).
enum {
    USL_TCP_RTO_MAX_MS = 44,
    USL_TCP_RTO_MIN_US = 45,
    USL_SO_NETNS_COOKIE = 71,
};

// Of <linux/mptcp.h>, which does not go together with the headers above (include/uapi/linux/mptcp.h).
enum {
    USL_SOL_MPTCP = 284,
    USL_MPTCP_INFO = 1,
};

// <linux/tcp.h> and <netinet/tcp.h> both define `struct tcp_info`; this is the kernel's, up to the last field that USL
// reads (include/uapi/linux/tcp.h).
struct usl_tcp_info {
    uint8_t state, ca_state, retransmits, probes, backoff, options, window_scales, flags;
    uint32_t rto, ato, snd_mss, rcv_mss, unacked, sacked, lost, retrans, fackets;
    uint32_t last_data_sent, last_ack_sent, last_data_recv, last_ack_recv;
    uint32_t pmtu, rcv_ssthresh, rtt, rttvar, snd_ssthresh, snd_cwnd, advmss, reordering;
    uint32_t rcv_rtt, rcv_space, total_retrans;
    uint64_t pacing_rate, max_pacing_rate, bytes_acked, bytes_received;
    uint32_t segs_out, segs_in, notsent_bytes, min_rtt, data_segs_in, data_segs_out;
    uint64_t delivery_rate, busy_time, rwnd_limited, sndbuf_limited;
};

// fork(2), which the Swift overlay hides. Called only while the process has one thread.
static inline pid_t usl_fork(void) { return fork(); }

// Straight to the kernel: USL's own sockets must not pass through its own preload library.
static inline int usl_socket_call(int domain, int type, int protocol) {
    return (int)syscall(SYS_socket, domain, type, protocol);
}
static inline int usl_connect(int fd, const struct sockaddr *address, socklen_t length) {
    return (int)syscall(SYS_connect, fd, address, length);
}
static inline int usl_getpeername(int fd, struct sockaddr *address, socklen_t *length) {
    return (int)syscall(SYS_getpeername, fd, address, length);
}
static inline int usl_listen_call(int fd, int backlog) { return (int)syscall(SYS_listen, fd, backlog); }
static inline int usl_accept_call(int fd, struct sockaddr *address, socklen_t *length, int flags) {
    return (int)syscall(SYS_accept4, fd, address, length, flags);
}
static inline int usl_getsockname_call(int fd, struct sockaddr *address, socklen_t *length) {
    return (int)syscall(SYS_getsockname, fd, address, length);
}
static inline ssize_t usl_sendto_call(int fd, const void *buffer, size_t size, int flags, const struct sockaddr *address, socklen_t length) {
    return syscall(SYS_sendto, fd, buffer, size, flags, address, length);
}
static inline ssize_t usl_recvfrom_call(int fd, void *buffer, size_t size, int flags, struct sockaddr *address, socklen_t *length) {
    return syscall(SYS_recvfrom, fd, buffer, size, flags, address, length);
}
static inline ssize_t usl_sendmsg_call(int fd, const struct msghdr *message, int flags) {
    return syscall(SYS_sendmsg, fd, message, flags);
}
static inline ssize_t usl_recvmsg_call(int fd, struct msghdr *message, int flags) {
    return syscall(SYS_recvmsg, fd, message, flags);
}
static inline int usl_sendmmsg_call(int fd, struct mmsghdr *messages, unsigned count, int flags) {
    return (int)syscall(SYS_sendmmsg, fd, messages, count, flags);
}
static inline int usl_recvmmsg_call(int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout) {
    return (int)syscall(SYS_recvmmsg, fd, messages, count, flags, timeout);
}

// Calls whose address parameter glibc declares as a transparent union, which Swift does not take for a pointer.
static inline int usl_bind(int fd, const struct sockaddr *address, socklen_t length) { return bind(fd, address, length); }
static inline int usl_getsockname(int fd, struct sockaddr *address, socklen_t *length) { return getsockname(fd, address, length); }
static inline int usl_accept(int fd, int flags) { return accept4(fd, NULL, NULL, flags); }
static inline int usl_accept_from(int fd, struct sockaddr *address, socklen_t *length, int flags) {
    return accept4(fd, address, length, flags);
}
static inline ssize_t usl_recvfrom(int fd, void *buffer, size_t size, int flags, struct sockaddr *address, socklen_t *length) {
    return recvfrom(fd, buffer, size, flags, address, length);
}

// Variadic calls.
static inline int usl_fcntl(int fd, int command, int argument) { return fcntl(fd, command, argument); }
static inline int usl_ioctl_int(int fd, unsigned long request, int *value) { return ioctl(fd, request, value); }
static inline int usl_open(const char *path, int flags, mode_t mode) { return open(path, flags, mode); }
static inline int usl_prctl(int option, unsigned long argument) { return prctl(option, argument, 0, 0, 0); }
static inline int usl_memfd_create(const char *name, unsigned flags) { return memfd_create(name, flags); }
static inline int usl_pidfd_open(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

static inline int usl_pidfd_send_signal(int pidfd, int signal) {
    return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0);
}

// Calls without a wrapper in Debian 12's libc (seccomp(2), pidfd_getfd(2)).
static inline int usl_seccomp(unsigned operation, unsigned flags, void *argument) {
    return (int)syscall(SYS_seccomp, operation, flags, argument);
}
static inline int usl_pidfd_getfd(int pidfd, int target) { return (int)syscall(SYS_pidfd_getfd, pidfd, target, 0); }

// Requests to a seccomp listener (seccomp_unotify(2)): macros over the sizes of structures.
static inline int usl_seccomp_receive(int fd, struct seccomp_notif *notification) {
    return ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, notification);
}
static inline int usl_seccomp_set_flags(int fd, uint64_t flags) {
    return ioctl(fd, _IOW('!', 4, uint64_t), flags);  // SECCOMP_IOCTL_NOTIF_SET_FLAGS, Linux 6.6
}
static inline int usl_seccomp_respond(int fd, struct seccomp_notif_resp *response) {
    return ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, response);
}
static inline int usl_seccomp_id_valid(int fd, uint64_t id) {
    return ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &id);
}
static inline int usl_seccomp_add_descriptor(int fd, struct seccomp_notif_addfd *descriptor) {
    return ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, descriptor);
}

// The architecture whose system calls this binary makes, as seccomp filters see it (linux/audit.h).
#if defined(__x86_64__)
enum { USL_AUDIT_ARCH = AUDIT_ARCH_X86_64 };
#elif defined(__aarch64__)
enum { USL_AUDIT_ARCH = AUDIT_ARCH_AARCH64 };
#endif

// Globals and macros that Swift's concurrency checking or importer does not take.
static inline char **usl_environ(void) { return environ; }
static inline void usl_signal_set_default(int signal_number) { signal(signal_number, SIG_DFL); }
static inline int usl_signal_is_ignored(int signal_number) {
    struct sigaction action;
    return sigaction(signal_number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

// Signal codes (sigaction(2)): an enumeration without a type, whose members Swift hides.
static inline int usl_si_user(void) { return SI_USER; }
static inline int usl_si_queue(void) { return SI_QUEUE; }
static inline int usl_si_tkill(void) { return SI_TKILL; }

// A function whose name a structure has too.
static inline int usl_flock(int fd, int operation) { return flock(fd, operation); }

// errno is a macro over a thread-local.
static inline int usl_errno(void) { return errno; }
static inline void usl_set_errno(int value) { errno = value; }

// Wait status macros.
static inline int usl_wifexited(int status) { return WIFEXITED(status); }
static inline int usl_wexitstatus(int status) { return WEXITSTATUS(status); }
static inline int usl_wifsignaled(int status) { return WIFSIGNALED(status); }
static inline int usl_wtermsig(int status) { return WTERMSIG(status); }
static inline int usl_wifstopped(int status) { return WIFSTOPPED(status); }
static inline int usl_wstopsig(int status) { return WSTOPSIG(status); }
static inline int usl_wifcontinued(int status) { return WIFCONTINUED(status); }

// Control message macros (cmsg(3)).
static inline struct cmsghdr *usl_cmsg_firsthdr(struct msghdr *message) { return CMSG_FIRSTHDR(message); }
static inline struct cmsghdr *usl_cmsg_nxthdr(struct msghdr *message, struct cmsghdr *c) { return CMSG_NXTHDR(message, c); }
static inline unsigned char *usl_cmsg_data(struct cmsghdr *c) { return CMSG_DATA(c); }
static inline size_t usl_cmsg_space(size_t length) { return CMSG_SPACE(length); }
static inline size_t usl_cmsg_len(size_t length) { return CMSG_LEN(length); }

// Constants that are casts or expressions.
static inline unsigned long usl_siocinq(void) { return SIOCINQ; }
static inline unsigned long usl_siocoutq(void) { return SIOCOUTQ; }
static inline void *usl_map_failed(void) { return MAP_FAILED; }
static inline void *usl_rtld_next(void) { return RTLD_NEXT; }

/// What is known and accepted. Whoever changes how connections are intercepted changes it here, and runs `make interception`.
extension KnownDifference {
    /// Where sessions have legs on loopback.
    private static let session: Set = ["preload-session", "seccomp-session"]
    private static let preload: Set = ["preload-session", "preload-shim"]
    private static let donate: Set = ["donate-session", "donate-shim", "donate-direct"]
    private static let seccomp: Set = ["seccomp-session", "seccomp-shim", "seccomp-direct"]

    /// The ways of connect.c to wait on a socket that does not block.
    private static func waiting(_ place: String) -> Set<String> {
        [
            "poll, \(place)", "select, \(place)", "epoll level, \(place)", "epoll edge, \(place)",
            "epoll level before connect, \(place)", "epoll edge before connect, \(place)",
        ]
    }

    private static let waitingForSilence = waiting("silent")
        .union(["poll, silent, IPv6", "close while connecting", "shutdown while connecting"])

    static let all: [KnownDifference] = [
        KnownDifference(
            mark: "a", modes: session,
            places: [
                Place(
                    waiting("refused").union(waiting("silent")).union([
                        "blocking, refused", "blocking, refused, IPv6", "blocking, refused, mapped address",
                        "blocking, unreachable", "blocking, unreachable, IPv6", "blocking, no route",
                        "blocking, no route, IPv6", "blocking, filtered", "blocking, prohibited here",
                        "blocking, unreachable here", "blocking, silent", "blocking, silent, IPv6",
                        "blocking, port 0", "SO_SNDTIMEO, refused", "SO_SNDTIMEO, silent",
                        "SIGALRM without SA_RESTART", "SIGALRM with SA_RESTART", "SIGALRM, siglongjmp",
                        "poll, refused, IPv6", "poll, unreachable", "poll, unreachable, IPv6", "poll, no route",
                        "poll, prohibited here", "poll, silent, IPv6", "shutdown while connecting",
                        "connect again, refused", "after fork, refused", "after vfork, refused",
                        "TCP_FASTOPEN_CONNECT, refused",
                    ]), ["names own"]),
                Place(["MSG_FASTOPEN, refused"], ["names own"], in: preload),
                Place(["system call, refused"], ["names own"], in: seccomp),
            ],
            title: "`getsockname` of a socket that is connecting, or could not connect, tells a loopback address",
            reason: """
                The socket is bound there for its leg. What it would be without USL is known once it is connected.
                """),
        KnownDifference(
            mark: "b", isSteady: false, modes: session,
            places: [Place(["blocking, aborted later", "poll, aborted later"], ["names own"])],
            title: "`getsockname` of a socket whose connection was reset tells a loopback address",
            reason: "The agent forgets a socket's names with its session, and the leg's own are left."),
        KnownDifference(
            mark: "c", modes: session,
            places: [
                Place(
                    ["poll, unreachable", "poll, unreachable, IPv6", "poll, no route"],
                    ["connect errno", "poll revents", "so_error value"]),
                Place(["selectors, unreachable"], ["connect_ex error", "steps"], of: [.python]),
                Place(["SocketChannel, unreachable"], ["steps"], of: [.java]),
            ],
            title: "`connect` of a socket that does not block fails at once, and there is nothing in `SO_ERROR`",
            reason: """
                The gateway's answer is there within 200 ms, and loopback knows no error but "refused" that would \
                come later.
                """
        ),
        KnownDifference(
            mark: "d", modes: session,
            places: [
                Place(["blocking, unreachable", "blocking, no route", "blocking, filtered"], ["poll revents"])
            ],
            title: "no `POLLERR` behind an ICMP error",
            reason: "The message came to the gateway's socket; this one has not seen it."),
        KnownDifference(
            mark: "e", modes: session,
            places: [
                Place(["blocking, prohibited here"], ["connect errno"]),
                Place(["poll, prohibited here"], ["connect errno", "poll revents", "so_error value"]),
            ],
            title: "routes of this machine do not count",
            reason: "The gateway connects, by its own routes. Here its router answered."),
        KnownDifference(
            mark: "f", modes: session,
            places: [
                Place(waitingForSilence, ["connect elapsed"]),
                Place(["settimeout, silent"], ["connect elapsed"], of: [.python]),
                Place(["selectors, silent"], ["connect_ex elapsed"], of: [.python]),
                Place(["Socket with a timeout, silent", "SocketChannel, silent"], ["connect elapsed"], of: [.java]),
            ],
            title: "`connect` of a socket that does not block takes up to 200 ms",
            reason: """
                The library waits so long for a verdict, as an errno can be told exactly only then; after that the \
                socket is held.
                """),
        KnownDifference(
            mark: "g", isSteady: false, modes: ["preload-shim", "seccomp-shim"],
            places: [
                Place(
                    waitingForSilence.union(waiting("refused")).union([
                        "poll, refused, IPv6", "poll, unreachable", "poll, unreachable, IPv6", "poll, no route",
                        "connect again, refused",
                    ]),
                    [
                        "connect elapsed", "connect errno", "poll revents", "events", "so_error value", "names own",
                        "steps",
                    ]),
                Place(["settimeout, silent"], ["connect elapsed"], of: [.python]),
                Place(
                    ["selectors, silent", "selectors, refused", "selectors, unreachable"],
                    ["connect_ex error", "connect_ex elapsed", "so_error value", "steps"], of: [.python]),
                Place(
                    [
                        "Socket with a timeout, silent", "SocketChannel, silent", "SocketChannel, refused",
                        "SocketChannel, unreachable",
                    ], ["connect elapsed", "finishConnect elapsed", "steps"], of: [.java]),
                Place(["net.connect, silent, with a timeout"], ["timeout elapsed"], of: [.node]),
            ],
            title: "`connect` of a socket that does not block takes up to 450 ms, and tells an error at once",
            reason: """
                The library waits for the attempt to come to something, since an error can be taken back only before \
                an `epoll` has seen it. Not so with a host that has answered in the last 10 s, so it depends on what \
                came before.
                """
        ),
        KnownDifference(
            mark: "h", modes: ["preload-session"],
            places: [Place(["SO_SNDTIMEO, silent"], ["connect elapsed"])],
            title: "`SO_SNDTIMEO` counts from up to 200 ms later",
            reason: "From when the library has waited for a verdict, and the socket connects to where it is held."),
        KnownDifference(
            mark: "i", modes: preload,
            places: [Place(["SIGALRM, siglongjmp", "thread cancelled, silent"], ["descriptors left"])],
            title: "two descriptors stay open",
            reason: """
                Whoever leaves `connect` by `siglongjmp` or is cancelled there leaves the library's own code, which \
                has a connection to the agent and a `signalfd` open by then.
                """
        ),
        KnownDifference(
            mark: "j", modes: session,
            places: [
                Place(["options, blocking", "options, not blocking"], ["options IP_BIND_ADDRESS_NO_PORT"])
            ],
            title: "`IP_BIND_ADDRESS_NO_PORT` is set",
            reason: """
                The mark by which another agent, after the death of one, knows that the port was not the \
                application's wish.
                """),
        KnownDifference(
            mark: "k", modes: session,
            places: [
                Place(
                    ["loopback", "loopback, IPv6", "loopback, not blocking", "accepted socket"],
                    [
                        "connect result", "connect errno", "connection arrived", "names peer", "steps",
                    ]),
                Place(
                    ["self-connect, loopback", "self-connect, own address"],
                    ["connect result", "connect errno", "steps"]),
            ],
            title: "addresses of this machine are the gateway's, and no socket connects to itself",
            reason: """
                With `--gateway`, every destination is one of the gateway's: 127.0.0.1 is its own host. A rule can \
                say otherwise ([policy.md](policy.md)).
                """
        ),
        KnownDifference(
            mark: "l", modes: session,
            places: [
                Place(["own address", "own address, IPv6", "own address, not blocking"], ["names peer"])
            ],
            title: "the server sees the gateway's address",
            reason: "It is the gateway that has connected; `--send-proxy` tells the server more."),
        KnownDifference(
            mark: "m", modes: session,
            places: [Place(["AF_UNSPEC, then another"], ["names own"])],
            title: "`getsockname` after `connect` to `AF_UNSPEC` still tells the former address",
            reason: "The library does not see that an association was dissolved."),
        KnownDifference(
            mark: "n", isSteady: false, modes: session.union(["donate-session"]),
            places: [
                Place(
                    ["reset after accept"], ["reset errno", "poll revents", "so_error value", "names own"])
            ],
            title: "a server that resets at once seems to refuse",
            reason: """
                If the gateway's connection is reset before the gateway has told that it is there, there is no \
                connection to be reset here.
                """
        ),
        KnownDifference(
            mark: "o", modes: donate.union(seccomp),
            places: [
                Place(["io_uring", "io_uring, refused", "io_uring, unreachable", "io_uring, not blocking"], ["steps"])
            ],
            title: "there is no io_uring",
            reason: """
                It makes and connects sockets past every filter. `io_uring_setup` fails with `ENOSYS`, as on kernels without it, and programs do \
                without.
                """),
        KnownDifference(
            mark: "p", modes: donate,
            places: [
                Place(
                    ["blocking, prohibited here", "poll, prohibited here", "blocking, unreachable here"],
                    ["connect errno", "names own", "poll revents", "so_error value"])
            ],
            title: "routes of this machine that lead nowhere are told as if a router had",
            reason: """
                The socket's own namespace has none of them: its SYN waits for what the agent, or the gateway, is told. No message of \
                ICMP becomes `EACCES` over IPv4.
                """),
        KnownDifference(
            mark: "q", modes: donate,
            places: [Place(["SO_BINDTODEVICE"], ["setsockopt result"])],
            title: "there is no interface but `lo`",
            reason:
                "The socket is in a namespace of its own, with the addresses of this machine and none of its interfaces."
        ),
        KnownDifference(
            mark: "r", modes: donate,
            places: [
                Place(
                    ["bound to loopback"], ["connect result", "connect errno", "names peer", "steps"])
            ],
            title: "from loopback, everything can be reached",
            reason: "In the socket's namespace every address is on loopback. A native socket gets `EINVAL`."),
        KnownDifference(
            mark: "s", isSteady: false, modes: Set(InterceptionMode.all.map(\.name)),
            places: [
                Place(
                    ["poll, unreachable", "poll, unreachable, IPv6", "poll, no route", "poll, no route, IPv6"],
                    ["poll revents"])
            ],
            title: "`POLLERR` alone",
            reason: """
                So it is without USL too if the ICMP message comes while the program is in a call with the socket (in the kernel, \
                `tcp_v4_err`): the connection goes on for a moment.
                """),
        KnownDifference(
            mark: "t", isSteady: false, modes: Set(InterceptionMode.all.map(\.name)),
            places: [
                Place(
                    ["epoll edge, refused", "epoll edge before connect, refused"],
                    ["epoll_wait result", "epoll_wait events"])
            ],
            title: "a refusal is told twice by an edge",
            reason: """
                The kernel wakes whoever waits when it notes the error, and again when it closes the socket (in it, `tcp_reset`): who is \
                quick enough sees both, without USL too.
                """),
        KnownDifference(
            mark: "u", modes: seccomp,
            places: [
                Place(
                    ["MSG_FASTOPEN", "MSG_FASTOPEN, not blocking", "MSG_FASTOPEN, refused"],
                    ["sendto result", "sendto errno", "poll revents", "names peer", "names own", "steps"])
            ],
            title: "no data with a SYN",
            reason: """
                `MSG_FASTOPEN` fails with `EOPNOTSUPP`, as where `net.ipv4.tcp_fastopen` does not allow it, and programs connect \
                first.
                """),
        KnownDifference(
            mark: "v", modes: ["seccomp-session"],
            places: [Place(["thread cancelled, silent"], ["join elapsed"])],
            title: "signals, and the cancelling of a thread, wait for the verdict",
            reason: "The kernel holds them back, for up to 200 ms, from a call that a supervisor has seen."),
    ]
}

import Kernel
import NetworkLab
import Testing

/// Hosts, their paths, and what becomes of the programs on them.
@Suite(.serialized, .timeLimit(.minutes(1)))
struct LabTests {
    @Test func hostsReachEachOtherByNameAndBothFamilies() throws {
        try Lab.with(hosts: ["client", "server"]) { lab in
            for (family, address) in [("-4", lab["server"].address), ("-6", lab["server"].address6)] {
                let listen = "echo answer | ncat \(family) -l -p 7000"
                let server = try lab["server"].start(["/bin/sh", "-c", listen])
                try lab["server"].waitForListener(port: 7000)
                #expect(try lab["client"].succeed(["ncat", "--recv-only", address, "7000"]) == "answer\n")
                #expect(try server.wait(.seconds(5)) == .success)
            }
            #expect(try lab["client"].succeed(["hostname"]) == "client\n")
            #expect(try lab["client"].succeed(["getent", "ahostsv4", "server"]).hasPrefix(lab["server"].address))
        }
    }

    @Test func terminationIsTheProgramsOwn() throws {
        try Lab.with(hosts: ["client"]) { lab in
            let host = lab["client"]
            #expect(
                try host.run(["/bin/sh", "-c", "cat; echo error >&2; exit 3"], input: .bytes(Array("in".utf8)))
                    .status == .exited(3))
            let sleeper = try host.start(["sleep", "60"])
            #expect(sleeper.ended == nil)
            #expect(sleeper.terminate() == .signaled(15))
            #expect(throws: LabError.self) { try host.run(["sleep", "60"], within: .milliseconds(50)) }
            #expect(throws: LabError.self) { try host.succeed(["false"]) }
        }
    }

    @Test func nothingOutlivesTheLab() throws {
        let left = try Lab.with(hosts: ["client"]) { lab in
            // A daemon: in a session of its own, its parent gone.
            try lab["client"].succeed(["/bin/sh", "-c", "setsid sleep 60 & exit 0"])
            let sleeper = try lab["client"].start(["sleep", "60"])
            try waitUntil("start", within: .seconds(5)) { sleeper.pid != nil }
            return sleeper
        }
        #expect(left.ended == .signaled(9))
    }

    @Test func labsDoNotCollide() throws {
        try Lab.with(hosts: ["client"]) { first in
            try Lab.with(hosts: ["client"]) { second in
                #expect(first["client"].address == second["client"].address)
                let server = try first["client"].start(["ncat", "-l", "-p", "7000"])
                try first["client"].waitForListener(port: 7000)
                #expect(!second["client"].isListening(port: 7000))
                server.terminate()
            }
        }
    }

    @Test func pathsKeepTheirRate() throws {
        try Lab.with(hosts: ["client", "server"], rate: .megabits(100)) { lab in
            let sink = try lab["server"].start(["/bin/sh", "-c", "ncat -l -p 7000 | wc -c"])
            try lab["server"].waitForListener(port: 7000)
            let outcome = try lab["client"].run(
                ["/bin/sh", "-c", "head -c 6000000 /dev/zero | ncat --send-only server 7000"])
            try sink.wait(.seconds(10))
            #expect(sink.standardOutput == "6000000\n")
            // 6 MB take 480 ms at 100 Mbit/s; buffers on the way take a part of it at once.
            #expect(outcome.duration > .milliseconds(200))
        }
    }
}

import Kernel
import NetworkLab
import Testing

/// Paths with faults, as programs meet them.
@Suite(.serialized, .timeLimit(.minutes(1)))
struct PathTests {
    private func withPath<Result>(_ body: (Lab, Path) throws -> Result) throws -> Result {
        var plan = Lab.Plan(hosts: ["client", "server"])
        plan.faulty = ["client"]
        return try Lab.with(plan) { try body($0, $0.path("client")) }
    }

    /// Sends datagrams of `size` bytes to an echo on the server, one each 2 ms, and tells the round trips in
    /// milliseconds of what came back, in its order: `(number, milliseconds)`.
    private func echo(_ lab: Lab, count: Int, size: Int = 100, wait: Double = 0.5) throws -> [(Int, Double)] {
        let server = """
            import socket
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 7000)); print('ready', flush=True)
            while True:
                d, a = s.recvfrom(65536); s.sendto(d, a)
            """
        let client = """
            import socket, sys, threading, time
            count, size, wait = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('server', 7000)); s.settimeout(wait)
            sent = {}
            def listen():
                try:
                    while True:
                        number = int(s.recv(65536).split()[0])
                        print(number, (time.monotonic() - sent[number]) * 1000)
                except OSError: pass
            t = threading.Thread(target=listen); t.start()
            for number in range(count):
                sent[number] = time.monotonic()
                s.send(f'{number} '.encode().ljust(size)); time.sleep(0.002)
            t.join()
            """
        let serving = try lab["server"].start(["/usr/bin/python3", "-c", server])
        defer { serving.terminate() }
        try serving.waitForOutput("ready")
        let output = try lab["client"].succeed(
            ["/usr/bin/python3", "-c", client, "\(count)", "\(size)", "\(wait)"])
        return output.split(separator: "\n").map { line in
            let words = line.split(separator: " ")
            return (Int(words[0]) ?? -1, Double(words[1]) ?? -1)
        }
    }

    @Test func withoutFaultsEverythingArrives() throws {
        try withPath { lab, path in
            let answers = try echo(lab, count: 100)
            #expect(answers.map(\.0) == Array(0..<100))
            let counts = try path.counts()
            #expect(counts.out.passed >= 100 && counts.out.lost == 0)
        }
    }

    @Test func delayIsThatOfBothWays() throws {
        try withPath { lab, path in
            try path.set(.delay(.milliseconds(30)), .out)
            try path.set(.delay(.milliseconds(10)), .back)
            let times = try echo(lab, count: 50).map(\.1).sorted()
            #expect(times.count == 50)
            #expect((40..<60).contains(times[25]))
        }
    }

    @Test func lossIsOfTheDirectionThatHasIt() throws {
        try withPath { lab, path in
            try path.set(.loss(0.3), .back)
            let answers = try echo(lab, count: 400)
            #expect((220...340).contains(answers.count))
            let counts = try path.counts()
            #expect(counts.out.lost == 0)
            // The kernels' own packets may be among them.
            #expect((400 - answers.count...410 - answers.count).contains(counts.back.lost))
        }
    }

    @Test func silenceBeginsAndEndsWhileItRuns() throws {
        try withPath { lab, path in
            try path.set(.silence, .out)
            #expect(try echo(lab, count: 10, wait: 0.2).isEmpty)
            try path.set(.none)
            #expect(try echo(lab, count: 10).count == 10)
        }
    }

    @Test func largePacketsVanishWithoutAWord() throws {
        try withPath { lab, path in
            try path.set(.largestPacket(1000))
            #expect(try echo(lab, count: 10, size: 900).count == 10)
            #expect(try echo(lab, count: 10, size: 1200, wait: 0.2).isEmpty)
        }
    }

    @Test func reorderingAndDuplicationAreSeen() throws {
        try withPath { lab, path in
            var faults = PathFaults()
            faults.reordering = 0.2
            faults.duplication = 0.2
            try path.set(faults, .out)
            let numbers = try echo(lab, count: 200).map(\.0)
            #expect(numbers.count > 210)
            #expect(Set(numbers).count == 200)
            #expect(zip(numbers, numbers.dropFirst()).contains { $0 > $1 })
        }
    }

    /// Streams pass whole, whatever happens to their packets, and as fast as the rate lets them.
    @Test func streamsPassWhole() throws {
        try withPath { lab, path in
            var faults = PathFaults.loss(0.01)
            faults.reordering = 0.05
            faults.duplication = 0.05
            faults.rate = .megabits(100)
            try path.set(faults)
            try lab["client"].succeed(["dd", "if=/dev/urandom", "of=/run/data", "bs=1M", "count=3", "status=none"])
            let sink = try lab["server"].start(["/bin/sh", "-c", "ncat -l -p 7000 | sha256sum"])
            try lab["server"].waitForListener(port: 7000)
            let outcome = try lab["client"].run(["/bin/sh", "-c", "ncat --send-only server 7000 < /run/data"])
            try sink.wait(.seconds(20))
            #expect(outcome.status == .success)
            let digest = try lab["client"].succeed(["sha256sum", "/run/data"]).prefix(64)
            #expect(sink.standardOutput.prefix(64) == digest)
        }
    }

    @Test func interfacesGoAndComeBackAndAddressesChange() throws {
        var plan = Lab.Plan(hosts: ["client", "server"])
        plan.interfaces["client"] = 2
        try Lab.with(plan) { lab in
            let client = lab["client"]
            func reaches(_ source: String) throws -> Bool {
                try client.run(["ping", "-c", "1", "-W", "5", "-I", source, lab["server"].address]).status == .success
            }
            #expect(try reaches(client.address(0)) && reaches(client.address(1)))
            try client.takeDown(0)
            #expect(try reaches(client.address(1)))
            #expect(try client.run(["ping", "-c", "1", "-W", "5", lab["server"].address]).status == .success)
            try client.bringUp(0)
            #expect(try reaches(client.address(0)))
            try client.renumber(0, to: 9)
            #expect(try reaches("10.77.1.9"))
            #expect(try !reaches(client.address(0)))
        }
    }
}

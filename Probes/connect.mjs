// Connects in the ways of Node's library, and says what it saw, in the words of connect.c.
import net from "node:net";

const targets = {};
const only = new Set();
for (const word of process.argv.slice(2)) {
    if (word.startsWith("only:")) {
        only.add(word.slice(5));
        continue;
    }
    const equals = word.indexOf("="), colon = word.lastIndexOf(":");
    const host = word.slice(equals + 1, colon).replace(/[[\]]/g, "");
    targets[word.slice(0, equals)] = { host, port: Number(word.slice(colon + 1)) };
}

function elapsed(begin) {
    const taken = performance.now() - begin;
    return taken < 150 ? "instant" : taken < 400 ? "short" : taken < 2000 ? "long" : "longer";
}

function place(host, port) {
    const own = [targets.own4, targets.own6].some((target) => target.host === host);
    const isKnown = Object.values(targets).some((target) => target.port === port);
    return `${own ? "own" : host}/${isKnown ? port : "PORT"}`;
}

/** Connects and talks; what has been seen, line by line. */
function connect(name, limit) {
    return new Promise((resolve) => {
        const lines = [];
        const begin = performance.now();
        const socket = net.connect({ ...targets[name], allowHalfOpen: true });
        let got = "";
        const timer = setTimeout(() => {
            lines.push(`timeout elapsed=${elapsed(begin)}`);
            socket.destroy();
        }, limit);
        socket.on("connect", () => {
            lines.push(`connect elapsed=${elapsed(begin)}`);
            const peer = place(socket.remoteAddress, socket.remotePort);
            lines.push(`names peer=${peer} own=${place(socket.localAddress, socket.localPort)}`);
            socket.write("ping");
            socket.end();
        });
        socket.on("data", (data) => (got += data));
        socket.on("end", () => lines.push(`end got=${got}`));
        socket.on("error", (error) => lines.push(`error code=${error.code} call=${error.syscall} elapsed=${elapsed(begin)}`));
        socket.on("close", () => {
            clearTimeout(timer);
            resolve(lines);
        });
    });
}

async function atOnce(name) {
    const all = await Promise.all(Array.from({ length: 20 }, () => connect(name, 10000)));
    // All that is alike, without the times.
    const texts = all.map((lines) => lines.map((line) => line.replace(/ elapsed=.*/, "").replaceAll(/[ =]/g, ":")).join());
    return [`sockets results=${[...new Set(texts)].sort().join(";")}`];
}

const cases = {
    "net.connect": () => connect("echo4", 10000),
    "net.connect, IPv6": () => connect("echo6", 10000),
    "net.connect, server speaks first": () => connect("greeting4", 10000),
    "net.connect, refused": () => connect("refused4", 10000),
    "net.connect, unreachable": () => connect("unreachable4", 10000),
    "net.connect, silent": () => connect("silent4", 10000),
    "net.connect, silent, with a timeout": () => connect("silent4", 200),
    "twenty sockets": () => atOnce("echo4"),
    "twenty sockets, refused": () => atOnce("refused4"),
};
for (const [name, run] of Object.entries(cases)) {
    if (only.size > 0 && !only.has(name)) continue;
    console.log(`case ${name}`);
    for (const line of await run()) console.log(line);
}

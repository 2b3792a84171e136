/// A name server with one zone, in Python, for UDP alone.
enum NameServer {
    /// Serves at port 53 of an address, and says `serving`, and then each question as `A db.test`.
    ///
    /// - Parameters:
    ///   - zone: lines `NAME TYPE VALUE`, as `db.test A 192.0.2.1`; `192.0.2.1 PTR db.test` for a reverse name; `silent.test DROP -`
    ///     for a name that is never answered. Records of one name and type are told in their order.
    static func command(at address: String, zone: [String]) -> [String] {
        ["/usr/bin/python3", "-c", script, address] + zone
    }

    private static let script = #"""
        import ipaddress, os, socket, struct, sys
        TYPES = {1: 'A', 12: 'PTR', 28: 'AAAA'}
        def say(*words): os.write(1, (' '.join(words) + '\n').encode())
        def encoded(name): return b''.join(bytes([len(part)]) + part.encode() for part in name.split('.')) + b'\0'
        zone = {}
        for line in sys.argv[2:]:
            name, kind, value = line.split()
            if kind == 'PTR': name, data = ipaddress.ip_address(name).reverse_pointer, encoded(value)
            elif kind == 'DROP': data = b''
            else: data = ipaddress.ip_address(value).packed
            zone.setdefault(name.lower(), {}).setdefault(kind, []).append(data)
        family = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
        server = socket.socket(family, socket.SOCK_DGRAM)
        server.bind((sys.argv[1], 53))
        say('serving')
        while True:
            query, client = server.recvfrom(4096)
            cursor, parts = 12, []
            while query[cursor]:
                parts.append(query[cursor + 1:cursor + 1 + query[cursor]].decode())
                cursor += 1 + query[cursor]
            name, (number, _) = '.'.join(parts).lower(), struct.unpack('>HH', query[cursor + 1:cursor + 5])
            kind, records = TYPES.get(number, str(number)), zone.get(name)
            say(kind, name)
            if records and 'DROP' in records: continue
            answers = (records or {}).get(kind, [])
            # A response, authoritative; 3 is NXDOMAIN (RFC 1035, 4.1.1).
            flags = 0x8580 | (0 if records else 3)
            reply = query[:2] + struct.pack('>HHHHH', flags, 1, len(answers), 0, 0) + query[12:cursor + 5]
            for data in answers: reply += b'\xc0\x0c' + struct.pack('>HHIH', number, 1, 60, len(data)) + data
            server.sendto(reply, client)
        """#
}

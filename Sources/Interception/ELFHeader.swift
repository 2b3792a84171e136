import CLinux

/// What of an ELF file says who can load a library into it (elf(5)).
struct ELFHeader: Equatable {
    static let magic: [UInt8] = [0x7f, 0x45, 0x4c, 0x46]
    /// Of 64 bits, the longer one.
    static let size = 64
    /// Segments that are looked at; real programs have some 13.
    private static let segmentLimit = 128
    /// Notes are looked at that far into their segment; real ones are shorter.
    private static let noteLimit = 1024

    let is64Bits: Bool
    let isLittleEndian: Bool
    /// `EM_…` of `elf.h`.
    let machine: UInt16
    /// The program's loader (`PT_INTERP`); nil if it has none, or is of another class or byte order than this program.
    let loader: String?
    /// Whether the Go linker has made it: it has a note of that name.
    let hasGoNote: Bool

    /// That of this program.
    static var own: ELFHeader? {
        guard let file = ExecutableFile(Array("/proc/self/exe".utf8)) else { return nil }
        return ELFHeader(file)
    }

    /// nil if this is no ELF file, or a truncated one.
    init?(_ file: borrowing ExecutableFile) {
        let header = file.bytes(at: 0, count: Self.size)
        // The 32-bit header has 52 bytes.
        guard header.count >= 52, header.starts(with: Self.magic), 1...2 ~= header[4], 1...2 ~= header[5] else {
            return nil
        }
        is64Bits = header[4] == 2
        isLittleEndian = header[5] == 1
        let fields = LittleEndianBytes(header)
        let machine = fields.integer(at: 18, UInt16.self) ?? 0
        self.machine = isLittleEndian ? machine : machine.byteSwapped
        var (loader, hasGoNote): (String?, Bool) = (nil, false)
        if is64Bits, isLittleEndian {
            guard let table = fields.integer(at: 32, UInt64.self), let size = fields.integer(at: 54, UInt16.self),
                let count = fields.integer(at: 56, UInt16.self), size >= 56
            else { return nil }
            for index in 0..<min(UInt64(count), UInt64(Self.segmentLimit)) {
                let (place, isBeyond) = table.addingReportingOverflow(index * UInt64(size))
                guard !isBeyond else { return nil }
                let segment = LittleEndianBytes(file.bytes(at: place, count: 56))
                guard let type = segment.integer(at: 0, UInt32.self), let offset = segment.integer(at: 8, UInt64.self),
                    let length = segment.integer(at: 32, UInt64.self)
                else { return nil }
                switch type {
                // PT_INTERP and PT_NOTE.
                case 3:
                    let name = file.bytes(at: offset, count: Int(min(length, UInt64(PATH_MAX)))).prefix { $0 != 0 }
                    loader = String(decoding: name, as: UTF8.self)
                case 4:
                    let note = file.bytes(at: offset, count: Int(min(length, UInt64(Self.noteLimit))))
                    if Self.isGoAmong(LittleEndianBytes(note)) { hasGoNote = true }
                default: break
                }
            }
        }
        (self.loader, self.hasGoNote) = (loader, hasGoNote)
    }

    /// Whether a note is called Go. Each has the lengths of its name and its content, a type, and both, filled up to four bytes.
    private static func isGoAmong(_ notes: LittleEndianBytes) -> Bool {
        var place = 0
        while let nameLength = notes.integer(at: place, UInt32.self),
            let contentLength = notes.integer(at: place + 4, UInt32.self), nameLength <= noteLimit,
            contentLength <= noteLimit, let name = notes.integer(at: place + 12, UInt32.self)
        {
            // "Go" and two zeros.
            if nameLength == 4, name == 0x6f47 { return true }
            place += 12 + (Int(nameLength) + 3) / 4 * 4 + (Int(contentLength) + 3) / 4 * 4
        }
        return false
    }
}

private struct LittleEndianBytes {
    private let bytes: [UInt8]

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// nil beyond the end.
    func integer<Value: FixedWidthInteger>(at place: Int, _: Value.Type) -> Value? {
        let size = MemoryLayout<Value>.size
        guard place + size <= bytes.count else { return nil }
        return bytes.withUnsafeBytes { Value(littleEndian: $0.loadUnaligned(fromByteOffset: place, as: Value.self)) }
    }
}

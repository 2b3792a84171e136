import ArgumentParser
import CLinux
import Kernel

/// The words after the program's name, as bytes: `CommandLine.arguments` repairs what is not UTF-8.
let words = (1..<Int(CommandLine.argc)).compactMap { index -> [UInt8]? in
    CommandLine.unsafeArgv[index].map { Array(UnsafeRawBufferPointer(start: $0, count: strlen($0))) }
}
USLCommand.run(words)

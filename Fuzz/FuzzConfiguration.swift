/// A file with a mistake changes nothing, and says where the mistake is; one without, read twice, changes nothing more.
func fuzzConfiguration(_ input: [UInt8]) {
    var configuration = Configuration()
    do {
        try configuration.apply(input, file: "usl.toml")
        var again = configuration
        try again.apply(input, file: "usl.toml")
        precondition(again == configuration, "the same file says something else")
    } catch {
        precondition(configuration == Configuration(), "a file with a mistake was applied")
        let lines = input.count { $0 == UInt8(ascii: "\n") } + 1
        precondition(!error.mistakes.isEmpty, "a refusal without a mistake")
        for mistake in error.mistakes {
            precondition((1...lines).contains(mistake.line), "a mistake outside of the file")
        }
    }
}

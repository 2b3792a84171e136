/// A file with a mistake changes nothing, and says where the mistake is; one without, read twice, has its rules twice and changes
/// nothing else.
func fuzzConfiguration(_ input: [UInt8]) {
    var configuration = Configuration()
    do {
        try configuration.apply(input, file: "usl.toml")
        var again = configuration
        try again.apply(input, file: "usl.toml")
        precondition(again.limits == configuration.limits, "the same file says something else")
        precondition(again.rules == configuration.rules + configuration.rules, "the same file has other rules")
    } catch {
        precondition(configuration == Configuration(), "a file with a mistake was applied")
        let lines = input.count { $0 == UInt8(ascii: "\n") } + 1
        precondition(!error.mistakes.isEmpty, "a refusal without a mistake")
        for mistake in error.mistakes {
            precondition((1...lines).contains(mistake.line), "a mistake outside of the file")
        }
    }
}

/// An answer of a front is the same in whatever pieces it comes, and survives being written again; so do findings in a file.
func fuzzDetection(_ input: [UInt8]) {
    let reading = EnhancementAnswer.read(input)
    switch reading {
    case .complete(let answer):
        require(input.count <= EnhancementAnswer.maximumSize, "an answer beyond its bound")
        require(EnhancementAnswer.read(answer.encoded) == reading)
        for count in 0..<input.count {
            require(EnhancementAnswer.read(Array(input[..<count])) == .incomplete, "a part is more than that")
        }
    case .incomplete: require(input.count < EnhancementAnswer.maximumSize, "more than an answer may have")
    case .foreign, .malformed:
        require(EnhancementAnswer.read(input + [0]) == reading, "something became an answer again")
    }
    if let cache = DetectionCache(text: input) {
        require(cache.count <= DetectionCache.maximum)
        require(DetectionCache(text: Array(cache.text.utf8)) == cache)
    }
}

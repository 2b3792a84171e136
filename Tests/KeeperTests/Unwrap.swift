import Testing

/// `#require` for what cannot be copied.
func unwrap<Value: ~Copyable>(
    _ value: consuming Value?, sourceLocation: SourceLocation = #_sourceLocation
) throws -> Value {
    if let value { return value }
    throw MissingValue(sourceLocation: sourceLocation)
}

struct MissingValue: Error {
    let sourceLocation: SourceLocation
}

public struct A { public var x: [UInt8] = [] ; public init() {} }

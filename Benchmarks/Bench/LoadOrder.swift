/// What a client of the load generator asks of its server, in the first byte of a connection.
enum LoadOrder: UInt8 {
    /// Takes bytes until one is 1, and answers how many there were.
    case take = 1
    /// The same, and meanwhile gives bytes, the last of which is 1. It tells how many it got when it is asked.
    case exchange = 2
    /// Gives everything back.
    case echo = 3
    /// Answers with a byte and ends the connection.
    case once = 4
}

/// A control message that is understood must survive being written again.
func fuzzControl(_ input: [UInt8]) {
    if let request = ControlRequest(input.span) {
        let encoded = request.encoded()
        require(ControlRequest(encoded.span) == request)
    }
    if let response = ControlResponse(input.span) {
        let encoded = response.encoded()
        require(ControlResponse(encoded.span) == response)
    }
}

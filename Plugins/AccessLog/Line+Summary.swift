import SluicePlugin

extension Line {
    /// Bytes of a value other than the path that are shown.
    private static var nameLimit: Int { valueLimit / 4 }

    /// `opening` is the member's name with what stands around it.
    private mutating func member(_ opening: StaticString, _ value: Bytes, limit: Int = Line.nameLimit) {
        append(opening)
        append(json: value, limit: limit)
        append(0x22)
    }

    private mutating func member(_ opening: StaticString, _ value: UInt64) {
        append(opening)
        append(value)
    }

    private mutating func member(_ opening: StaticString, milliseconds: UInt64) {
        append(opening)
        append(milliseconds: milliseconds)
    }

    /// `{"time":"…","peer":"…",…}` and a line feed. Names and times that are not known are left out.
    mutating func appendJSON(_ summary: Summary) {
        append("{\"time\":\"")
        append(time: summary.startedWall)
        append(0x22)
        member(",\"peer\":\"", summary.peer)
        member(",\"method\":\"", summary.method)
        member(",\"path\":\"", summary.path, limit: Line.valueLimit)
        member(",\"status\":", UInt64(summary.httpStatus))
        if let error = summary.error { member(",\"error\":", UInt64(error.status.magnitude)) }
        if !summary.model.isEmpty { member(",\"model\":\"", summary.model) }
        if !summary.version.isEmpty { member(",\"version\":\"", summary.version) }
        if !summary.tenant.isEmpty { member(",\"tenant\":\"", summary.tenant) }
        if !summary.adapter.isEmpty { member(",\"adapter\":\"", summary.adapter) }
        if !summary.endpoint.isEmpty { member(",\"endpoint\":\"", summary.endpoint) }
        member(",\"attempts\":", UInt64(summary.attempts))
        if summary.batchRows > 0 { member(",\"batch_rows\":", UInt64(summary.batchRows)) }
        member(",\"request_bytes\":", summary.requestBytes)
        member(",\"response_bytes\":", summary.responseBytes)
        member(",\"duration_ms\":", milliseconds: summary.duration)
        member(",\"queued_ms\":", milliseconds: summary.queued)
        if summary.firstByte > 0 { member(",\"first_byte_ms\":", milliseconds: summary.firstByte) }
        append("}\n")
    }

    /// Words with a blank between them: time, peer, method, path, status, bytes in, bytes out, milliseconds, then
    /// `name=value`. A word that is not known is `-`.
    mutating func appendText(_ summary: Summary) {
        append(time: summary.startedWall)
        append(0x20)
        append(word: summary.peer, limit: Line.nameLimit)
        append(0x20)
        append(word: summary.method, limit: Line.nameLimit)
        append(0x20)
        append(word: summary.path, limit: Line.valueLimit)
        append(0x20)
        append(UInt64(summary.httpStatus))
        append(0x20)
        append(summary.requestBytes)
        append(0x20)
        append(summary.responseBytes)
        append(0x20)
        append(milliseconds: summary.duration)
        append(" model=")
        append(word: summary.model, limit: Line.nameLimit)
        append(" version=")
        append(word: summary.version, limit: Line.nameLimit)
        append(" tenant=")
        append(word: summary.tenant, limit: Line.nameLimit)
        append(" adapter=")
        append(word: summary.adapter, limit: Line.nameLimit)
        append(" endpoint=")
        append(word: summary.endpoint, limit: Line.nameLimit)
        append(" attempts=")
        append(UInt64(summary.attempts))
        append(0x0A)
    }
}

import HTTP1
import SluiceABI

/// When an answer was made (RFC 9110 §6.6.1): its own server says so, or else the gateway does. Never both.
extension Worker {
    /// Whether an answer that is passed on lacks a Date; `isReceived`: it came with one. That costs a comparison or
    /// two, if no plugin has touched the answer.
    @inline(__always)
    func lacksDate(_ exchange: ExchangePointer, isReceived: Bool) -> Bool {
        if exchange.pointee.edits == nil {
            if isReceived { return false }
            if exchange.pointee.response == nil { return true }
        }
        return lacksDateBesidePlugins(exchange, isReceived: isReceived)
    }

    /// Whether a message that was made here lacks one: neither has whoever made it, nor an edit of a filter.
    func lacksDate(_ exchange: ExchangePointer, _ message: sluice_message) -> Bool {
        !(editedDate(exchange) ?? hasDate(message.fields, message.field_count))
    }

    @inline(never)
    private func lacksDateBesidePlugins(_ exchange: ExchangePointer, isReceived: Bool) -> Bool {
        // What filters put beside the endpoint's fields is not edited.
        if let response = exchange.pointee.response, hasDate(response.pointee.fields, response.pointee.field_count) {
            return false
        }
        return !(editedDate(exchange) ?? isReceived)
    }

    private func hasDate(_ fields: UnsafePointer<sluice_field>?, _ count: UInt32) -> Bool {
        guard let fields else { return false }
        for index in 0..<Int(count) where isDate(fields[index].name) { return true }
        return false
    }

    /// Whether the edits of the response set a Date (true) or only take away the one that is there (false); nil when
    /// they do neither.
    private func editedDate(_ exchange: ExchangePointer) -> Bool? {
        guard let list = exchange.pointee.edits else { return nil }
        var isRemoved = false
        for index in 0..<list.pointee.count where isDate(list.pointee.edits[index].name) {
            if isInForce(list, index, SLUICE_SIDE_RESPONSE) { return true }
            let edit = list.pointee.edits[index]
            if edit.side == UInt32(SLUICE_SIDE_RESPONSE), edit.hidesOriginal { isRemoved = true }
        }
        return isRemoved ? false : nil
    }

    private func isDate(_ name: sluice_bytes) -> Bool { name.equalsIgnoringCase(sluice_bytes("Date")) }
}

import CLinux
import HTTP1
import SluiceABI

/// What is known of an attempt as soon as the head of its answer is there.
extension Worker {
    /// Whether the answer is read whole before it goes on: for an adapter of another protocol, or for a filter whose
    /// `needs` say so. Of an answer to HEAD there is nothing to read; nor is it known how long the content would be
    /// behind such a filter. A call that nobody here understands may be a stream, of which nobody waits for the end.
    @inline(__always)
    func isGathered(
        _ exchange: ExchangePointer, _ head: UnsafeMutablePointer<ResponseHead>, _ needs: UInt32
    ) -> Bool {
        guard exchange.pointee.passes else { return true }
        guard needs & UInt32(SLUICE_FILTER_RESPONSE_BODY) != 0 else { return false }
        if exchange.pointee.isGRPC {
            return exchange.pointee.request?.pointee.operation != UInt32(SLUICE_OPERATION_OTHER)
        }
        guard exchange.pointee.askedHead else { return true }
        head.pointee.forgetLength()
        return false
    }

    /// Whether a body is `text/event-stream` (HTML Living Standard §9.2), with or without parameters.
    @inline(never)
    private static func isEventStream(_ value: sluice_bytes) -> Bool {
        let type = sluice_bytes("text/event-stream")
        guard value.size >= type.size, let data = value.data,
            sluice_bytes(data, type.size).equalsIgnoringCase(type)
        else { return false }
        guard value.size > type.size else { return true }
        let next = data[type.size]
        return next == UInt8(ascii: ";") || next == 0x20 || next == 0x09
    }

    /// Notes when the head of an answer came and what it says, and shows it to a balancer that asked for it.
    func noteAnswer(_ exchange: ExchangePointer, _ head: UnsafeMutablePointer<ResponseHead>) {
        // A head that a filter had suspended is read a second time, when it is no news, and the filter's time no fault
        // of the endpoint's.
        let isFirst = exchange.pointee.firstByteAt == 0
        if isFirst { exchange.pointee.firstByteAt = clinux_monotonic_ns() }
        exchange.pointee.httpStatus = head.pointee.status
        let type = Int(head.pointee.fields.contentType)
        // Most types are shorter.
        exchange.pointee.answersEvents =
            type >= 0 && head.pointee.fields[type].value.size >= 17
            && Self.isEventStream(head.pointee.fields[type].value)
        if isFirst, head.pointee.status < 500, let hedging = exchange.pointee.pool?.pointee.hedging {
            hedging.pointee.histogram.record(exchange.pointee.firstByteAt &- exchange.pointee.awaitedSince)
        }
        guard isFirst, let balancer = exchange.pointee.pool?.pointee.balancer, let onHead = balancer.onHead,
            let index = presentIndex(exchange)
        else { return }
        var shown = sluice_answer_head()
        shown.endpoint = index
        shown.http_status = UInt32(head.pointee.status)
        shown.attempt = UInt32(exchange.pointee.attempt)
        shown.field_count = UInt32(truncatingIfNeeded: head.pointee.fields.count)
        shown.fields = UnsafePointer(head.pointee.fields.base)
        shown.first_byte_ns = exchange.pointee.firstByteAt &- exchange.pointee.awaitedSince
        let start = beginCall(exchange)
        onHead(balancer.instance, &shown)
        endCall(exchange, balancer.plugin, start)
    }
}

import CLinux
import HTTP1
import SluiceABI

/// What is known of an attempt as soon as the head of its answer is there.
extension Worker {
    /// Notes when the head of an answer came and what it says, and shows it to a balancer that asked for it.
    func noteAnswer(_ exchange: ExchangePointer, _ head: UnsafeMutablePointer<ResponseHead>) {
        // A head that a filter had suspended is read a second time, when it is no news, and the filter's time no fault
        // of the endpoint's.
        let isFirst = exchange.pointee.firstByteAt == 0
        if isFirst { exchange.pointee.firstByteAt = clinux_monotonic_ns() }
        exchange.pointee.httpStatus = head.pointee.status
        if isFirst, head.pointee.status < 500, let hedging = exchange.pointee.pool?.pointee.hedging {
            hedging.pointee.histogram.record(exchange.pointee.firstByteAt &- exchange.pointee.attemptAt)
        }
        guard isFirst, let balancer = exchange.pointee.pool?.pointee.balancer, let onHead = balancer.onHead,
            let index = presentIndex(exchange)
        else { return }
        var shown = sluice_answer_head()
        shown.endpoint = index
        shown.http_status = UInt32(head.pointee.status)
        shown.attempt = UInt32(exchange.pointee.machine.attempts)
        shown.field_count = UInt32(truncatingIfNeeded: head.pointee.fields.count)
        shown.fields = UnsafePointer(head.pointee.fields.base)
        shown.first_byte_ns = exchange.pointee.firstByteAt &- exchange.pointee.attemptAt
        let start = beginCall(exchange)
        onHead(balancer.instance, &shown)
        endCall(exchange, balancer.plugin, start)
    }
}

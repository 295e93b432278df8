import CLinux
import Glibc
import HTTP1
import SluiceABI

/// Answers to what never became an exchange, and the last ones of their connections.
extension Worker {
    /// A request that is no HTTP: answered in the default shape, for no adapter has seen it.
    func refuse(_ client: UnsafeMutablePointer<ClientConnection>, _ fault: ParseFault) {
        metrics.parseFailed(.client, ParseErrorKind(fault))
        answerWithoutExchange(
            client, status: fault.status,
            message: sluice_bytes(fault.message.utf8Start, fault.message.utf8CodeUnitCount),
            toHead: asksForHead(client))
    }

    /// Whether the request whose head was refused, or has not come whole, is HEAD. Its line is still there, behind the
    /// empty lines that may precede it (RFC 9112 §2.2).
    func asksForHead(_ client: UnsafeMutablePointer<ClientConnection>) -> Bool {
        var line = client.pointee.input.start
        let end = client.pointee.input.end
        guard let base = client.pointee.input.base else { return false }
        while line < end, base[line] == 0x0D || base[line] == 0x0A { line &+= 1 }
        let method: StaticString = "HEAD "
        return end &- line >= method.utf8CodeUnitCount
            && memcmp(base + line, method.utf8Start, method.utf8CodeUnitCount) == 0
    }

    func answerWithoutExchange(
        _ client: UnsafeMutablePointer<ClientConnection>, status: UInt16, message: StaticString, toHead: Bool
    ) {
        answerWithoutExchange(
            client, status: status, message: sluice_bytes(message.utf8Start, message.utf8CodeUnitCount), toHead: toHead)
    }

    func answerWithoutExchange(
        _ client: UnsafeMutablePointer<ClientConnection>, status: UInt16, message: sluice_bytes, toHead: Bool
    ) {
        let answer = lastAnswer(status, message, toHead: toHead)
        guard answer.count > 0 else {
            close(client)
            return
        }
        _ = send(client, answer.head, answer.count)
        metrics.bytes(.client, received: 0, sent: UInt64(answer.count))
        buffers.give(answer)
        beginLingering(client)
    }

    /// A whole answer without an exchange, after which its connection ends. The buffer is the caller's; it is absent
    /// when memory is out.
    func lastAnswer(_ status: UInt16, _ message: sluice_bytes, toHead: Bool = false) -> Buffer {
        var buffer = buffers.take(BufferPool.small)
        guard let base = buffer.base else { return .none }
        var body = ByteWriter(base + 2_048, capacity: 2_048)
        body.writeErrorObject(message)
        var writer = HeadWriter(base, capacity: 2_048)
        writer.appendStatusLine(status)
        writer.appendField("Content-Type", sluice_bytes("application/json"))
        writer.appendFraming(.length(UInt64(body.count)))
        if status == 503 { writer.appendField("Retry-After", sluice_bytes("1")) }
        writer.appendLine(date.line(at: now))
        writer.appendConnection(close: true)
        guard case .written(let size) = writer.finish() else {
            buffers.give(buffer)
            return .none
        }
        (base + size).update(from: base + 2_048, count: body.count)
        // An answer to HEAD says how long the content would be, and has none (RFC 9110 §9.3.2).
        buffer.end = size + (toHead ? 0 : body.count)
        return buffer
    }
}

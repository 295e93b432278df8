import HTTP1
import SluiceABI

/// How the head of a request toward an endpoint was written.
enum StagedRequest {
    case staged
    case withoutMemory
    /// What a plugin made of it is no message, or larger than a head may be.
    case unsendable
}

/// Messages that cannot be sent as plugins made them: not a byte of them has gone out, so that the client can be told.
extension Worker {
    /// The endpoint is not to blame, nor would another one get it.
    func refuseRequest(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        let reason = sluice_bytes("a plugin made a request that is not valid, or has too large a head")
        if let adapter = exchange.pointee.pool?.pointee.adapter {
            metrics.pluginFailed(plugin: PluginMetricsID(index: adapter.pointee.plugin))
            logRefusal(exchange, "a request", reason, adapter.pointee.plugin)
        }
        return fail(exchange, SLUICE_INTERNAL, 500, reason)
    }

    func refuseMalformed(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        refuse(exchange, sluice_bytes("a plugin made a header field that is not valid"))
    }

    func refuseStatus(_ exchange: ExchangePointer, _ status: UInt32) -> ExchangeMachine.Action {
        refuse(
            exchange,
            sentence(
                exchange, "a plugin answered with the status ", decimal(exchange, status),
                ", and statuses of answers are 200 to 599"))
    }

    /// What a plugin made would break the message: an error of the gateway's own in its place, once, and no answer if
    /// that is no better. The plugin is counted, and the log has it; an endpoint is not to blame.
    private func refuse(_ exchange: ExchangePointer, _ reason: sluice_bytes) -> ExchangeMachine.Action {
        guard let adapter = exchange.pointee.adapter, !exchange.pointee.isRefused else {
            return cutWithoutAnswer(exchange)
        }
        exchange.pointee.isRefused = true
        let isOfResponse = exchange.pointee.answeredBy >= 0 && exchange.pointee.response.map(hasFault) == true
        let plugin = isOfResponse ? exchange.pointee.answeredBy : adapter.pointee.plugin
        metrics.pluginFailed(plugin: PluginMetricsID(index: plugin))
        logRefusal(exchange, "an answer", reason, plugin)
        endAttempt(exchange)
        detachUpstream(exchange)
        exchange.pointee.status = SLUICE_INTERNAL
        exchange.pointee.edits = nil
        exchange.pointee.toClient.sinkIsChunked = false
        exchange.pointee.toClient.showsChunks = false
        buffers.give(exchange.pointee.toClient.trailers)
        exchange.pointee.toClient.trailers = .none
        if !exchange.pointee.errorTold { tellFilters(exchange, SLUICE_INTERNAL) }
        if exchange.pointee.isGRPC { return sendStatus(exchange, SLUICE_INTERNAL, 500, reason) }
        return sendDefaultError(exchange, 500, reason, 0)
    }

    /// Whether the answer is at fault in unified form already, before an adapter has had its part in it.
    private func hasFault(_ response: UnsafeMutablePointer<sluice_response>) -> Bool {
        let status = response.pointee.http_status
        if status != 0, status < 200 || status > 599 { return true }
        for index in 0..<Int(response.pointee.field_count) {
            let field = response.pointee.fields[index]
            if !HeadWriter.mayBeSet(name: field.name, value: field.value), !HeadWriter.isOwnField(field.name) {
                return true
            }
        }
        return false
    }

    /// In the plugin's own name, like what it logs itself.
    private func logRefusal(
        _ exchange: ExchangePointer, _ what: StaticString, _ reason: sluice_bytes, _ plugin: Int32
    ) {
        let room = 1_024
        guard HostLog.enabled(UInt32(SLUICE_LOG_WARNING)), let message = exchange.pointee.message,
            let memory = allocate(exchange, UInt8.self, room)
        else { return }
        var writer = ByteWriter(memory, capacity: room)
        writer.write(what)
        writer.write(" was not sent: ")
        writer.write(reason.cut(atMost: 256))
        writer.write(", ")
        writer.write(json: message.pointee.method)
        writer.write(" ")
        writer.write(json: message.pointee.path.cut(atMost: 256))
        let contexts = exchange.pointee.generation.unsafelyUnwrapped.pointee.contexts?.takeUnretainedValue()
        guard let context = contexts?.context(of: plugin) else { return }
        HostLog.write(
            UInt32(SLUICE_LOG_WARNING), source: UnsafeRawBufferPointer(context.source),
            message: UnsafeRawBufferPointer(start: memory, count: writer.count))
    }
}

import SluiceABI

/// Exchanges without a client, which the gateway begins itself: the one that carries a batch, checks, and copies.
extension Worker {
    /// Nil when there are as many exchanges as there may be.
    func beginOwnExchange(_ pool: UnsafeMutablePointer<WorkerPool>) -> ExchangePointer? {
        guard let exchange = exchanges.take() else { return nil }
        let tables = pool.pointee.generation
        tables.pointee.exchanges &+= 1
        exchange.pointee.worker = Unmanaged.passUnretained(self)
        exchange.pointee.generation = tables
        exchange.pointee.pool = pool
        exchange.pointee.receivedAt = now
        exchange.pointee.progressAt = nowMs
        exchange.pointee.timer.kind = TimerKind.exchange
        exchange.pointee.timer.owner = UnsafeMutableRawPointer(exchange)
        _ = exchange.pointee.machine.handle(.requestBodyEnded)
        return exchange
    }

    /// The request of such an exchange and its message, which is an empty one. False without memory.
    /// - Parameter namesVersion: whether the request is for the pool's version by name. Where nobody has named one an
    ///   endpoint is not told one: it may know the model without versions.
    func describeOwnRequest(
        _ exchange: ExchangePointer, _ operation: Int32, namesVersion: Bool, deadline: UInt64,
        _ payload: sluice_payload = sluice_payload()
    ) -> Bool {
        guard let pool = exchange.pointee.pool, let request = allocate(exchange, sluice_request.self, 1),
            let message = allocate(exchange, sluice_message.self, 1)
        else { return false }
        message.initialize(to: sluice_message())
        var value = sluice_request()
        value.message = UnsafePointer(message)
        value.model = pool.pointee.modelName
        if namesVersion { value.version = pool.pointee.versionName }
        value.operation = UInt32(operation)
        value.model_id = pool.pointee.model
        value.priority = 5
        value.attempt = 1
        value.received_ns = now
        value.deadline_ns = deadline
        value.payload = payload
        request.initialize(to: value)
        exchange.pointee.message = message
        exchange.pointee.request = request
        return true
    }
}

import HTTP1
import Resilience
import SluiceABI
import Synchronization

/// From a routed request to a connection: who serves it, in which form, on which endpoint.
extension Worker {
    /// Whether whoever serves this exchange reads the request's payload.
    @inline(__always)
    func dispatchNeedsPayload(_ exchange: ExchangePointer) -> Bool {
        guard !exchange.pointee.machine.hasPayload || exchange.pointee.isUndecoded else { return false }
        let pool = exchange.pointee.pool.unsafelyUnwrapped
        let operation = exchange.pointee.request.unsafelyUnwrapped.pointee.operation
        if pool.pointee.backend != nil || pool.pointee.batching != nil {
            return operation == UInt32(SLUICE_OPERATION_INFER)
        }
        // What nobody here understands may be a stream without end, and is hardly ever said in another protocol: that
        // one's adapter is asked first whether it is to be read.
        return pool.pointee.adapter != exchange.pointee.adapter && operation != UInt32(SLUICE_OPERATION_OTHER)
            && exchange.pointee.message.unsafelyUnwrapped.pointee.body_state != UInt32(SLUICE_BODY_NONE)
    }

    func dispatch(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        let pool = exchange.pointee.pool.unsafelyUnwrapped
        enterPool(exchange, pool)
        if exchange.pointee.isUndecoded {
            exchange.pointee.request.unsafelyUnwrapped.pointee.payload.kind = UInt32(SLUICE_PAYLOAD_STREAM)
            if dispatchNeedsPayload(exchange), let action = decodeAfterAll(exchange) { return action }
        }
        let isInference = exchange.pointee.request.unsafelyUnwrapped.pointee.operation == UInt32(SLUICE_OPERATION_INFER)
        if let batching = pool.pointee.batching, isInference, exchange.pointee.client != nil,
            isBatchable(exchange, maxRows: batching.pointee.maxRows)
        {
            return joinBatch(exchange, batching)
        }
        if let backend = pool.pointee.backend { return askBackend(exchange, backend) }
        if let action = encodeRequest(exchange, pool) { return action }
        return acquire(exchange, fresh: false)
    }

    // MARK: In this process

    private func askBackend(_ exchange: ExchangePointer, _ backend: BackendLink) -> ExchangeMachine.Action {
        guard let response = freshResponse(exchange) else { return failWithoutMemory(exchange) }
        let request = exchange.pointee.request.unsafelyUnwrapped
        switch Int32(request.pointee.operation) {
        case SLUICE_OPERATION_MODEL_READY:
            response.pointee.ready = 1
            return answerUnified(exchange)
        case SLUICE_OPERATION_MODEL_METADATA:
            return describeModel(exchange, backend, response)
        case SLUICE_OPERATION_INFER: break
        default:
            return fail(
                exchange, SLUICE_UNIMPLEMENTED, 501, "the model is served in the gateway, which has no such operation")
        }
        // A backend sees no region: an answer in the message would leave its client to read what lay there before.
        guard !request.pointee.payload.usesSharedMemory else {
            return fail(
                exchange, SLUICE_UNIMPLEMENTED, 501,
                "the model is served in the gateway, which neither reads nor writes shared memory")
        }
        guard exchange.pointee.isResumed || mayBorrow(backend.plugin) else { return failHeld(exchange) }
        let start = beginCall(exchange)
        let status = backend.table.pointee.infer.unsafelyUnwrapped(
            backend.instance, exchange.handle, request, response)
        endCall(exchange, backend.plugin, start)
        readClock()
        exchange.pointee.isResumed = false
        exchange.pointee.answeredBy = backend.plugin
        switch status {
        case SLUICE_OK: return answerUnified(exchange)
        case SLUICE_PENDING: return suspend(exchange, backend.context, borrower: backend.plugin, .suspended)
        default: return failPlugin(exchange, status, backend.plugin, http: response.pointee.http_status)
        }
    }

    private func describeModel(
        _ exchange: ExchangePointer, _ backend: BackendLink, _ response: UnsafeMutablePointer<sluice_response>
    ) -> ExchangeMachine.Action {
        let tables = exchange.pointee.generation.unsafelyUnwrapped
        let pool = exchange.pointee.pool.unsafelyUnwrapped
        let model = tables.pointee.models + Int(pool.pointee.model)
        let count = Int(model.pointee.versionCount)
        guard let metadata = allocate(exchange, sluice_metadata.self, 1),
            let versions = allocate(exchange, sluice_bytes.self, count)
        else { return failWithoutMemory(exchange) }
        metadata.initialize(to: sluice_metadata())
        let start = beginCall(exchange)
        let status = backend.table.pointee.describe.unsafelyUnwrapped(backend.instance, metadata)
        endCall(exchange, backend.plugin, start)
        guard status == SLUICE_OK else { return failPlugin(exchange, status, backend.plugin) }
        for index in 0..<count {
            let sibling = tables.pointee.pools + Int(model.pointee.firstPool) + index
            (versions + index).initialize(to: sibling.pointee.versionName)
        }
        metadata.pointee.name = pool.pointee.modelName
        metadata.pointee.versions = UnsafePointer(versions)
        metadata.pointee.version_count = UInt32(count)
        response.pointee.metadata = UnsafePointer(metadata)
        return answerUnified(exchange)
    }

    // MARK: Toward an endpoint

    /// Lets the pool's adapter say what goes to the endpoint. Nil when it is settled.
    func encodeRequest(
        _ exchange: ExchangePointer, _ pool: UnsafeMutablePointer<WorkerPool>
    ) -> ExchangeMachine.Action? {
        guard let adapter = pool.pointee.adapter, let out = allocate(exchange, sluice_message.self, 1) else {
            return failWithoutMemory(exchange)
        }
        let request = exchange.pointee.request.unsafelyUnwrapped
        var target = sluice_target()
        target.model = pool.pointee.upstreamModelIsSet ? pool.pointee.upstreamModel : pool.pointee.modelName
        target.version = request.pointee.version
        target.renamed = target.model == request.pointee.model ? 0 : 1
        if pool.pointee.upstreamVersionIsSet {
            target.version = pool.pointee.upstreamVersion
            if !(target.version == request.pointee.version) { target.renamed = 1 }
        } else if target.version.size > 0, !(target.version == pool.pointee.versionName) {
            // A label or `latest`, or a router, a fallback or a shadow has decided otherwise: the endpoint knows its
            // versions alone. Who asks for none leaves it to the endpoint still.
            target.version = pool.pointee.versionName
            target.renamed = 1
        }
        if pool.pointee.endpointCount > 0 {
            target.authority = pool.pointee.targets[0].pointee.authority
        }
        if let client = exchange.pointee.client, adapter == exchange.pointee.adapter {
            // An adapter may speak over raw TCP and over HTTP: a message does not go on from one to the other.
            target.same_protocol = client.pointee.isRaw == pool.pointee.isRaw ? 1 : 0
        } else if exchange.pointee.shadow != nil, adapter == exchange.pointee.adapter {
            target.same_protocol = pool.pointee.isRaw ? 0 : 1
        }
        out.initialize(to: sluice_message())
        let speaksHTTP2 = pool.pointee.speaksHTTP2
        out.pointee.transport = UInt32(speaksHTTP2 ? SLUICE_TRANSPORT_GRPC : SLUICE_TRANSPORT_HTTP)
        if pool.pointee.isRaw { out.pointee.transport = UInt32(SLUICE_TRANSPORT_TCP) }
        let start = beginCall(exchange)
        let status = adapter.pointee.table.pointee.encode_request.unsafelyUnwrapped(
            adapter.pointee.instance, exchange.handle, request, &target, out)
        endCall(exchange, adapter.pointee.plugin, start)
        switch status {
        case SLUICE_PASS where target.same_protocol == 1 && exchange.pointee.shadow != nil:
            guard passShadow(exchange, out), speaksHTTP2 || out.pointee.transport != UInt32(SLUICE_TRANSPORT_GRPC)
            else { return fail(exchange, SLUICE_UNIMPLEMENTED, 501, "the copy cannot be sent") }
            exchange.pointee.passes = false
        case SLUICE_PASS where target.same_protocol == 1:
            guard speaksHTTP2 || !exchange.pointee.isGRPC else {
                return fail(
                    exchange, SLUICE_UNIMPLEMENTED, 501,
                    "the model's endpoints speak HTTP/1.1, which cannot carry a call of gRPC")
            }
            // How the client's answer ends hangs on its method (RFC 9112 §6.3), and so does what the endpoint sends.
            guard out.pointee.method.isEmpty || out.pointee.method.isHEAD == exchange.pointee.methodIsHead else {
                metrics.pluginFailed(plugin: PluginMetricsID(index: adapter.pointee.plugin))
                return fail(
                    exchange, SLUICE_INTERNAL, 500,
                    "an adapter passed the request on with another method, which changes whether its answer has content"
                )
            }
            exchange.pointee.passes = true
            if request.pointee.operation == UInt32(SLUICE_OPERATION_UPGRADE),
                let refusal = allowUpgrade(exchange, speaksHTTP2)
            {
                return refusal
            }
        case SLUICE_OK:
            let isRaw = out.pointee.transport == UInt32(SLUICE_TRANSPORT_TCP)
            guard isRaw == pool.pointee.isRaw,
                speaksHTTP2 || out.pointee.transport != UInt32(SLUICE_TRANSPORT_GRPC)
            else {
                return failPlugin(exchange, SLUICE_INTERNAL, adapter.pointee.plugin)
            }
            exchange.pointee.passes = false
            readClock()
        case SLUICE_NEED_BODY where !exchange.pointee.machine.hasPayload:
            return exchange.pointee.machine.handle(.payloadNeeded)
        case SLUICE_NEED_BODY where exchange.pointee.isUndecoded:
            return decodeAfterAll(exchange) ?? encodeRequest(exchange, pool)
        default:
            return failPlugin(exchange, status, adapter.pointee.plugin)
        }
        exchange.pointee.outgoing = out
        return nil
    }

    /// A connection for the exchange: a kept-alive one, a new one, or a place in the queue.
    func acquire(_ exchange: ExchangePointer, fresh: Bool) -> ExchangeMachine.Action {
        let pool = exchange.pointee.pool.unsafelyUnwrapped
        // Without an endpoint there is nothing to wait for.
        let able = eligibleCount(pool)
        if able > 0, !passesGate(exchange, pool, able, fresh: fresh) {
            return refusesWaiting(exchange, pool) ?? enqueue(exchange, pool)
        }
        // Without a policy nothing below has anything to ask.
        let isGuarded = pool.pointee.policy != nil
        if isGuarded, let action = admitsModel(exchange, pool) { return action }
        var anywhere = exchange.pointee.avoided != nil
        var count = markEligible(pool, anywhere: anywhere)
        // What is preferred is known once the mask is made.
        if pool.pointee.policy?.pointee.prefers != true { anywhere = true }
        if count > 1, let avoided = exchange.pointee.avoided { count = avoid(avoided, pool, count) }
        var choice = choose(exchange, pool, count)
        if choice == nil, !anywhere {
            anywhere = true
            choice = choose(exchange, pool, markEligible(pool, anywhere: true))
        }
        guard var index = choice else {
            metrics.rejected(.noEndpoint)
            return fail(
                exchange, SLUICE_UNAVAILABLE, 503, sluice_bytes("the model has no healthy endpoint"), retryAfter: 1)
        }
        if able > 1, isFull(pool, index) {
            if !anywhere { _ = markEligible(pool, anywhere: true) }
            index = other(exchange, pool, than: index)
        }
        return take(exchange, pool, index, fresh: fresh)
    }

    /// What the endpoint's breaker has let through is given back where no attempt comes of it: the place in the pool
    /// that it is remembered by may be another endpoint's later.
    func take(
        _ exchange: ExchangePointer, _ pool: UnsafeMutablePointer<WorkerPool>, _ index: UInt32, fresh: Bool
    ) -> ExchangeMachine.Action {
        let action = takeConnection(exchange, pool, index, fresh: fresh)
        if exchange.pointee.ticket != .none, !exchange.pointee.attemptOpen { withdraw(exchange) }
        return action
    }

    private func takeConnection(
        _ exchange: ExchangePointer, _ pool: UnsafeMutablePointer<WorkerPool>, _ index: UInt32, fresh: Bool
    ) -> ExchangeMachine.Action {
        let target = pool.pointee.targets[Int(index)]
        let endpoint = workerEndpoint(target)
        if target.pointee.speaksHTTP2 { return takeCall(exchange, pool, endpoint, index) }
        if !fresh, let idle = takeKept(endpoint, pool) {
            idle.pointee.reused = true
            attach(exchange, idle, index)
            // It stood idle under the pool it was opened for, which may be another one with the same endpoint.
            if let opener = idle.pointee.pool {
                metrics.upstreamReused(pool: PoolMetricsID(index: opener.pointee.metrics))
            }
            return exchange.pointee.machine.handle(.connected(reused: true))
        }
        // One that stands idle under other settings of TLS, another pool's or those before a reload, gives way; else
        // credits bound them.
        if endpoint.pointee.open >= pool.pointee.maxConnections, let oldest = endpoint.pointee.lastIdle,
            oldest.pointee.tls?.pointee.context != pool.pointee.tls
        {
            close(oldest)
        }
        return connect(exchange, pool, endpoint, index)
    }

    func attach(
        _ exchange: ExchangePointer, _ upstream: UnsafeMutablePointer<UpstreamConnection>, _ index: UInt32
    ) {
        upstream.pointee.exchange = exchange
        exchange.pointee.upstream = upstream
        note(exchange, index)
        exchange.pointee.attemptAt = now
        exchange.pointee.awaitedSince = now
        exchange.pointee.firstByteAt = 0
        exchange.pointee.interimCount = 0
        // A check is no load, and what comes of it is told elsewhere.
        guard exchange.pointee.probe == nil else { return }
        exchange.pointee.attemptOpen = true
        upstream.pointee.endpoint.pointee.endpoint.pointee.attemptBegins()
        if let pool = exchange.pointee.pool, pool.pointee.policy?.pointee.prefers == true { noteAttempt(pool, index) }
        if let pool = exchange.pointee.pool, pool.pointee.retry.perTryNs > 0 { armTimer(exchange) }
        exchange.pointee.attempt = exchange.pointee.machine.attempts &+ 1
        exchange.pointee.request.unsafelyUnwrapped.pointee.attempt = UInt32(exchange.pointee.attempt)
    }

    func workerEndpoint(_ target: UnsafeMutablePointer<Endpoint>) -> UnsafeMutablePointer<WorkerEndpoint> {
        let index = target.pointee.index
        if let known = endpoints[index] { return known }
        let made = UnsafeMutablePointer<WorkerEndpoint>.allocate(capacity: 1)
        made.initialize(to: WorkerEndpoint(endpoint: target))
        endpoints[index] = made
        return made
    }

    // MARK: The end of an attempt

    /// Accounts for an attempt that is under way, if there is one: endpoint, balancer, metrics.
    func finishAttempt(_ exchange: ExchangePointer, _ outcome: AttemptOutcome, _ status: sluice_status) {
        // A client that leaves an endpoint no time says nothing of it; it may as well have left itself, which it does
        // at the same moment. In milliseconds, as the timer that brought us here.
        if outcome == .timeout, exchange.pointee.callDeadline / 1_000_000 <= nowMs { return endAttempt(exchange) }
        guard exchange.pointee.attemptOpen, let pool = exchange.pointee.pool, let endpoint = exchange.pointee.endpoint
        else { return }
        exchange.pointee.attemptOpen = false
        let firstByteAt = exchange.pointee.firstByteAt
        let firstByte = firstByteAt == 0 ? 0 : firstByteAt &- exchange.pointee.awaitedSince
        let failed = status != SLUICE_OK && status != SLUICE_CANCELLED
        endpoint.pointee.attemptEnds(firstByte: firstByte, failed: failed, now: now)
        if failed || outcome == .serverError { exchange.pointee.avoided = endpoint }
        let present = presentIndex(exchange)
        if let settings = pool.pointee.concurrency { measure(exchange, pool, settings, outcome, firstByte) }
        if let policy = pool.pointee.policy, policy.pointee.judges {
            judge(exchange, pool, policy, outcome, present, firstByte)
        }
        // A first byte is timed by the clock itself, and `now` is as old as this turn of the loop.
        let total = max(now &- exchange.pointee.attemptAt, firstByte)
        metrics.attemptFinished(
            endpoint: EndpointMetricsID(index: exchange.pointee.endpointMetrics), outcome: outcome,
            durationNs: total)
        guard let balancer = pool.pointee.balancer, let onResult = balancer.table.pointee.on_result,
            let index = present
        else { return }
        var result = sluice_outcome()
        result.endpoint = index
        result.status = status
        result.http_status = UInt32(exchange.pointee.httpStatus)
        result.attempt = UInt32(exchange.pointee.attempt)
        result.first_byte_ns = firstByte
        result.total_ns = total
        result.ended_ns = now
        let start = beginCall(exchange)
        onResult(balancer.instance, &result)
        endCall(exchange, balancer.plugin, start)
    }

    /// The same when the exchange ends before the attempt does, for a reason that is not the endpoint's: what a client,
    /// a filter or a reload did must not cost an endpoint its place. Where the endpoint is to blame, whoever sees that
    /// has said so with `finishAttempt` before.
    func endAttempt(_ exchange: ExchangePointer) { finishAttempt(exchange, .cancelled, SLUICE_CANCELLED) }
}

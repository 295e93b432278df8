import CLinux
import Glibc
import HTTP1
import SluiceABI

typealias ExchangePointer = UnsafeMutablePointer<Exchange>

extension UnsafeMutablePointer<Exchange> {
    /// The exchange's timer: its first field.
    var timer: UnsafeMutablePointer<TimerNode> {
        UnsafeMutableRawPointer(self).assumingMemoryBound(to: TimerNode.self)
    }

    /// As plugins hold it.
    var handle: OpaquePointer { OpaquePointer(self) }
}

/// The pipeline up to the choice of an endpoint: each step calls plugins, reports to the exchange's machine and returns
/// the machine's next action.
extension Worker {
    /// One exchange in so many has its plugin calls timed: reading the clock twice a call costs more than most calls.
    static let timedOneIn: UInt64 = 64

    /// Performs an action and those that follow from it, until an event has to come.
    func perform(_ exchange: ExchangePointer, _ first: ExchangeMachine.Action) {
        var action = first
        while true {
            switch action {
            case .none: return
            case .decodeHead: action = decodeHead(exchange)
            case .gatherBody: action = gatherBody(exchange)
            case .decodeBody: action = decodeBody(exchange)
            case .runFilters: action = runFilters(exchange)
            case .route: action = route(exchange)
            case .runModelFilters: action = runModelFilters(exchange)
            case .dispatch: action = dispatch(exchange)
            case .acquireConnection: action = acquire(exchange, fresh: false)
            case .acquireFreshConnection: action = acquire(exchange, fresh: true)
            case .acquireHedge: action = acquireHedge(exchange)
            case .backOff: action = backOff(exchange)
            case .sendRequest: action = sendRequest(exchange)
            case .readHeadAgain: action = readHeadAgain(exchange)
            case .filterAnswer: action = answerUnified(exchange)
            case .forwardHead: action = forwardHead(exchange)
            case .gatherResponse: action = gatherResponse(exchange)
            case .decodeResponse: action = decodeResponse(exchange)
            case .beginTunnel: action = beginTunnel(exchange)
            case .endTunnel:
                endTunnel(exchange)
                return
            case .failConnect:
                action = fail(
                    exchange, SLUICE_UNAVAILABLE, 503, sluice_bytes("the endpoint could not be reached"), retryAfter: 1)
            case .failUnanswered: action = failAttempts(exchange, begun: false)
            case .failBadResponse: action = failAttempts(exchange, begun: true)
            case .failDeadline:
                action = fail(exchange, SLUICE_DEADLINE_EXCEEDED, 504, "the request took longer than its deadline")
            case .failUploadTimeout:
                action = fail(
                    exchange, SLUICE_DEADLINE_EXCEEDED, 504, "the endpoint did not take the request's body in time")
            case .failTryTimeout:
                action = fail(
                    exchange, SLUICE_DEADLINE_EXCEEDED, 504, "no attempt was answered within its time")
            case .failBodyTimeout:
                action = fail(exchange, SLUICE_DEADLINE_EXCEEDED, 408, "the request's body did not arrive in time")
            case .cut:
                cut(exchange)
                return
            case .finish(let keepAlive):
                finish(exchange, keepAlive: keepAlive)
                return
            case .abandon:
                abandon(exchange)
                return
            }
        }
    }

    // MARK: Adapter

    func decodeHead(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        let tables = exchange.pointee.generation.unsafelyUnwrapped
        let message = exchange.pointee.message.unsafelyUnwrapped
        let request = exchange.pointee.request.unsafelyUnwrapped
        if exchange.pointee.lead.size > 0 { return decodeHeadWithMessage(exchange) }
        if message.pointee.transport == UInt32(SLUICE_TRANSPORT_TCP) { return decodeMessage(exchange) }
        var position = 0
        while position < tables.pointee.adapterCount {
            let adapter = tables.pointee.adapters + position
            position &+= 1
            guard
                let route = findRoute(
                    adapter, message, message.pointee.method, isHead: exchange.pointee.methodIsHead)
            else { continue }
            guard setMatch(exchange, adapter, route) else { return failWithoutMemory(exchange) }
            exchange.pointee.adapter = adapter
            let start = beginCall(exchange)
            let status = adapter.pointee.table.pointee.decode.unsafelyUnwrapped(
                adapter.pointee.instance, exchange.handle, UInt32(SLUICE_STAGE_HEAD), exchange.pointee.match, request)
            endCall(exchange, adapter.pointee.plugin, start)
            if status == SLUICE_DECLINE {
                resetRequest(exchange)
                exchange.pointee.adapter = nil
                continue
            }
            guard status == SLUICE_OK || status == SLUICE_NEED_BODY else {
                return failPlugin(exchange, status, adapter.pointee.plugin)
            }
            // Only now, so that the error has the shape of the adapter's protocol; nothing of the body is read before.
            // One whose size nobody knows is held to the limit as it comes.
            let bodySize = message.pointee.body_size
            if bodySize > UInt64(bitPattern: Int64(tables.pointee.limits.bodyBytes)), bodySize != .max {
                return bodyTooLarge(exchange)
            }
            if status == SLUICE_NEED_BODY, exchange.pointee.isGRPC {
                exchange.pointee.gathersFirst = true
                return exchange.pointee.machine.handle(.messageNeeded)
            }
            let needed = status == SLUICE_NEED_BODY || needsPayload(exchange, tables.pointee.filters)
            if status == SLUICE_OK { resolveModel(exchange) }
            return exchange.pointee.machine.handle(.decodedHead(payloadNeeded: needed))
        }
        return failUnserved(exchange)
    }

    /// The adapter's second look at the head of a call, with the first message, which then streams on with the rest.
    private func decodeHeadWithMessage(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        guard let adapter = exchange.pointee.adapter else { return failWithoutMemory(exchange) }
        let message = exchange.pointee.message.unsafelyUnwrapped
        let start = beginCall(exchange)
        let status = adapter.pointee.table.pointee.decode.unsafelyUnwrapped(
            adapter.pointee.instance, exchange.handle, UInt32(SLUICE_STAGE_HEAD), exchange.pointee.match,
            exchange.pointee.request.unsafelyUnwrapped)
        endCall(exchange, adapter.pointee.plugin, start)
        message.pointee.body_state = UInt32(SLUICE_BODY_STREAMING)
        message.pointee.body = nil
        message.pointee.body_count = 0
        message.pointee.body_size = .max
        switch status {
        case SLUICE_OK: resolveModel(exchange)
        case SLUICE_NEED_BODY: break
        case SLUICE_DECLINE: return fail(exchange, SLUICE_UNIMPLEMENTED, 404, "no adapter serves this method")
        default: return failPlugin(exchange, status, adapter.pointee.plugin)
        }
        let filters = exchange.pointee.generation.unsafelyUnwrapped.pointee.filters
        let needed = status == SLUICE_NEED_BODY || needsPayload(exchange, filters)
        return exchange.pointee.machine.handle(.decodedHead(payloadNeeded: needed))
    }

    /// The route of an adapter that takes the message when it has this method; captures are left in `captureScratch`.
    @inline(__always)
    func findRoute(
        _ adapter: UnsafeMutablePointer<AdapterLink>, _ message: UnsafeMutablePointer<sluice_message>,
        _ method: sluice_bytes, isHead: Bool
    ) -> Int? {
        guard isHead else { return matchRoute(adapter, message, method) }
        return RouteList(routes: adapter.pointee.routes, count: adapter.pointee.routeCount)
            .matchHead(message, captureScratch)
    }

    /// The first one that fits.
    @inline(__always)
    private func matchRoute(
        _ adapter: UnsafeMutablePointer<AdapterLink>, _ message: UnsafeMutablePointer<sluice_message>,
        _ method: sluice_bytes
    ) -> Int? {
        if message.pointee.transport == UInt32(SLUICE_TRANSPORT_GRPC) {
            return adapter.pointee.calls.match(message, captureScratch)
        }
        let prefix = adapter.pointee.prefix
        if prefix.size > 0, let path = message.pointee.path.data, let bytes = prefix.data {
            guard message.pointee.path.size >= prefix.size, sameBytes(path, bytes, prefix.size) else { return nil }
        }
        var index = 0
        while index < adapter.pointee.routeCount {
            if adapter.pointee.routes[index].matches(
                method: method, path: message.pointee.path, target: message.pointee.target, captures: captureScratch)
            {
                return Int(adapter.pointee.routes[index].index)
            }
            index &+= 1
        }
        return nil
    }

    func setMatch(
        _ exchange: ExchangePointer, _ adapter: UnsafeMutablePointer<AdapterLink>, _ route: Int
    ) -> Bool {
        let count = adapter.pointee.captureCounts[route]
        guard let match = allocate(exchange, sluice_match.self, 1),
            let captures = allocate(exchange, sluice_bytes.self, count)
        else { return false }
        captures.initialize(from: captureScratch, count: count)
        match.initialize(
            to: sluice_match(
                route: UInt32(truncatingIfNeeded: route), capture_count: UInt32(truncatingIfNeeded: count),
                captures: UnsafePointer(captures)))
        exchange.pointee.match = match
        return true
    }

    func resolveModel(_ exchange: ExchangePointer) {
        let request = exchange.pointee.request.unsafelyUnwrapped
        let tables = exchange.pointee.generation.unsafelyUnwrapped
        request.pointee.model_id =
            request.pointee.model.isEmpty ? SLUICE_NONE : tables.pointee.modelNames.find(request.pointee.model)
    }

    func decodeBody(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        guard let adapter = exchange.pointee.adapter else { return exchange.pointee.machine.handle(.decodedBody) }
        if exchange.pointee.isUnreadable {
            // What goes on as it came must not fail because a router would have liked to read it.
            if exchange.pointee.machine.gathersForRouter {
                exchange.pointee.isUndecoded = true
                // For routers there is nothing in it, and nothing to wait for.
                exchange.pointee.request.unsafelyUnwrapped.pointee.payload.kind = UInt32(SLUICE_PAYLOAD_NONE)
                return exchange.pointee.machine.handle(.decodedBody)
            }
            announceCodings(exchange)
        }
        if let action = decodePayload(exchange, adapter) { return action }
        resolveModel(exchange)
        return exchange.pointee.machine.handle(.decodedBody)
    }

    /// Lets the adapter read the gathered body. Nil when it could.
    func decodePayload(
        _ exchange: ExchangePointer, _ adapter: UnsafeMutablePointer<AdapterLink>
    ) -> ExchangeMachine.Action? {
        let request = exchange.pointee.request.unsafelyUnwrapped
        let start = beginCall(exchange)
        let status = adapter.pointee.table.pointee.decode.unsafelyUnwrapped(
            adapter.pointee.instance, exchange.handle, UInt32(SLUICE_STAGE_BODY), exchange.pointee.match, request)
        endCall(exchange, adapter.pointee.plugin, start)
        readClock()
        return status == SLUICE_OK ? nil : failPlugin(exchange, status, adapter.pointee.plugin)
    }

    // MARK: Filters

    func runFilters(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        let chain = exchange.pointee.generation.unsafelyUnwrapped.pointee.filters
        if let action = runChain(exchange, chain, behind: 0) { return action }
        let operation = exchange.pointee.request.unsafelyUnwrapped.pointee.operation
        switch Int32(operation) {
        case SLUICE_OPERATION_SERVER_LIVE, SLUICE_OPERATION_SERVER_READY, SLUICE_OPERATION_SERVER_METADATA,
            SLUICE_OPERATION_MODEL_LIST:
            return answerForGateway(exchange)
        default: return exchange.pointee.machine.handle(.filtersPassed)
        }
    }

    @inline(never)
    func runModelFilters(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        let chain = modelFilters(exchange)
        if needsPayload(exchange, chain), !exchange.pointee.machine.hasPayload {
            return exchange.pointee.machine.handle(.payloadNeeded)
        }
        if exchange.pointee.isUndecoded, chain.needs & UInt32(SLUICE_FILTER_REQUEST_BODY) != 0,
            let action = decodeAfterAll(exchange)
        {
            return action
        }
        let own = exchange.pointee.generation.unsafelyUnwrapped.pointee.filters.count
        if let action = runChain(exchange, chain, behind: own) { return action }
        return exchange.pointee.machine.handle(.modelFiltersPassed(payloadNeeded: dispatchNeedsPayload(exchange)))
    }

    /// Whether a filter of the chain is to see the payload. A call of gRPC that is passed on may be a stream, whose
    /// messages answer each other: nobody waits for its end.
    @inline(__always)
    private func needsPayload(_ exchange: ExchangePointer, _ chain: FilterChain) -> Bool {
        guard chain.needs & UInt32(SLUICE_FILTER_REQUEST_BODY) != 0 else { return false }
        return !exchange.pointee.isGRPC
            || exchange.pointee.request.unsafelyUnwrapped.pointee.operation != UInt32(SLUICE_OPERATION_OTHER)
    }

    /// Nil when all links passed; `link` is where a suspended chain goes on, `first` how many filters stand before it.
    private func runChain(
        _ exchange: ExchangePointer, _ chain: FilterChain, behind first: Int
    ) -> ExchangeMachine.Action? {
        let request = exchange.pointee.request.unsafelyUnwrapped
        while Int(exchange.pointee.link) < chain.count {
            let filter = chain.links + Int(exchange.pointee.link)
            guard exchange.pointee.isResumed || mayBorrow(filter) else { return failHeld(exchange) }
            guard let answer = freshResponse(exchange) else { return failWithoutMemory(exchange) }
            let deadline = request.pointee.deadline_ns
            let start = beginCall(exchange)
            let status = filter.pointee.table.pointee.on_request.unsafelyUnwrapped(
                filter.pointee.instance, exchange.handle, request, answer)
            endCall(exchange, filter.pointee.plugin, start)
            exchange.pointee.isResumed = false
            if request.pointee.deadline_ns != deadline { bringForward(exchange, from: deadline) }
            switch status {
            case SLUICE_OK, SLUICE_DECLINE: exchange.pointee.link &+= 1
            case SLUICE_ANSWER:
                exchange.pointee.answeredBy = filter.pointee.plugin
                exchange.pointee.askedLinks = Int16(truncatingIfNeeded: first &+ Int(exchange.pointee.link) &+ 1)
                return answerUnified(exchange)
            case SLUICE_PENDING: return suspend(exchange, filter, .suspended)
            default:
                metrics.rejected(.filter)
                return failPlugin(exchange, status, filter.pointee.plugin, http: answer.pointee.http_status)
            }
        }
        exchange.pointee.link = 0
        return nil
    }

    /// A filter has given the request another deadline than `former`, which is the last one that it may give.
    @inline(never)
    private func bringForward(_ exchange: ExchangePointer, from former: UInt64) {
        let request = exchange.pointee.request.unsafelyUnwrapped
        request.pointee.deadline_ns = min(request.pointee.deadline_ns, former)
        exchange.pointee.filterDeadline = min(exchange.pointee.filterDeadline, request.pointee.deadline_ns)
        armTimer(exchange)
    }

    func freshResponse(_ exchange: ExchangePointer) -> UnsafeMutablePointer<sluice_response>? {
        if exchange.pointee.response == nil {
            exchange.pointee.response = allocate(exchange, sluice_response.self, 1)
        }
        guard let response = exchange.pointee.response else { return nil }
        let request = exchange.pointee.request.unsafelyUnwrapped
        var value = sluice_response()
        value.operation = request.pointee.operation
        value.id = request.pointee.id
        value.model = request.pointee.model
        value.version = request.pointee.version
        if let pool = exchange.pointee.pool {
            value.model = pool.pointee.modelName
            value.version = pool.pointee.versionName
        }
        response.initialize(to: value)
        return response
    }

    // MARK: Calls into plugins

    @inline(__always)
    func beginCall(_ exchange: ExchangePointer) -> UInt64 {
        failureSize = 0
        return exchange.pointee.timesCalls ? clinux_monotonic_ns() : 0
    }

    @inline(__always)
    func endCall(_ exchange: ExchangePointer, _ plugin: Int32, _ start: UInt64) {
        if start != 0 {
            metrics.pluginCall(plugin: PluginMetricsID(index: plugin), nanoseconds: clinux_monotonic_ns() &- start)
        }
    }

    // MARK: Arena

    @inline(__always)
    func allocate<Element>(
        _ exchange: ExchangePointer, _ type: Element.Type, _ count: Int
    ) -> UnsafeMutablePointer<Element>? {
        let bound = exchange.pointee.generation.unsafelyUnwrapped.pointee.limits.arenaBytes
        return exchange.pointee.arena.allocate(
            count &* MemoryLayout<Element>.stride, from: &buffers, bound: bound)?
            .assumingMemoryBound(to: Element.self)
    }

    func copy(_ exchange: ExchangePointer, _ bytes: sluice_bytes) -> sluice_bytes? {
        guard let memory = allocate(exchange, UInt8.self, bytes.size) else { return nil }
        if let data = bytes.data { memory.update(from: data, count: bytes.size) }
        return sluice_bytes(memory, bytes.size)
    }
}

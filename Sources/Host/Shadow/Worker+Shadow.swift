import CLinux
import Glibc
import HTTP1
import SluiceABI

/// Copies of requests, which a router sends to another pool beside the original. A copy is an exchange without a client
/// that has all of its memory itself: nothing that becomes of it is seen by whoever sent the request. It takes the way
/// of its pool from the dispatch on, but waits in no queue, is never tried again, and degrades to nothing.
extension Worker {
    /// As long as a plugin may ask a copy to last, in nanoseconds: longer ones would outlive any reload.
    static let shadowTimeoutAtMost: UInt64 = 3_600_000_000_000

    /// `sluice_shadow_service.send`.
    func sendShadow(_ exchange: ExchangePointer, _ wanted: sluice_shadow_copy) -> sluice_status {
        guard let tables = exchange.pointee.generation, wanted.pool < UInt32(tables.pointee.poolCount),
            wanted.timeout_ns > 0, mayMark(wanted)
        else { return SLUICE_INVALID_ARGUMENT }
        guard exchange.pointee.shadowed == nil else { return SLUICE_ALREADY_EXISTS }
        guard exchange.pointee.client != nil, exchange.pointee.machine.phase == .routing, !draining,
            let adapter = exchange.pointee.adapter, let message = exchange.pointee.message,
            let request = exchange.pointee.request, let match = exchange.pointee.match,
            message.pointee.transport != UInt32(SLUICE_TRANSPORT_TCP),
            request.pointee.operation != UInt32(SLUICE_OPERATION_UPGRADE), let body = bodyAtHand(exchange)
        else { return SLUICE_FAILED_PRECONDITION }
        guard shadows < tables.pointee.limits.shadows,
            let copy = beginOwnExchange(tables.pointee.pools + Int(wanted.pool))
        else { return SLUICE_RESOURCE_EXHAUSTED }
        let pair = UnsafeMutablePointer<ShadowPair>.allocate(capacity: 1)
        pair.initialize(
            to: ShadowPair(
                done: wanted.done, user: wanted.user, adapter: adapter,
                tellsCopy: wanted.flags & SLUICE_SHADOW_TELL_COPY != 0))
        pair.pointee.exchange = copy
        copy.pointee.shadow = pair
        shadows &+= 1
        tables.pointee.copies &+= 1
        let deadline = now &+ min(wanted.timeout_ns, Self.shadowTimeoutAtMost)
        guard
            describeOwnRequest(
                copy, Int32(request.pointee.operation), namesVersion: true, deadline: deadline),
            fillShadow(copy, of: exchange, message, match, body), keepBearings(copy, pair, of: exchange, request),
            mark(copy, of: exchange, wanted)
        else {
            // Nothing of it is told: the plugin has its answer.
            copy.pointee.shadow = nil
            pair.deallocate()
            shadows &-= 1
            tables.pointee.copies &-= 1
            dispose(copy)
            return SLUICE_RESOURCE_EXHAUSTED
        }
        exchange.pointee.shadowed = pair
        if wanted.flags & SLUICE_SHADOW_COMPARE_BODIES != 0 {
            digest(exchange)
            digest(copy)
        }
        pair.pointee.next = firstShadow
        firstShadow = pair
        return SLUICE_OK
    }

    /// Whether all fields that the plugin marks the copy with may be set.
    private func mayMark(_ wanted: sluice_shadow_copy) -> Bool {
        guard let fields = wanted.fields else { return wanted.field_count == 0 }
        return (0..<Int(wanted.field_count)).allSatisfy { index in
            maySet(UInt32(SLUICE_SIDE_REQUEST), fields[index].name, fields[index].value, adds: false)
        }
    }

    /// The answer's body is hashed on its way. Without memory it is not, and nothing is said of it.
    private func digest(_ exchange: ExchangePointer) {
        guard let place = allocate(exchange, BodyDigest.self, 1) else { return }
        place.initialize(to: BodyDigest())
        exchange.pointee.toClient.digest = place
    }

    /// The request's body when all of it is there: none, gathered, or behind the head in the client's input.
    private func bodyAtHand(_ exchange: ExchangePointer) -> sluice_bytes? {
        guard let message = exchange.pointee.message else { return nil }
        if message.pointee.body_state == UInt32(SLUICE_BODY_WHOLE) {
            return message.pointee.body_count > 0 ? message.pointee.body[0] : .empty
        }
        if message.pointee.body_state == UInt32(SLUICE_BODY_NONE) { return .empty }
        // A call's frames are taken apart when it is gathered.
        guard !exchange.pointee.isGRPC, exchange.pointee.toEndpoint.source == .length,
            let client = exchange.pointee.client,
            UInt64(client.pointee.input.count) >= exchange.pointee.toEndpoint.remaining
        else { return nil }
        return sluice_bytes(client.pointee.input.head.asImmutable, Int(exchange.pointee.toEndpoint.remaining))
    }

    /// Message and match of the original, in the copy's own memory.
    private func fillShadow(
        _ copy: ExchangePointer, of exchange: ExchangePointer, _ message: UnsafeMutablePointer<sluice_message>,
        _ match: UnsafeMutablePointer<sluice_match>, _ body: sluice_bytes
    ) -> Bool {
        guard let own = copy.pointee.message, let head = exchange.pointee.head,
            let fields = allocate(copy, sluice_field.self, head.pointee.fields.count),
            let piece = allocate(copy, sluice_bytes.self, 1), let ownMatch = allocate(copy, sluice_match.self, 1),
            let captures = allocate(copy, sluice_bytes.self, Int(match.pointee.capture_count)),
            let method = self.copy(copy, message.pointee.method), let target = self.copy(copy, message.pointee.target),
            let path = self.copy(copy, message.pointee.path), let query = self.copy(copy, message.pointee.query),
            let authority = self.copy(copy, message.pointee.authority), let content = self.copy(copy, body)
        else { return false }
        // Of the head, by whose places it is known which ones end here. A coding that was undone is among them yet.
        let received = head.pointee.fields
        let isInflated = received.count > Int(message.pointee.field_count)
        var count = 0
        for index in 0..<received.count where !received.hopByHop.contains(index) {
            let field = received[index]
            if isInflated, field.name.equalsIgnoringCase(sluice_bytes("content-encoding")) { continue }
            guard let name = self.copy(copy, field.name), let value = self.copy(copy, field.value) else { return false }
            (fields + count).initialize(to: sluice_field(name: name, value: value))
            count += 1
        }
        for index in 0..<Int(match.pointee.capture_count) {
            guard let capture = self.copy(copy, match.pointee.captures[index]) else { return false }
            (captures + index).initialize(to: capture)
        }
        piece.initialize(to: content)
        own.pointee.transport = message.pointee.transport
        own.pointee.method = method
        own.pointee.target = target
        own.pointee.path = path
        own.pointee.query = query
        own.pointee.authority = authority
        own.pointee.fields = UnsafePointer(fields)
        own.pointee.field_count = UInt32(count)
        let hasBody = message.pointee.body_state != UInt32(SLUICE_BODY_NONE)
        own.pointee.body_state = UInt32(hasBody ? SLUICE_BODY_WHOLE : SLUICE_BODY_NONE)
        own.pointee.body = UnsafePointer(piece)
        own.pointee.body_count = content.size > 0 ? 1 : 0
        own.pointee.body_size = UInt64(content.size)
        ownMatch.initialize(
            to: sluice_match(
                route: match.pointee.route, capture_count: match.pointee.capture_count,
                captures: UnsafePointer(captures)))
        copy.pointee.match = ownMatch
        copy.pointee.adapter = exchange.pointee.adapter
        return true
    }

    /// Who asks, as is known by now: balancers send the copies of a session, a tenant or a client to one endpoint, as
    /// they do its requests.
    private func keepBearings(
        _ copy: ExchangePointer, _ pair: UnsafeMutablePointer<ShadowPair>, of exchange: ExchangePointer,
        _ request: UnsafeMutablePointer<sluice_request>
    ) -> Bool {
        guard let own = copy.pointee.request, let tenant = self.copy(copy, request.pointee.tenant),
            let session = self.copy(copy, request.pointee.session), let peer = self.copy(copy, peerText(exchange))
        else { return false }
        pair.pointee.peer = peer
        own.pointee.tenant = tenant
        own.pointee.session = session
        own.pointee.priority = request.pointee.priority
        return true
    }

    /// Fields that filters and routers have set in the original so far, and those that the plugin marks the copy with.
    private func mark(_ copy: ExchangePointer, of exchange: ExchangePointer, _ wanted: sluice_shadow_copy) -> Bool {
        if let edits = exchange.pointee.edits {
            for index in 0..<edits.pointee.count where edits.pointee.edits[index].side == UInt32(SLUICE_SIDE_REQUEST) {
                let each = edits.pointee.edits[index]
                guard edit(copy, UInt32(SLUICE_SIDE_REQUEST), each.name, each.value, adds: each.adds) == SLUICE_OK
                else { return false }
            }
        }
        for index in 0..<Int(wanted.field_count) {
            guard let field = wanted.fields?[index],
                edit(copy, UInt32(SLUICE_SIDE_REQUEST), field.name, field.value) == SLUICE_OK
            else { return false }
        }
        return true
    }

    // MARK: The copy's way

    /// Between two events: who asked for a copy has gone on meanwhile.
    func startShadows() {
        while let pair = firstShadow {
            firstShadow = pair.pointee.next
            pair.pointee.next = nil
            guard let copy = pair.pointee.exchange else { continue }
            pair.pointee.exchange = nil
            start(copy, pair.pointee.adapter)
        }
    }

    private func start(_ copy: ExchangePointer, _ adapter: UnsafeMutablePointer<AdapterLink>) {
        guard let pool = copy.pointee.pool, let request = copy.pointee.request else { return }
        armTimer(copy)
        let start = beginCall(copy)
        let status = adapter.pointee.table.pointee.decode.unsafelyUnwrapped(
            adapter.pointee.instance, copy.handle, UInt32(SLUICE_STAGE_HEAD), copy.pointee.match, request)
        endCall(copy, adapter.pointee.plugin, start)
        guard status == SLUICE_OK || status == SLUICE_NEED_BODY else {
            copy.pointee.status = SLUICE_INVALID_ARGUMENT
            return perform(copy, .finish(keepAlive: false))
        }
        request.pointee.model_id = pool.pointee.model
        let needed = status == SLUICE_NEED_BODY || dispatchNeedsPayload(copy)
        perform(copy, copy.pointee.machine.handle(.modelFiltersPassed(payloadNeeded: needed)))
    }

    /// The pool's adapter would let the original through as it came: the copy is made a message of its own.
    func passShadow(_ copy: ExchangePointer, _ out: UnsafeMutablePointer<sluice_message>) -> Bool {
        guard let message = copy.pointee.message,
            let fields = allocate(copy, sluice_field.self, Int(message.pointee.field_count))
        else { return false }
        let isCall = message.pointee.transport == UInt32(SLUICE_TRANSPORT_GRPC)
        var count = 0
        for index in 0..<Int(message.pointee.field_count) {
            let field = message.pointee.fields[index]
            if field.name.equalsIgnoringCase(sluice_bytes("Host")) {
                // The name that the client asked for, unless somebody has set another one.
                guard !isEdited(copy, field.name, SLUICE_SIDE_REQUEST) else { continue }
                guard edit(copy, UInt32(SLUICE_SIDE_REQUEST), field.name, field.value) == SLUICE_OK else {
                    return false
                }
                continue
            }
            if isMadeAnew(field.name, isCall: isCall) { continue }
            (fields + count).initialize(to: field)
            count += 1
        }
        out.pointee.transport = message.pointee.transport
        if out.pointee.method.isEmpty { out.pointee.method = message.pointee.method }
        if out.pointee.target.isEmpty { out.pointee.target = message.pointee.target }
        out.pointee.fields = UnsafePointer(fields)
        out.pointee.field_count = UInt32(count)
        if out.pointee.body_state != UInt32(SLUICE_BODY_WHOLE) {
            out.pointee.body = message.pointee.body
            out.pointee.body_count = message.pointee.body_count
            out.pointee.body_state = message.pointee.body_state
        }
        return true
    }

    /// Whoever writes the head writes these.
    private func isMadeAnew(_ name: sluice_bytes, isCall: Bool) -> Bool {
        name.equalsIgnoringCase(sluice_bytes("Content-Length")) || name.equalsIgnoringCase(sluice_bytes("Expect"))
            || name.equalsIgnoringCase(sluice_bytes("Via"))
            || isCall
                && (name.equalsIgnoringCase(sluice_bytes("Content-Type"))
                    || name.equalsIgnoringCase(sluice_bytes("TE"))
                    || name.equalsIgnoringCase(sluice_bytes("grpc-timeout")))
    }

    /// The whole answer to a copy was taken, from an endpoint or from a backend in this process.
    func shadowAnswered(_ copy: ExchangePointer, _ pair: UnsafeMutablePointer<ShadowPair>) -> ExchangeMachine.Action {
        if let status = endpointStatus(copy)?.status, status < 0 { copy.pointee.status = status }
        if copy.pointee.httpStatus == 0 { copy.pointee.httpStatus = 200 }
        pair.pointee.copyAnswered = true
        return .finish(keepAlive: false)
    }

    // MARK: The end

    func shadowEnded(_ copy: ExchangePointer, _ pair: UnsafeMutablePointer<ShadowPair>) {
        copy.pointee.shadow = nil
        shadows &-= 1
        copy.pointee.generation?.pointee.copies &-= 1
        let answered = pair.pointee.copyAnswered
        var end = sluice_shadow_end()
        end.status = copy.pointee.status
        if !answered, end.status == SLUICE_OK { end.status = SLUICE_UNAVAILABLE }
        // One that was given up has no answer, however much of one had come.
        end.http_status = end.status == SLUICE_CANCELLED && !answered ? 0 : UInt32(copy.pointee.httpStatus)
        time(&end, copy)
        if answered { tellBody(&end, copy) }
        pair.pointee.outcome.copy = end
        if pair.pointee.tellsCopy {
            var outcome = sluice_shadow_outcome()
            outcome.original.status = SLUICE_PENDING
            outcome.copy = end
            pair.pointee.done?(pair.pointee.user, &outcome)
        }
        leave(pair)
    }

    func originalEnded(_ exchange: ExchangePointer, _ pair: UnsafeMutablePointer<ShadowPair>) {
        exchange.pointee.shadowed = nil
        var end = sluice_shadow_end()
        end.status = exchange.pointee.status
        end.http_status = UInt32(exchange.pointee.httpStatus)
        time(&end, exchange)
        if end.status == SLUICE_OK { tellBody(&end, exchange) }
        pair.pointee.outcome.original = end
        leave(pair)
    }

    /// From the begin of the last attempt, where there was one.
    private func time(_ end: inout sluice_shadow_end, _ exchange: ExchangePointer) {
        let begin = exchange.pointee.attemptAt == 0 ? exchange.pointee.receivedAt : exchange.pointee.attemptAt
        end.total_ns = clinux_monotonic_ns() &- begin
        if exchange.pointee.firstByteAt != 0 {
            end.first_byte_ns = exchange.pointee.firstByteAt &- exchange.pointee.awaitedSince
        }
    }

    /// Only what an endpoint has sent is told.
    private func tellBody(_ end: inout sluice_shadow_end, _ exchange: ExchangePointer) {
        guard exchange.pointee.firstByteAt != 0, let digest = exchange.pointee.toClient.digest else { return }
        end.body_hash = digest.pointee.value
        end.body_size = digest.pointee.count
    }

    private func leave(_ pair: UnsafeMutablePointer<ShadowPair>) {
        pair.pointee.open &-= 1
        guard pair.pointee.open == 0 else { return }
        var outcome = pair.pointee.outcome
        let (done, user) = (pair.pointee.done, pair.pointee.user)
        pair.deallocate()
        done?(user, &outcome)
    }
}

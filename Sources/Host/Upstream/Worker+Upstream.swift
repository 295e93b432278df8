import CLinux
import Glibc
import HTTP1
import SluiceABI

extension UnsafeMutablePointer<UpstreamConnection> {
    /// The connection's timer: its first field.
    var timer: UnsafeMutablePointer<TimerNode> {
        UnsafeMutableRawPointer(self).assumingMemoryBound(to: TimerNode.self)
    }
}

/// Connections to endpoints: events, heads of responses, parking and closing.
extension Worker {
    /// A backend that sends hint after hint and never an answer is cut off (RFC 9110 §15.2 sets no bound).
    private static let interimAtMost: UInt8 = 16
    /// How long a connection stays open unused: shorter than the 75 s after which nginx, and the 60 s after which many
    /// balancers close theirs, so that the race of reuse against close is rare.
    static let idleMs: UInt64 = 50_000

    func upstreamReady(_ upstream: UnsafeMutablePointer<UpstreamConnection>, _ happened: UInt32) {
        var events = happened
        if let link = upstream.pointee.tls { events = link.meaning(events) }
        let broken = events & UInt32(EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0
        // Noted in any case: an edge that comes with the one of the connect does not come again.
        if events & UInt32(EPOLLRDHUP.rawValue) != 0 || broken {
            upstream.pointee.peerFinished = true
            upstream.pointee.readable = true
        }
        if events & UInt32(EPOLLIN.rawValue) != 0 { upstream.pointee.readable = true }
        let wasConnecting = upstream.pointee.connecting
        let wasWritable = upstream.pointee.writable
        if events & UInt32(EPOLLOUT.rawValue) != 0 { upstream.pointee.writable = true }
        if let http2 = upstream.pointee.http2 { return http2UpstreamReady(http2, broken: broken) }
        guard let exchange = upstream.pointee.exchange else {
            // Idle: neither an end nor a byte is expected, and after either it is of no use.
            if upstream.pointee.readable, somethingWaits(upstream) { close(upstream) }
            return
        }
        prefetch(exchange)
        face(exchange, upstream)
        if wasConnecting {
            connected(upstream, exchange, broken: broken)
            guard upstream.pointee.exchange == exchange, !upstream.pointee.connecting else { return }
        } else if exchange.pointee.isTunnel {
            perform(exchange, pumpTunnel(exchange))
            return
        } else if !wasWritable, upstream.pointee.writable,
            !exchange.pointee.toEndpoint.sourceEnded
                || exchange.pointee.toEndpoint.staged.count > 0 || exchange.pointee.toEndpoint.hasPieces
        {
            perform(exchange, pumpRequest(exchange))
            guard upstream.pointee.exchange == exchange else { return }
        }
        guard upstream.pointee.readable else { return }
        switch exchange.pointee.machine.phase {
        case .awaitingResponse: perform(exchange, readResponseHead(exchange))
        case .gatheringResponse: perform(exchange, gatherResponse(exchange))
        case .responding: perform(exchange, pumpResponseOnce(exchange))
        default: break
        }
    }

    func connected(
        _ upstream: UnsafeMutablePointer<UpstreamConnection>, _ exchange: ExchangePointer, broken: Bool
    ) {
        var code: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        getsockopt(upstream.pointee.descriptor, SOL_SOCKET, SO_ERROR, &code, &length)
        // Connecting is not over before the handshake is.
        let step = code == 0 && !broken ? shakeHands(upstream) : .failed
        if step == .pending { return }
        upstream.pointee.connecting = false
        timers.stop(upstream.timer)
        guard step == .done else {
            perform(exchange, connectFailed(exchange))
            return
        }
        upstream.pointee.writable = true
        perform(exchange, exchange.pointee.machine.handle(.connected(reused: false)))
    }

    func upstreamTimerExpired(_ upstream: UnsafeMutablePointer<UpstreamConnection>) {
        if let http2 = upstream.pointee.http2 { return http2UpstreamTimerExpired(http2) }
        if upstream.pointee.connecting {
            guard let exchange = upstream.pointee.exchange else { return close(upstream) }
            face(exchange, upstream)
            if upstream.pointee.knocks, nowMs < upstream.pointee.deadline {
                return perform(exchange, knock(upstream, exchange))
            }
            metrics.timedOut(.connect)
            perform(exchange, connectFailed(exchange))
            return
        }
        if let exchange = upstream.pointee.exchange, exchange.pointee.holdsHead {
            holdExpired(exchange)
            return
        }
        guard upstream.pointee.isIdle else { return }
        if nowMs < upstream.pointee.deadline {
            timers.start(upstream.timer, at: upstream.pointee.deadline)
            return
        }
        close(upstream)
    }

    // MARK: Responses

    @inline(__always)
    func receive(_ upstream: UnsafeMutablePointer<UpstreamConnection>) -> Received {
        if upstream.pointee.isStream { return receive(from: upstream.asCall) }
        guard mayRead(upstream) else { return .drained }
        let space = upstream.pointee.input.space
        let received = read(upstream, upstream.pointee.input.tail, space)
        if case .bytes(let count) = received {
            upstream.pointee.input.end &+= count
            upstream.pointee.share.take(count, in: turn)
            metrics.bytes(.upstream, received: UInt64(count), sent: 0)
            if count < space, !upstream.pointee.peerFinished, upstream.pointee.tls == nil {
                upstream.pointee.readable = false
            }
        } else {
            upstream.pointee.readable = false
        }
        return received
    }

    func readResponseHead(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        guard let upstream = exchange.pointee.upstream else { return .none }
        if let pool = exchange.pointee.pool, pool.pointee.isRaw { return readAnswer(exchange, upstream, pool) }
        while true {
            if upstream.pointee.input.count > 0 {
                let outcome = exchange.pointee.generation.unsafelyUnwrapped.pointee.parser.parseResponse(
                    upstream.pointee.input.head, count: upstream.pointee.input.count, fields: fieldScratch,
                    requestWasHead: exchange.pointee.askedHead, allowsUpgrade: exchange.pointee.asksUpgrade,
                    into: &responseScratch.pointee,
                    progress: &upstream.pointee.progress)
                switch outcome {
                case .complete:
                    upstream.pointee.progress = HeadProgress()
                    if responseScratch.pointee.status == 101 { return protocolSwitched(exchange, upstream) }
                    if responseScratch.pointee.status < 200 {
                        guard interim(exchange, upstream) else { return badResponse(exchange) }
                        continue
                    }
                    return responseArrived(exchange, upstream)
                case .failed(let fault):
                    metrics.parseFailed(.upstream, ParseErrorKind(fault))
                    return badResponse(exchange, AnswerFault(fault))
                case .needMore: break
                }
            }
            guard upstream.pointee.readable else { return .none }
            guard makeRoomForHead(upstream) else { return failWithoutMemory(exchange) }
            switch receive(upstream) {
            case .bytes: break
            case .drained: return .none
            case .endOfStream, .broken:
                if upstream.pointee.input.count > 0 { return badResponse(exchange, answerFault(of: upstream)) }
                return closedUnanswered(exchange, upstream)
            }
        }
    }

    func makeRoomForHead(_ upstream: UnsafeMutablePointer<UpstreamConnection>) -> Bool {
        let used = upstream.pointee.input
        if used.isAbsent {
            upstream.pointee.input = buffers.take(BufferPool.small)
            return !upstream.pointee.input.isAbsent
        }
        if used.space > 0 { return true }
        var buffer = buffers.take(used.start > 0 ? used.capacity : used.capacity * 2)
        guard !buffer.isAbsent else { return false }
        buffer.append(used.head, used.count)
        buffers.give(used)
        upstream.pointee.input = buffer
        return true
    }

    /// An interim response goes on to a client of HTTP/1.1 (RFC 9110 §15.2); 100 only to one that waits for it.
    func interim(
        _ exchange: ExchangePointer, _ upstream: UnsafeMutablePointer<UpstreamConnection>
    ) -> Bool {
        let head = responseScratch
        upstream.pointee.input.start &+= head.pointee.headSize
        exchange.pointee.interimCount &+= 1
        guard exchange.pointee.interimCount <= Self.interimAtMost else { return false }
        let status = head.pointee.status
        guard let client = exchange.pointee.client, exchange.pointee.minorVersion == 1, exchange.pointee.passes,
            status != 100 || exchange.pointee.expectsContinue,
            exchange.pointee.toClient.staged.isAbsent, client.pointee.writable
        else { return true }
        if client.pointee.isStream {
            forwardInterim(exchange, to: client.asStream)
            return true
        }
        var buffer = buffers.take(head.pointee.headSize + 1_024)
        guard let base = buffer.base else { return true }
        var writer = HeadWriter(base, capacity: buffer.capacity)
        writer.appendStatusLine(status)
        writer.appendFields(head.pointee.fields, except: head.pointee.fields.hopByHop)
        if case .written(let count) = writer.finish() {
            buffer.end = count
            let sent = send(client, base, count)
            if sent >= 0, sent < count {
                // The rest goes first when the socket takes bytes again.
                buffer.start = max(sent, 0)
                client.pointee.writable = false
                exchange.pointee.toClient.staged = buffer
                return true
            }
        }
        buffers.give(buffer)
        return true
    }

    /// The head of the final response is in `responseScratch`.
    private func responseArrived(
        _ exchange: ExchangePointer, _ upstream: UnsafeMutablePointer<UpstreamConnection>
    ) -> ExchangeMachine.Action {
        let head = responseScratch
        var isEmpty = false
        if upstream.pointee.isStream {
            let call = upstream.asCall.pointee
            isEmpty =
                call.responseEnded && call.pending.count == 0 && call.trailers.count == 0
                && upstream.pointee.input.count == head.pointee.headSize
            head.pointee.framesBodyByStream(isEmpty: isEmpty, saysLength: !exchange.pointee.isGRPC)
        }
        noteAnswer(exchange, head)
        exchange.pointee.answerFault = .connectionLost
        exchange.pointee.upstreamKeepsAlive = head.pointee.keepAlive
        exchange.pointee.toClient.setSource(head.pointee.body)
        if upstream.pointee.isStream { exchange.pointee.toClient.endsWithStream(isEmpty: isEmpty) }
        upstream.pointee.input.start &+= head.pointee.headSize
        var call = SLUICE_OK
        var isNoCall = false
        if exchange.pointee.isGRPC, exchange.pointee.passes {
            let own = ownCallStatus(head.pointee.fields)
            // The status of HTTP says how a call ended only where no `grpc-status` does
            // (grpc/doc/http-grpc-status-mapping.md).
            isNoCall = !own.isCall || head.pointee.status != 200 && own.status == nil
            if let status = own.status {
                noteCallStatus(exchange, status)
            } else if !isNoCall, exchange.pointee.toClient.sourceEnded {
                noteMissingStatus(exchange)
            }
            call = isNoCall ? GRPCStatus.status(ofHTTP: head.pointee.status) : exchange.pointee.status
        } else if head.pointee.status != 200, goesAsCall(exchange),
            let status = ownCallStatus(head.pointee.fields).status
        {
            call = status
            exchange.pointee.httpStatus = UInt16(clamping: Self.httpStatus(of: status))
        }
        if exchange.pointee.probe != nil, let action = probeAnswered(exchange, status: head.pointee.status) {
            return action
        }
        if head.pointee.status >= 400 || call != SLUICE_OK,
            let action = retryAnswer(exchange, upstream, call: call)
        {
            return action
        }
        // It is the answer: from here on there is but one attempt.
        if exchange.pointee.rival != nil { settleHedge(exchange) }
        if isNoCall { return failHTTPAnswer(exchange, head.pointee.status) }
        let gather = isGathered(exchange, head, filterNeeds(exchange))
        if gather {
            if !keepResponseHead(exchange) { return failWithoutMemory(exchange) }
        } else {
            answerBegins(exchange)
            if let action = showHead(exchange, mayGather: mayGather(exchange)) {
                keepHeadIfSuspended(exchange, upstream)
                return action
            }
        }
        return exchange.pointee.machine.handle(.responseHead(gather: gather))
    }

    /// The answer goes on as it comes, for hours perhaps, and no further attempt follows.
    @inline(__always)
    func answerBegins(_ exchange: ExchangePointer) {
        if exchange.pointee.holdsRetry { endRetry(exchange) }
        if exchange.pointee.isBreakerProbe, !exchange.pointee.isGRPC { probeIsAnswered(exchange) }
    }

    /// An answer that streams can be gathered for a filter: it has a body, of one message where it is a call's.
    private func mayGather(_ exchange: ExchangePointer) -> Bool {
        !exchange.pointee.isGRPC && !exchange.pointee.toClient.sourceEnded && !exchange.pointee.askedHead
            && exchange.pointee.client != nil
    }

    /// A head that a filter suspended is read again when it resumes: meanwhile `responseScratch` serves others.
    func keepHeadIfSuspended(_ exchange: ExchangePointer, _ upstream: UnsafeMutablePointer<UpstreamConnection>) {
        guard exchange.pointee.machine.phase == .suspended else { return }
        upstream.pointee.input.start &-= responseScratch.pointee.headSize
    }

    /// The filter that had suspended a response's head has resumed it.
    func readHeadAgain(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        // Of the request's body nothing was taken meanwhile, and nobody will tell again that there is more.
        if exchange.pointee.toEndpoint.begun, !exchange.pointee.toEndpoint.sourceEnded {
            let action = pumpRequest(exchange)
            guard action == .none, exchange.pointee.machine.phase == .awaitingResponse else { return action }
        }
        return readResponseHead(exchange)
    }

    // MARK: Giving connections back

    /// All of the response was taken from the connection.
    func endUpstream(_ exchange: ExchangePointer) {
        guard let upstream = exchange.pointee.upstream else { return }
        let status = exchange.pointee.httpStatus
        finishAttempt(exchange, status >= 500 ? .serverError : .success, SLUICE_OK)
        // Not before the endpoint counts one less: the pool's home, which may run beside us, looks at that once for
        // those who wait.
        leaveGate(exchange)
        if upstream.pointee.isStream {
            exchange.pointee.upstream = nil
            release(upstream.asCall)
            return
        }
        let reusable =
            exchange.pointee.upstreamKeepsAlive
            && (!exchange.pointee.passes
                || exchange.pointee.machine.requestBodyEnded && exchange.pointee.toEndpoint.sourceEnded)
            && exchange.pointee.toEndpoint.staged.count == 0 && !exchange.pointee.toEndpoint.hasPieces
            && upstream.pointee.input.count == 0 && !upstream.pointee.peerFinished
            && exchange.pointee.toClient.source != .untilClose && !draining
            && !(upstream.pointee.readable && somethingWaits(upstream))
        exchange.pointee.upstream = nil
        upstream.pointee.exchange = nil
        if reusable { park(upstream) } else { close(upstream) }
    }

    /// Bytes behind the response, or its end: whoever used the connection next would take them for its answer.
    func somethingWaits(_ upstream: UnsafeMutablePointer<UpstreamConnection>) -> Bool {
        if let link = upstream.pointee.tls {
            upstream.pointee.readable = link.somethingWaits()
            return upstream.pointee.readable
        }
        var byte: UInt8 = 0
        guard recv(upstream.pointee.descriptor, &byte, 1, Int32(MSG_PEEK | MSG_DONTWAIT)) < 0,
            clinux_errno() == EAGAIN
        else { return true }
        upstream.pointee.readable = false
        return false
    }

    private func park(_ upstream: UnsafeMutablePointer<UpstreamConnection>) {
        buffers.give(upstream.pointee.input)
        upstream.pointee.input = .none
        upstream.pointee.endpoint.pointee.push(upstream)
        upstream.pointee.deadline = nowMs &+ Self.idleMs
        if !upstream.timer.pointee.isRunning { timers.start(upstream.timer, at: upstream.pointee.deadline) }
        if let pool = upstream.pointee.pool {
            metrics.upstreamParked(pool: PoolMetricsID(index: pool.pointee.metrics))
        }
    }

    /// The exchange needs its connection no more, in whatever state that is: it is closed.
    func detachUpstream(_ exchange: ExchangePointer) {
        leaveGate(exchange)
        guard let upstream = exchange.pointee.upstream else { return }
        exchange.pointee.upstream = nil
        upstream.pointee.exchange = nil
        close(upstream)
    }

    func close(_ upstream: UnsafeMutablePointer<UpstreamConnection>) {
        if upstream.pointee.isStream { return close(upstream.asCall) }
        if let http2 = upstream.pointee.http2 {
            upstream.pointee.http2 = nil
            disposeHTTP2(http2)
        }
        let wasIdle = upstream.pointee.isIdle
        if wasIdle { upstream.pointee.endpoint.pointee.remove(upstream) }
        upstream.pointee.endpoint.pointee.open &-= 1
        timers.stop(upstream.timer)
        if let link = upstream.pointee.tls {
            upstream.pointee.tls = nil
            link.sayGoodbye()
            link.free()
        }
        Glibc.close(upstream.pointee.descriptor)
        buffers.give(upstream.pointee.input)
        upstream.pointee.input = .none
        if let pool = upstream.pointee.pool {
            metrics.upstreamClosed(pool: PoolMetricsID(index: pool.pointee.metrics), wasIdle: wasIdle)
        }
        upstreams.give(upstream)
    }
}

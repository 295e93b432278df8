import CLinux
import Glibc
import HTTP1
import SluiceABI

extension UnsafeMutablePointer<ClientConnection> {
    /// The connection's timer: its first field.
    var timer: UnsafeMutablePointer<TimerNode> {
        UnsafeMutableRawPointer(self).assumingMemoryBound(to: TimerNode.self)
    }
}

/// Connections of clients: reading heads, beginning exchanges, closing.
extension Worker {
    /// While a connection lingers it may send as much before it is cut: the rest of a small body, not of a large one.
    private static let lingerBytes = 1_048_576
    static let lingerMs: UInt64 = 2_000

    func clientReady(_ client: UnsafeMutablePointer<ClientConnection>, _ happened: UInt32) {
        var events = happened
        if let link = client.pointee.tls { events = link.meaning(events) }
        if events & UInt32(EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0 {
            if events & UInt32(EPOLLERR.rawValue) == 0, endsTunnel(client) { return }
            clientLeft(client)
            return
        }
        if events & UInt32(EPOLLRDHUP.rawValue) != 0 {
            client.pointee.peerFinished = true
            client.pointee.readable = true
        }
        if events & UInt32(EPOLLIN.rawValue) != 0 { client.pointee.readable = true }
        let wasWritable = client.pointee.writable
        if events & UInt32(EPOLLOUT.rawValue) != 0 { client.pointee.writable = true }
        if let http2 = client.pointee.http2 {
            if !wasWritable, client.pointee.writable { markDirty(http2) }
            readHTTP2(http2)
            return
        }
        if let exchange = client.pointee.exchange {
            if !wasWritable, client.pointee.writable, exchange.pointee.toClient.begun {
                let generation = client.pointee.slot.generation
                pumpResponse(exchange)
                // The same event may tell of more of the request's body, which nobody would tell of again.
                guard client.pointee.slot.generation == generation, client.pointee.exchange == exchange else { return }
            }
            // A client that closes before its answer is there has left (a half-closed connection looks the same from
            // here, and is no use for a second request either).
            if client.pointee.peerFinished, exchange.pointee.machine.requestBodyEnded, client.pointee.input.count == 0,
                !exchange.pointee.isTunnel
            {
                clientLeft(client)
                return
            }
        }
        advance(client)
    }

    /// Goes as far as what has arrived allows: heads, bodies, and pipelined requests one after the other.
    func advance(_ client: UnsafeMutablePointer<ClientConnection>) {
        if client.pointee.advancing { return }
        client.pointee.advancing = true
        let slot = client.pointee.slot
        while client.pointee.slot.generation == slot.generation {
            if client.pointee.isCut { break }
            if client.pointee.lingering {
                discardLate(client)
                break
            }
            if let http2 = client.pointee.http2 {
                readHTTP2(http2)
                break
            }
            if let exchange = client.pointee.exchange {
                takeBody(exchange)
                // The same exchange still waits for something: an event will tell.
                if client.pointee.exchange == exchange { break }
            } else if client.pointee.isRaw ? !readMessage(client) : !readHead(client) {
                break
            }
        }
        if client.pointee.slot.generation == slot.generation { client.pointee.advancing = false }
    }

    /// True when an exchange began; false when more bytes are needed or the connection is done with.
    private func readHead(_ client: UnsafeMutablePointer<ClientConnection>) -> Bool {
        while true {
            if !client.pointee.isJudged, client.pointee.input.count > 0, judge(client) { return false }
            if client.pointee.input.count > 0, client.pointee.isJudged {
                let outcome = parser.parseRequest(
                    client.pointee.input.head, count: client.pointee.input.count, fields: fieldScratch,
                    into: &requestScratch.pointee, progress: &client.pointee.progress)
                switch outcome {
                case .complete:
                    client.pointee.progress = HeadProgress()
                    begin(client)
                    return true
                case .failed(let fault):
                    refuse(client, fault)
                    return false
                case .needMore: break
                }
            }
            guard readOn(client) else { return false }
        }
    }

    /// More of what an exchange may begin with. False when there is nothing at present, or the connection was closed.
    @inline(__always)
    func readOn(_ client: UnsafeMutablePointer<ClientConnection>) -> Bool {
        guard client.pointee.readable, makeRoomForHead(client) else {
            settle(client)
            return false
        }
        prefetchNextExchange()
        switch receive(client) {
        case .bytes: return true
        case .drained: settle(client)
        case .endOfStream, .broken: close(client)
        }
        return false
    }

    /// Looks at the connection's first bytes: the preface of HTTP/2 with prior knowledge (RFC 9113 §3.3), or a request
    /// of HTTP/1.1. True when the connection is HTTP/2's from here on; it may be closed by then.
    @inline(never)
    private func judge(_ client: UnsafeMutablePointer<ClientConnection>) -> Bool {
        let isSecured = client.pointee.tls != nil
        guard let isHTTP2 = isSecured ? client.pointee.tls?.choseHTTP2 : beginsHTTP2(client) else { return false }
        client.pointee.isJudged = true
        if isHTTP2 { adoptHTTP2(client) }
        return isHTTP2
    }

    /// Between requests, or in the middle of a head: gives an unused buffer back and sets the limit that applies.
    func settle(_ client: UnsafeMutablePointer<ClientConnection>) {
        if client.pointee.input.count == 0 {
            if !client.pointee.input.isAbsent {
                buffers.give(client.pointee.input)
                client.pointee.input = .none
            }
            if draining { close(client) }
            return
        }
        // A head has begun. Its time counts from its first byte, however much of the idle time was left; a slow one
        // does not buy time by more bytes.
        if client.pointee.isHeadTimed { return }
        client.pointee.isHeadTimed = true
        limit(client, to: nowMs &+ generation.pointee.limits.headerTimeoutMs)
    }

    /// Sets the time by which the client must have sent something. A timer that runs to an earlier one is left alone:
    /// most limits are replaced before they pass, and it is moved when it fires.
    @inline(__always)
    private func limit(_ client: UnsafeMutablePointer<ClientConnection>, to deadline: UInt64) {
        client.pointee.deadline = deadline
        if !client.timer.pointee.isRunning || client.timer.pointee.deadline > deadline {
            timers.start(client.timer, at: deadline)
        }
    }

    func makeRoomForHead(_ client: UnsafeMutablePointer<ClientConnection>) -> Bool {
        if client.pointee.input.isAbsent {
            let size = client.pointee.likesMediumBuffers ? BufferPool.medium : BufferPool.small
            client.pointee.input = buffers.take(size)
            return !client.pointee.input.isAbsent
        }
        if client.pointee.input.space > 0 { return true }
        let used = client.pointee.input
        // The parser refuses a head that reaches its limit, so that growth ends there: at most one class above it.
        let larger = used.start > 0 ? used.capacity : used.capacity * 2
        var buffer = buffers.take(larger)
        guard !buffer.isAbsent else { return false }
        buffer.append(used.head, used.count)
        buffers.give(used)
        client.pointee.input = buffer
        return true
    }

    /// Reads into the free end of the connection's input.
    @inline(__always)
    func receive(_ client: UnsafeMutablePointer<ClientConnection>) -> Received {
        if client.pointee.isStream { return receive(from: client.asStream) }
        guard mayRead(client) else { return .drained }
        let space = client.pointee.input.space
        let received = read(client, client.pointee.input.tail, space)
        if case .bytes(let count) = received {
            client.pointee.input.end &+= count
            client.pointee.share.take(count, in: turn)
            metrics.bytes(.client, received: UInt64(count), sent: 0)
            // Less than asked for means that the socket is empty, unless its end is still to be read.
            if count < space, !client.pointee.peerFinished, client.pointee.tls == nil {
                client.pointee.readable = false
            }
        } else {
            client.pointee.readable = false
        }
        return received
    }

    func begin(_ client: UnsafeMutablePointer<ClientConnection>) {
        let head = requestScratch
        let size = head.pointee.headSize
        client.pointee.input.start &+= size
        client.pointee.floor = client.pointee.input.start
        guard let exchange = exchanges.take() else {
            metrics.rejected(.memory)
            answerWithoutExchange(
                client, status: 503, message: "the gateway has too many requests in flight",
                toHead: head.pointee.methodKind == .head)
            return
        }
        client.pointee.exchange = exchange
        exchange.pointee.client = client
        begin(exchange, head)
    }

    // MARK: The end of a connection

    /// The client is gone, or broke its connection.
    private func clientLeft(_ client: UnsafeMutablePointer<ClientConnection>) {
        if let exchange = client.pointee.exchange {
            perform(exchange, exchange.pointee.machine.handle(.clientGone))
            return
        }
        close(client)
    }

    /// Ends sending, and reads on for a while: closing with unread bytes would reset the connection under the answer.
    func beginLingering(_ client: UnsafeMutablePointer<ClientConnection>) {
        if client.pointee.peerFinished, client.pointee.input.count == 0, !client.pointee.readable {
            close(client)
            return
        }
        client.pointee.tls?.sayGoodbye()
        _ = shutdown(client.pointee.descriptor, Int32(SHUT_WR))
        client.pointee.lingering = true
        client.pointee.readable = true
        client.pointee.floor = 0
        client.pointee.deadline = nowMs &+ Self.lingerMs
        timers.start(client.timer, at: client.pointee.deadline)
        if !client.pointee.advancing { advance(client) }
    }

    private func discardLate(_ client: UnsafeMutablePointer<ClientConnection>) {
        if client.pointee.input.isAbsent { client.pointee.input = buffers.take(BufferPool.small) }
        guard let base = client.pointee.input.base else {
            close(client)
            return
        }
        while client.pointee.readable {
            switch read(client, base, client.pointee.input.capacity) {
            case .bytes(let count):
                client.pointee.discarded &+= count
                guard client.pointee.discarded < Self.lingerBytes else {
                    close(client)
                    return
                }
            case .drained: client.pointee.readable = false
            case .endOfStream, .broken:
                close(client)
                return
            }
        }
        buffers.give(client.pointee.input)
        client.pointee.input = .none
    }

    func close(_ client: UnsafeMutablePointer<ClientConnection>) {
        if let http2 = client.pointee.http2 {
            client.pointee.http2 = nil
            disposeHTTP2(http2)
        }
        timers.stop(client.timer)
        if let link = client.pointee.tls {
            client.pointee.tls = nil
            link.sayGoodbye()
            link.free()
        }
        Glibc.close(client.pointee.descriptor)
        buffers.give(client.pointee.input)
        client.pointee.input = .none
        metrics.clientClosed()
        settings.connections.give()
        clients.give(client)
    }

    /// An exchange has ended and its connection lives on, or not.
    func release(_ client: UnsafeMutablePointer<ClientConnection>, keepAlive: Bool, requestEnded: Bool) {
        client.pointee.exchange = nil
        client.pointee.floor = 0
        if client.pointee.input.count == 0 {
            buffers.give(client.pointee.input)
            client.pointee.input = .none
        }
        guard keepAlive, !(draining && client.pointee.input.count == 0 && !client.pointee.readable) else {
            if requestEnded, client.pointee.input.count == 0, !client.pointee.readable {
                close(client)
            } else {
                beginLingering(client)
            }
            return
        }
        client.pointee.isHeadTimed = false
        limit(client, to: nowMs &+ generation.pointee.limits.idleTimeoutMs)
        if !client.pointee.advancing, client.pointee.input.count > 0 || client.pointee.readable { advance(client) }
    }

    func clientTimerExpired(_ client: UnsafeMutablePointer<ClientConnection>) {
        // While an exchange runs its own timer counts; `release` starts this one again.
        if client.pointee.exchange != nil { return }
        if let http2 = client.pointee.http2 { return http2TimerExpired(http2) }
        if client.pointee.isCut { return resetDrained(client) }
        if nowMs < client.pointee.deadline {
            timers.start(client.timer, at: client.pointee.deadline)
            return
        }
        if !client.pointee.lingering, client.pointee.input.count > 0 {
            metrics.timedOut(.header)
            if client.pointee.isRaw {
                refuse(
                    client, SLUICE_DEADLINE_EXCEEDED, 408, sluice_bytes("the message did not arrive in time"))
                return
            }
            answerWithoutExchange(
                client, status: 408, message: "the request's head did not arrive in time", toHead: asksForHead(client))
            return
        }
        if !client.pointee.lingering {
            let isShakingHands = client.pointee.tls?.pointee.isEstablished == false
            metrics.timedOut(isShakingHands ? .header : .idle)
        }
        close(client)
    }
}

import CLinux
import Glibc
import HTTP1
import SluiceABI
import Synchronization

/// One event loop on one thread: its listeners, connections, exchanges, timers, buffers and metric shard. Nothing of it
/// is touched by another thread but the mailbox; what concerns one step of a request's life is in an extension in that
/// step's folder.
final class Worker: @unchecked Sendable {
    let index: Int
    let mailbox: Mailbox
    let settings: WorkerSettings
    let metrics: MetricShard
    let control: ControlInbox
    /// By the limits of the present generation.
    var parser: HeadParser
    let epoll: Int32
    /// Peers, to send batch members home.
    var peers: [Worker] = []

    // Behind pointers, not stored in the object: each access of a class's own struct would be checked for exclusivity
    // at run time, 27 times a request, which cost a quarter of all instructions.
    private let bufferPlace: UnsafeMutablePointer<BufferPool>
    private let timerPlace: UnsafeMutablePointer<TimerWheel>
    private let clientPlace: UnsafeMutablePointer<Slab<ClientConnection>>
    private let upstreamPlace: UnsafeMutablePointer<Slab<UpstreamConnection>>
    private let streamPlace: UnsafeMutablePointer<Slab<HTTP2Stream>>
    private let callPlace: UnsafeMutablePointer<Slab<HTTP2Call>>
    private let exchangePlace: UnsafeMutablePointer<Slab<Exchange>>
    var listeners: [WorkerListener] = []
    var generation: UnsafeMutablePointer<WorkerGeneration>
    /// Connections by endpoint index; nil until the first use.
    let endpoints: UnsafeMutablePointer<UnsafeMutablePointer<WorkerEndpoint>?>
    /// Connections of HTTP/2 that have frames to send.
    var firstDirty: UnsafeMutablePointer<HTTP2Connection>?
    var firstDirtyUpstream: UnsafeMutablePointer<HTTP2Upstream>?
    var firstToServe: UnsafeMutablePointer<SharedPool>?
    var queuePlaces = QueuePlaceStore()
    /// Copies of requests that were asked for in this turn; and all that have not ended.
    var firstShadow: UnsafeMutablePointer<ShadowPair>?
    var shadows = 0
    /// An old generation has nothing but copies left.
    var hasLeftovers = false
    /// Exchanges that have ended but for their memory.
    var held = 0
    /// How many of those one plugin may have. One that is held keeps its place in the table of exchanges, which has two
    /// for each connection: a quarter of them, so that a plugin that never resumes does not take the places of requests
    /// that are for others.
    let heldAtMost: UInt64
    /// A connection to an endpoint was given back or closed since the queues were last looked at.
    var connectionsFreed = false
    private var retiring: [UnsafeMutablePointer<WorkerGeneration>] = []
    private var hasRetired = false

    /// Nanoseconds of the monotonic clock when the present events began to be handled, or later work ended that may
    /// take long.
    private(set) var now: UInt64
    /// The same in milliseconds, which timers count.
    private(set) var nowMs: UInt64
    var draining = false
    var stopped = false
    /// Exchanges begun, to sample the timing of plugin calls.
    var begun: UInt64 = 0
    /// State of `nextRandom`, never 0.
    var random: UInt64
    /// The reason of the last failed plugin call.
    let failure: UnsafeMutablePointer<UInt8>
    var failureSize = 0
    static let failureBound = 1_024

    /// Parsed into before an exchange exists.
    let fieldScratch: UnsafeMutablePointer<sluice_field>
    let requestScratch: UnsafeMutablePointer<RequestHead>
    let responseScratch: UnsafeMutablePointer<ResponseHead>
    let captureScratch: UnsafeMutablePointer<sluice_bytes>
    /// Eligible endpoints of the pick at hand.
    let eligible: UnsafeMutablePointer<UInt64>
    let pieces: UnsafeMutablePointer<iovec>
    /// Where small pieces are joined to one record of TLS.
    let recordScratch: UnsafeMutablePointer<UInt8>
    /// Of bodies that come compressed and are read here.
    var inflater = Inflater()
    let fieldList = HTTP2FieldList()
    let http2Memory: HTTP2Memory
    private let events: UnsafeMutablePointer<epoll_event>
    /// Runs while no connections are accepted for lack of descriptors.
    let acceptTimer: UnsafeMutablePointer<TimerNode>
    private let datePlace: UnsafeMutablePointer<DateCache>
    /// Counts the turns of the loop.
    private(set) var turn: UInt32 = 0
    private let putOffPlace: UnsafeMutablePointer<PutOff>

    /// As many as one turn of the loop handles; more wait for the next.
    private static let eventsAtMost = 256
    static let piecesAtMost = 64
    /// Endpoints of one pool, as the header promises.
    static let endpointsAtMost = 4_096
    /// Accepted in one go before other connections get their turn.
    static let acceptsAtMost = 32

    init?(
        index: Int, settings: WorkerSettings, metrics: MetricShard, control: ControlInbox
    ) {
        guard let mailbox = Mailbox() else { return nil }
        self.index = index
        self.mailbox = mailbox
        self.settings = settings
        generation = WorkerGeneration.empty()
        self.metrics = metrics
        self.control = control
        parser = HeadParser()
        epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
        now = clinux_monotonic_ns()
        nowMs = now / 1_000_000
        random = (now &+ UInt64(index)) &* 0x9E37_79B9_7F4A_7C15 | 1
        bufferPlace = .allocate(capacity: 1)
        bufferPlace.initialize(to: BufferPool(counts: metrics.buffersInUse, spareBytes: settings.spareBufferBytes))
        http2Memory = HTTP2Memory(spareBytes: settings.spareStreamBytes)
        timerPlace = .allocate(capacity: 1)
        timerPlace.initialize(to: TimerWheel(now: nowMs))
        clientPlace = .allocate(capacity: 1)
        clientPlace.initialize(to: Slab(bound: settings.maxConnections))
        streamPlace = .allocate(capacity: 1)
        // A stream has an exchange for most of its life.
        streamPlace.initialize(to: Slab(bound: settings.maxConnections * 2))
        // An exchange has one call at a time; one that was let go of waits for its stream's end.
        callPlace = .allocate(capacity: 1)
        callPlace.initialize(to: Slab(bound: settings.maxConnections * 4))
        upstreamPlace = .allocate(capacity: 1)
        upstreamPlace.initialize(to: Slab(bound: settings.maxUpstreamConnections))
        // A batch is an exchange beside those of its members.
        exchangePlace = .allocate(capacity: 1)
        exchangePlace.initialize(to: Slab(bound: settings.maxConnections * 2))
        heldAtMost = UInt64(max(settings.maxConnections / 2, 1))
        endpoints = .allocate(capacity: EndpointRegistry.bound)
        endpoints.initialize(repeating: nil, count: EndpointRegistry.bound)
        failure = .allocate(capacity: Self.failureBound)
        fieldScratch = .allocate(capacity: 128)
        fieldScratch.initialize(repeating: sluice_field(), count: 128)
        requestScratch = .allocate(capacity: 1)
        requestScratch.initialize(to: RequestHead(fields: fieldScratch))
        responseScratch = .allocate(capacity: 1)
        responseScratch.initialize(to: ResponseHead(fields: fieldScratch))
        captureScratch = .allocate(capacity: CompiledRoute.capturesAtMost)
        eligible = .allocate(capacity: Self.endpointsAtMost / 64)
        putOffPlace = .allocate(capacity: 1)
        putOffPlace.initialize(to: PutOff())
        datePlace = .allocate(capacity: 1)
        datePlace.initialize(to: DateCache())
        pieces = .allocate(capacity: Self.piecesAtMost)
        events = .allocate(capacity: Self.eventsAtMost)
        recordScratch = .allocate(capacity: TLSLink.recordBytes)
        acceptTimer = .allocate(capacity: 1)
        acceptTimer.initialize(to: TimerNode(kind: TimerKind.accepting, owner: UnsafeMutableRawPointer(acceptTimer)))
        guard epoll >= 0,
            clinux_epoll_add(epoll, mailbox.descriptor, UInt32(EPOLLIN.rawValue), Token.mailbox) == 0
        else { return nil }
    }

    var buffers: BufferPool {
        @inline(__always) _read { yield bufferPlace.pointee }
        @inline(__always) _modify { yield &bufferPlace.pointee }
    }
    var date: DateCache {
        @inline(__always) _read { yield datePlace.pointee }
        @inline(__always) _modify { yield &datePlace.pointee }
    }
    var putOffs: PutOff {
        @inline(__always) _read { yield putOffPlace.pointee }
        @inline(__always) _modify { yield &putOffPlace.pointee }
    }
    var timers: TimerWheel {
        @inline(__always) _read { yield timerPlace.pointee }
        @inline(__always) _modify { yield &timerPlace.pointee }
    }
    var clients: Slab<ClientConnection> {
        @inline(__always) _read { yield clientPlace.pointee }
        @inline(__always) _modify { yield &clientPlace.pointee }
    }
    var streams: Slab<HTTP2Stream> {
        @inline(__always) _read { yield streamPlace.pointee }
        @inline(__always) _modify { yield &streamPlace.pointee }
    }
    var calls: Slab<HTTP2Call> {
        @inline(__always) _read { yield callPlace.pointee }
        @inline(__always) _modify { yield &callPlace.pointee }
    }
    var upstreams: Slab<UpstreamConnection> {
        @inline(__always) _read { yield upstreamPlace.pointee }
        @inline(__always) _modify { yield &upstreamPlace.pointee }
    }
    var exchanges: Slab<Exchange> {
        @inline(__always) _read { yield exchangePlace.pointee }
        @inline(__always) _modify { yield &exchangePlace.pointee }
    }

    /// Runs until a drain has ended. The thread's own.
    func run() {
        CurrentWorker.set(self)
        if let core = settings.core(of: index) { _ = clinux_pin_thread(Int32(core)) }
        while !stopped {
            // The turn's own clock will do: it is late by what the turn took, and the timers by as much.
            let earliest = timers.earliest
            var timeout = earliest == .max ? -1 : Int32(clamping: min(earliest &- min(earliest, nowMs), 60_000))
            var waiting = putOffs.count
            if waiting > 0 { timeout = 0 }
            let count = clinux_epoll_wait(epoll, events, Int32(Self.eventsAtMost), timeout)
            readClock()
            // What becomes due while events are handled waits for the next turn, in which its own events come first.
            let began = nowMs
            turn &+= 1
            var position = 0
            while position < Int(count) {
                if position &+ 1 < Int(count) { prefetch(events[position &+ 1].data.u64) }
                handle(events[position].events, events[position].data.u64)
                position &+= 1
            }
            while waiting > 0, let token = putOffs.next() {
                handle(UInt32(EPOLLIN.rawValue), token)
                waiting &-= 1
            }
            while let timer = timers.expire(at: began) { expired(timer) }
            // Each may give the others something to do.
            repeat {
                while connectionsFreed || firstShadow != nil || hasLeftovers || firstDirty != nil
                    || firstDirtyUpstream != nil
                {
                    if firstShadow != nil { startShadows() }
                    // Its places are for those who wait, and its resets for endpoints: before both.
                    if hasLeftovers { cancelLeftovers() }
                    if connectionsFreed {
                        connectionsFreed = false
                        serveWaiting()
                    }
                    if firstDirtyUpstream != nil { flushDirtyUpstreams() }
                    if firstDirty != nil { flushDirty() }
                }
            } while draining && cancelLastCopies()
            if hasRetired { reportRetired() }
            if draining { leaveIfDrained() }
        }
        // Only now: with the last worker's word the main thread destroys what this turn may still have called.
        control.send(.workerLeft(index))
    }

    /// Once a turn, and after work that may take long: what follows it counts from its end.
    @inline(__always)
    func readClock() {
        now = clinux_monotonic_ns()
        nowMs = now / 1_000_000
    }

    private func handle(_ events: UInt32, _ token: UInt64) {
        let index = UInt32(truncatingIfNeeded: token)
        let generation = UInt32(truncatingIfNeeded: token >> 32) & SlabSlot.generationMask
        switch token >> 60 {
        case 2:
            guard let client = clients.find(index: index, generation: generation) else { return }
            clientReady(client, events)
        case 3:
            guard let upstream = upstreams.find(index: index, generation: generation) else { return }
            upstreamReady(upstream, events)
        case 1:
            acceptable(index)
        default:
            readMailbox()
        }
    }

    /// Not inlined: reading the array is checked for exclusivity, and the check would be made each turn of the loop.
    @inline(never)
    private func acceptable(_ id: UInt32) {
        if let listener = listeners.first(where: { $0.id == id }) { accept(listener) }
    }

    // MARK: Mailbox

    /// Not inlined for the same reason: what a message asks for reads arrays.
    @inline(never)
    private func readMailbox() {
        var next = mailbox.receive()
        while let message = next {
            next = message.pointee.next
            handle(message.pointee)
            mailbox.giveBack(message)
        }
    }

    private func handle(_ message: Message) {
        switch message.kind {
        case .generation:
            if let pointer = message.pointer { take(pointer.assumingMemoryBound(to: WorkerGeneration.self)) }
        case .resume: resume(token: message.value, by: message.pointer)
        case .batchMember: if let pointer = message.pointer { receiveMember(pointer) }
        case .batchReply: if let pointer = message.pointer { receiveReply(pointer) }
        case .batchCancel: if let pointer = message.pointer { memberLeft(pointer) }
        case .batchForsaken: endForsaken(message.value)
        case .poolServe: if let pointer = message.pointer { receiveServe(pointer) }
        case .queueEnter: if let pointer = message.pointer { receivePlace(pointer) }
        case .queueLeave: if let pointer = message.pointer { receiveLeave(pointer) }
        case .queueVerdict: if let pointer = message.pointer { receiveVerdict(pointer) }
        case .failedInARow: if let pointer = message.pointer { failedInARow(pointer, message.value) }
        case .drain: drain()
        case .abort: abortAll()
        case .expire: expire(generation: message.value)
        case .instancesGone: letGo(generation: message.value)
        case .closeListener: close(listener: UInt32(truncatingIfNeeded: message.value))
        case .openListener:
            if let pointer = message.pointer?.assumingMemoryBound(to: WorkerListener.self) {
                open(pointer.pointee)
                pointer.deallocate()
            }
        case .endpoints: if let pointer = message.pointer { takeEndpoints(pointer) }
        case .farewell: if let pointer = message.pointer { bidFarewell(pointer) }
        case .startTimer: if let pointer = message.pointer { receiveTimer(pointer) }
        case .cancelTimer: if let pointer = message.pointer { receiveCancel(pointer, timer: message.value) }
        case .stopTimers:
            if let pointer = message.pointer {
                stopPluginTimers(pointer.assumingMemoryBound(to: WorkerGeneration.self), shared: true)
            }
        case .snapshot:
            if let pointer = message.pointer {
                Unmanaged<SnapshotRequest>.fromOpaque(pointer).takeRetainedValue().answer(snapshot())
            }
        }
    }

    /// The new generation serves what begins from now on; the old one ends with its last exchange.
    private func take(_ next: UnsafeMutablePointer<WorkerGeneration>) {
        let old = generation
        generation = next
        parser = next.pointee.parser
        startPluginTimers(next)
        takeHomes(next, from: old)
        stopHealth(old)
        startHealth(next)
        old.pointee.retired = true
        shrank(old)
    }

    /// The last exchange of an old generation has ended. The control thread is told at the end of this turn of the
    /// loop: from then on the generation's memory is gone.
    func retire(_ old: UnsafeMutablePointer<WorkerGeneration>) {
        retiring.append(old)
        hasRetired = true
    }

    private func reportRetired() {
        for old in retiring {
            stopPluginTimers(old, shared: false)
            control.send(.generationLeft(number: old.pointee.number, worker: index))
        }
        retiring.removeAll()
        hasRetired = false
    }

    // MARK: Drain

    private func drain() {
        draining = true
        stopHealth(generation)
        for listener in listeners { close(listener: listener.id) }
        for client in clients.elements where client.pointee.slot.isInUse && client.pointee.exchange == nil {
            // Something may have come that no event has told of yet.
            client.pointee.readable = true
            advance(client)
        }
        for client in clients.elements
        where client.pointee.exchange == nil && client.pointee.input.count == 0 && !client.pointee.isCut {
            if let http2 = client.pointee.http2 { leave(http2) } else { close(client) }
        }
        leaveIfDrained()
    }

    private func abortAll() {
        draining = true
        for client in clients.elements {
            if let exchange = client.pointee.exchange {
                perform(exchange, exchange.pointee.machine.handle(.clientGone))
            }
        }
        for client in clients.elements { close(client) }
        stopped = true
    }

    private func leaveIfDrained() {
        guard draining, !stopped, clients.inUse == 0, exchanges.inUse == held else { return }
        // A client of another worker may have a request in a batch that is gathered here. Who sees the last one off
        // wakes the others.
        guard settings.connections.isEmpty else { return }
        stopped = true
        for peer in peers where peer !== self { peer.mailbox.send(.drain) }
    }
}

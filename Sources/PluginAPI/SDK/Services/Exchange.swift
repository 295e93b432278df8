import SluiceABI

/// Which way a message goes.
@frozen
public enum Side: UInt32, Sendable {
    /// Toward the endpoint.
    case request = 1
    /// Toward the client.
    case response = 2
}

/// One request and its response: the memory that lives as long as it, and what the host knows of it. Valid during the
/// call that passes it, on that thread.
@frozen
public struct Exchange {
    public let handle: OpaquePointer?
    @usableFromInline let services: UnsafePointer<HostServices>

    @inlinable @inline(__always)
    init(_ handle: OpaquePointer?, _ services: UnsafePointer<HostServices>) {
        self.handle = handle
        self.services = services
    }

    // MARK: Memory

    /// `count` elements in the exchange's arena, 16-byte aligned, not zeroed.
    @inlinable
    public func allocate<Element: BitwiseCopyable>(
        _ type: Element.Type, count: Int
    ) throws(PluginError) -> MutableView<Element> {
        let (size, overflow) = count.multipliedReportingOverflow(by: MemoryLayout<Element>.stride)
        guard !overflow, count >= 0,
            let memory = services.pointee.memory.pointee.arena_alloc.unsafelyUnwrapped(
                services.pointee.context, handle, size)
        else { throw PluginError(.resourceExhausted, "the exchange's bound on memory is reached") }
        return MutableView(start: memory.bindMemory(to: Element.self, capacity: count), count: count)
    }

    /// `count` bytes in the exchange's arena, not zeroed.
    @inlinable
    public func allocate(bytes count: Int) throws(PluginError) -> MutableView<UInt8> {
        try allocate(UInt8.self, count: count)
    }

    /// `count` elements in the exchange's arena, all bits zero.
    @inlinable
    public func allocateZeroed<Element: BitwiseCopyable>(
        _ type: Element.Type, count: Int
    ) throws(PluginError) -> MutableView<Element> {
        let view = try allocate(Element.self, count: count)
        view.withUnsafeMutableBytes { memory in
            _ = memory.initializeMemory(as: UInt8.self, repeating: 0)
        }
        return view
    }

    /// A copy in the exchange's arena.
    @inlinable
    public func copy(_ source: Bytes) throws(PluginError) -> Bytes {
        let view = try allocate(bytes: source.count)
        view.copy(source)
        return view.bytes
    }

    /// A copy in the exchange's arena.
    @inlinable
    public func copy(_ source: String) throws(PluginError) -> Bytes {
        let view = try allocate(bytes: source.utf8.count)
        var index = 0
        for byte in source.utf8 {
            view[index] = byte
            index += 1
        }
        return view.bytes
    }

    /// Adds an element at the end of an array whose room doubles from 4 on. One that this method has not made, an
    /// adapter's or the host's, is copied first: there is no telling what lies behind it.
    @inlinable @discardableResult
    func append<Element: BitwiseCopyable>(
        _ element: Element, to array: inout UnsafePointer<Element>?, count: inout UInt32
    ) throws(PluginError) -> UnsafeMutablePointer<Element> {
        let used = Int(count)
        guard let present = array, let header = GrownArray.header(of: present, count: count),
            used < header.pointee.capacity
        else {
            let room = Swift.max(4, used &* 2)
            let grown = GrownArray.place(
                Element.self, capacity: room,
                in: try allocate(bytes: GrownArray.overhead &+ room &* MemoryLayout<Element>.stride).start)
            if let old = array { grown.update(from: old, count: used) }
            array = UnsafePointer(grown)
            return GrownArray.extend(grown, by: element, &count)
        }
        return GrownArray.extend(UnsafeMutablePointer(mutating: present), by: element, &count)
    }

    /// A writer of bytes into the exchange's arena. `capacity` is what is likely needed; more is copied over.
    @inlinable
    public func writer(capacity: Int = 256) -> ByteWriter { ByteWriter(self, capacity: capacity) }

    /// An error whose message is written into the exchange's arena.
    @inlinable
    public func error(_ code: ErrorCode, _ write: (inout ByteWriter) -> Void) -> PluginError {
        var writer = ByteWriter(self, capacity: 256)
        write(&writer)
        if writer.overflowed { return PluginError(code, "the exchange's bound on memory is reached") }
        return PluginError(code, writer.written)
    }

    // MARK: What the host knows

    /// The value of the first field of that name in the received request. Lives until the exchange ends.
    @inlinable
    public func header(_ name: Bytes) -> Bytes? {
        var found = false
        let value = services.pointee.exchange.pointee.header.unsafelyUnwrapped(
            services.pointee.context, handle, name.raw, &found)
        return found ? Bytes(value) : nil
    }

    @inlinable
    public func header(_ name: StaticString) -> Bytes? { header(Bytes(name)) }

    /// The peer's address as text ("127.0.0.1:5012", "unix"). Lives until the exchange ends.
    @inlinable public var peer: Bytes {
        Bytes(services.pointee.exchange.pointee.peer.unsafelyUnwrapped(services.pointee.context, handle))
    }

    /// Sets a field of the message toward `side`, replacing all of that name. At most 32 edits an exchange. `Host` of a
    /// request must be an authority: fails with `invalidArgument` otherwise, as for fields of the connection.
    @inlinable
    public func setField(_ side: Side, _ name: Bytes, _ value: Bytes) throws(PluginError) {
        // An empty value must not read as "remove".
        let value = value.raw.data == nil ? Bytes("") : value
        try PluginError.check(
            services.pointee.exchange.pointee.set_field.unsafelyUnwrapped(
                services.pointee.context, handle, side.rawValue, name.raw, value.raw),
            "a field of the message cannot be set")
    }

    /// Removes all fields of that name from the message toward `side`. At most 32 edits an exchange.
    @inlinable
    public func removeField(_ side: Side, _ name: Bytes) throws(PluginError) {
        try PluginError.check(
            services.pointee.exchange.pointee.set_field.unsafelyUnwrapped(
                services.pointee.context, handle, side.rawValue, name.raw, sluice_bytes(data: nil, size: 0)),
            "a field of the message cannot be removed")
    }

    /// Adds a field to the message toward `side`, beside those of that name that it has. At most 32 edits an exchange.
    @inlinable
    public func addField(_ side: Side, _ name: Bytes, _ value: Bytes) throws(PluginError) {
        guard let table = services.pointee.fields else {
            throw PluginError(.unimplemented, "this gateway cannot add a field beside others of its name")
        }
        let value = value.raw.data == nil ? Bytes("") : value
        try PluginError.check(
            table.pointee.add.unsafelyUnwrapped(
                services.pointee.context, handle, side.rawValue, name.raw, value.raw),
            "a field cannot be added to the message")
    }

    /// Removes the fields of that name which the message toward `side` has, and leaves what was set or added before:
    /// for a name that several plugins may set and nobody else. At most 32 edits an exchange.
    @inlinable
    public func removeOriginalField(_ side: Side, _ name: Bytes) throws(PluginError) {
        let nothing = sluice_bytes(data: nil, size: 0)
        // A gateway older than this refuses: what was received must go in any case.
        guard let table = services.pointee.fields,
            table.pointee.add.unsafelyUnwrapped(services.pointee.context, handle, side.rawValue, name.raw, nothing)
                == SLUICE_OK
        else { return try removeField(side, name) }
    }

    /// Has an answer gathered and decoded that streams, and whose head `Filter.onResponse` is being shown: when that
    /// returns `pass` it is called again, with the payload; filters behind this one that have seen the head, too, and
    /// asked for chunks are shown the body as one chunk. False when the answer does not stream, cannot be read
    /// whole, or the gateway is older than this. Ask for answers whose size is known and small alone: others are to
    /// stream.
    @inlinable
    public func gatherAnswer() -> Bool {
        guard let table = services.pointee.gather else { return false }
        return table.pointee.answer.unsafelyUnwrapped(services.pointee.context, handle) == SLUICE_OK
    }

    /// Whether this filter's `onRequest` was called with the exchange. It was not where a filter before it has answered
    /// there, as from a cache; the answer is shown to all filters nevertheless. Inside `Filter.onResponse`; true when
    /// the gateway is older than this.
    @inlinable
    public var isAsked: Bool {
        guard let table = services.pointee.asked else { return true }
        return table.pointee.request.unsafelyUnwrapped(services.pointee.context, handle)
    }

    // MARK: Routing

    /// Sets `Request.session`, which later routers and the balancers hash; empty takes it away. The host copies it.
    /// Inside `Router.route`.
    @inlinable
    public func setSession(_ session: Bytes) throws(PluginError) {
        guard let table = services.pointee.route else {
            throw PluginError(.unimplemented, "this gateway lets no router set a request's session")
        }
        try PluginError.check(
            table.pointee.set_session.unsafelyUnwrapped(services.pointee.context, handle, session.raw),
            "the exchange's bound on memory is reached")
    }

    /// Attempts under way on the endpoints of a pool, over all workers; 0 where there are none or the gateway cannot
    /// tell. Inside `Router.route`.
    @inlinable
    public func inFlight(pool: UInt32) -> UInt32 {
        guard let table = services.pointee.route else { return 0 }
        return table.pointee.in_flight.unsafelyUnwrapped(services.pointee.context, handle, pool)
    }

    // MARK: Suspension

    /// True when the present call repeats one that returned `pending`.
    @inlinable public var resumed: Bool {
        services.pointee.exchange.pointee.resumed.unsafelyUnwrapped(services.pointee.context, handle)
    }

    /// What ends a suspension: take it, return `pending`, and call `resume` when the answer is there. The host then
    /// repeats the call. What the call was given stays valid until then, or until a filter's `onCancel`: whoever
    /// suspends resumes in any case, since the memory of a request that is over waits for it.
    @inlinable public var suspension: Suspension {
        Suspension(
            token: services.pointee.exchange.pointee.token.unsafelyUnwrapped(services.pointee.context, handle),
            services: services)
    }
}

/// The right to resume an exchange that was suspended by returning `pending`.
@frozen
public struct Suspension: @unchecked Sendable {
    /// Of no other exchange under way: a key for what the plugin remembers of this one. Another one may get it after
    /// 2^27 more have ended in its place.
    public let token: UInt64
    @usableFromInline let services: UnsafePointer<HostServices>

    @inlinable
    init(token: UInt64, services: UnsafePointer<HostServices>) {
        self.token = token
        self.services = services
    }

    /// Ends the suspension, once; without effect when the exchange is over. Any thread, while the instance lives.
    @inlinable
    public func resume() {
        services.pointee.exchange.pointee.resume.unsafelyUnwrapped(services.pointee.context, token)
    }
}

/// What stands before the arrays that grow in an exchange's arena, by which they are told from all others.
@usableFromInline
struct GrownArray {
    /// The array's address, mixed: a pointer that somebody keeps before an array of his own is not taken for it.
    @usableFromInline var mark: UInt
    @usableFromInline var capacity: UInt32
    /// Elements that it has: who holds it with fewer, since another one has added to it, must not write over those.
    @usableFromInline var count: UInt32

    /// Bytes beside the elements: those before them, and what brings them to their place.
    @inlinable static var overhead: Int { 40 }
    /// Where arrays stand within 32 bytes: what is before them lies in their own page then, and may be read whoever has
    /// made them.
    @inlinable static var offset: UInt { 24 }

    @inlinable
    static func mark(of array: UnsafeRawPointer) -> UInt { UInt(bitPattern: array) ^ 0x5F3A_91C6 }

    /// Nil for an array that was made otherwise, or has not so many elements.
    @inlinable
    static func header(of array: UnsafeRawPointer, count: UInt32) -> UnsafeMutablePointer<GrownArray>? {
        guard UInt(bitPattern: array) & 31 == offset else { return nil }
        let header = UnsafeMutableRawPointer(mutating: array - MemoryLayout<GrownArray>.size)
            .assumingMemoryBound(to: GrownArray.self)
        return header.pointee.mark == mark(of: array) && header.pointee.count == count ? header : nil
    }

    /// An empty array in memory that is aligned to 16 bytes.
    @inlinable
    static func place<Element: BitwiseCopyable>(
        _ type: Element.Type, capacity: Int, in memory: UnsafeMutablePointer<UInt8>
    ) -> UnsafeMutablePointer<Element> {
        let start = UnsafeMutableRawPointer(memory).alignedUp(toMultipleOf: 32) + Int(offset)
        (start - MemoryLayout<GrownArray>.size).initializeMemory(
            as: GrownArray.self,
            to: GrownArray(mark: mark(of: start), capacity: UInt32(truncatingIfNeeded: capacity), count: 0))
        return start.bindMemory(to: Element.self, capacity: capacity)
    }

    @inlinable
    init(mark: UInt, capacity: UInt32, count: UInt32) {
        self.mark = mark
        self.capacity = capacity
        self.count = count
    }

    /// Writes the next element of an array that has room for it.
    @inlinable
    static func extend<Element: BitwiseCopyable>(
        _ array: UnsafeMutablePointer<Element>, by element: Element, _ count: inout UInt32
    ) -> UnsafeMutablePointer<Element> {
        let slot = array + Int(count)
        slot.initialize(to: element)
        count &+= 1
        let header = UnsafeMutableRawPointer(array) - MemoryLayout<GrownArray>.size
        header.assumingMemoryBound(to: GrownArray.self).pointee.count = count
        return slot
    }
}

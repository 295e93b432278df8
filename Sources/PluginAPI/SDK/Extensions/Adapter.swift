import SluiceABI

/// Requests whose method and path match go to the adapter. The template is literal but for `{name}`, one non-empty
/// segment or the part of one up to the literal that follows (`{model}:predict`), and `{rest...}` at its end,
/// everything left with the query. `*` matches all paths. At most 256 routes, 8 captures each.
public struct Route: Sendable {
    public var transport: Transport
    /// Empty matches all.
    public var method: String
    public var path: String

    public init(_ method: String, _ path: String, transport: Transport = .http) {
        self.transport = transport
        self.method = method
        self.path = path
    }

    /// Messages over raw TCP, which have neither method nor path: what an adapter that implements `frame` has.
    public static var rawTCP: Route { Route("", "", transport: .tcp) }
}

/// The route that a message matched.
@frozen
public struct RouteMatch {
    public let pointer: UnsafePointer<sluice_match>

    @inlinable @inline(__always)
    public init(_ pointer: UnsafePointer<sluice_match>) { self.pointer = pointer }

    /// Index into the adapter's routes.
    @inlinable public var route: Int { Int(pointer.pointee.route) }
    @inlinable public var captureCount: Int { Int(pointer.pointee.capture_count) }
    /// In the order of the template, percent-encoding kept; empty when there is no such capture. Lives until the
    /// exchange ends.
    @inlinable
    public func capture(_ index: Int) -> Bytes {
        guard UInt(bitPattern: index) < UInt(pointer.pointee.capture_count), let captures = pointer.pointee.captures
        else { return Bytes() }
        return Bytes(captures[index])
    }
}

/// How much `decode` is asked for.
@frozen
public enum DecodeStage: UInt32, Sendable {
    /// Enough to route: the body may be left unread.
    case head = 1
    /// The payload, whole: tensors, or raw bytes where the protocol has none.
    case body = 2
}

/// What `decode` says.
@frozen
public enum DecodeVerdict: Int32, Sendable {
    case decoded = 0
    /// The message is not of this protocol: the next adapter is asked. At stage `head` only.
    case declined = 1
    /// The head does not tell enough. At stage `head` only.
    case needsBody = 2
}

/// What `encodeRequest` says.
@frozen
public enum EncodeVerdict: Int32, Sendable {
    /// `message` is the whole message.
    case encoded = 0
    /// The body has to be made or changed but is not there: the host decodes it and calls again.
    case needsBody = 2
    /// The client's message goes on as received, with method and target of `message` in place of its own where they are
    /// not empty, and with its body where that is whole and the client's was read. Only where `target.sameProtocol`.
    case pass = 5
}

/// Where a request goes.
@frozen
public struct Target {
    public let pointer: UnsafePointer<sluice_target>

    @inlinable @inline(__always)
    public init(_ pointer: UnsafePointer<sluice_target>) { self.pointer = pointer }

    /// Name toward the backend.
    @inlinable public var model: Bytes { Bytes(pointer.pointee.model) }
    /// Likewise; empty: none.
    @inlinable public var version: Bytes { Bytes(pointer.pointee.version) }
    /// Of the pool's first endpoint: which one gets the request is not known yet. The gateway writes Host of that one.
    @inlinable public var authority: Bytes { Bytes(pointer.pointee.authority) }
    /// The client's message is of this adapter too, and may be passed on as it is.
    @inlinable public var sameProtocol: Bool { pointer.pointee.same_protocol != 0 }
    /// Model or version differ from those that the client asked for.
    @inlinable public var renamed: Bool { pointer.pointee.renamed != 0 }
}

/// A protocol: maps its messages to the unified request and response, and back. All but `routes` on the worker.
public protocol ProtocolAdapter: PluginExtension, ~Copyable {
    /// Read once, after `init`.
    var routes: [Route] { get }

    /// Client to gateway. At `head`: model, version, operation and what else the head tells; leave the payload's kind
    /// `stream` when there is a body. At `body`, which follows whenever somebody needs the payload: the payload.
    mutating func decode(
        _ request: MutableRequest, stage: DecodeStage, match: RouteMatch, exchange: Exchange
    ) throws(PluginError) -> DecodeVerdict

    /// Gateway to client: fills in the message of this protocol that says `response`.
    mutating func encode(
        _ response: Response, to request: Request, into message: MutableMessage, exchange: Exchange
    ) throws(PluginError)

    /// Gateway to client: an error in the shape of this protocol.
    mutating func encodeError(
        _ error: ErrorAnswer, to request: Request, into message: MutableMessage, exchange: Exchange
    ) throws(PluginError)

    /// Gateway to endpoint.
    mutating func encodeRequest(
        _ request: Request, for target: Target, into message: MutableMessage, exchange: Exchange
    ) throws(PluginError) -> EncodeVerdict

    /// Endpoint to gateway: `message` is whole. An answer that is an error of the backend is thrown, with
    /// `response.httpStatus` set. Not called when both ends speak this protocol and nobody reads the answer.
    mutating func decodeResponse(
        _ message: Message, to request: Request, into response: MutableResponse, exchange: Exchange
    ) throws(PluginError)

    /// Raw TCP: the size of the first message in `bytes`, nil when more bytes are needed to tell. For adapters that
    /// have `Route.rawTCP` among their routes; others leave it out.
    mutating func frame(_ bytes: Bytes) throws(PluginError) -> Int?
}

extension ProtocolAdapter where Self: ~Copyable {
    public mutating func frame(_ bytes: Bytes) throws(PluginError) -> Int? {
        throw PluginError(.unimplemented, "the adapter does not frame raw TCP")
    }
}

/// The C functions of an adapter's table.
enum AdapterTable {
    typealias Box = InstanceBox<any (ProtocolAdapter & ~Copyable).Type>
    nonisolated(unsafe) static var type: (any (ProtocolAdapter & ~Copyable).Type)?

    static func make() -> sluice_adapter {
        var table = sluice_adapter()
        table.base = instanceHead(
            tableSize: MemoryLayout<sluice_adapter>.size, instancing: type?.instancing,
            create: { host, arguments, instance in
                createInstance(host, arguments, instance, AdapterTable.type, AdapterTable.type)
            },
            destroy: { instance in Box.destroy(instance) })
        table.routes = { instance, routes, count in
            let box = Box.at(instance)
            let list = AdapterTable.routes(box.pointee.type, box.pointee.state)
            let memory = box.pointee.freshMemory()
            routes?.pointee = memory.array(
                list.map {
                    sluice_route(
                        transport: $0.transport.rawValue, reserved: 0, method: memory.bytes($0.method),
                        path: memory.bytes($0.path))
                })
            count?.pointee = UInt32(truncatingIfNeeded: list.count)
            return SLUICE_OK
        }
        table.decode = { instance, exchange, stage, match, request in
            let box = Box.at(instance)
            return AdapterTable.decode(
                box.pointee.type, box.pointee.state, box.pointee.services, exchange, stage, match, request)
        }
        table.encode = { instance, exchange, request, response, message in
            let box = Box.at(instance)
            return AdapterTable.encode(
                box.pointee.type, box.pointee.state, box.pointee.services, exchange, request, response, message)
        }
        table.encode_error = { instance, exchange, request, error, message in
            let box = Box.at(instance)
            return AdapterTable.encodeError(
                box.pointee.type, box.pointee.state, box.pointee.services, exchange, request, error, message)
        }
        table.encode_request = { instance, exchange, request, target, message in
            let box = Box.at(instance)
            return AdapterTable.encodeRequest(
                box.pointee.type, box.pointee.state, box.pointee.services, exchange, request, target, message)
        }
        table.decode_response = { instance, exchange, request, message, response in
            let box = Box.at(instance)
            return AdapterTable.decodeResponse(
                box.pointee.type, box.pointee.state, box.pointee.services, exchange, request, message, response)
        }
        table.frame = { instance, bytes, size in
            let box = Box.at(instance)
            return AdapterTable.frame(box.pointee.type, box.pointee.state, box.pointee.services, bytes, size)
        }
        return table
    }

    static func routes<Adapter: ProtocolAdapter & ~Copyable>(
        _ type: Adapter.Type, _ state: UnsafeMutableRawPointer
    ) -> [Route] {
        state.assumingMemoryBound(to: Adapter.self).pointee.routes
    }

    @inline(__always)
    static func decode<Adapter: ProtocolAdapter & ~Copyable>(
        _ type: Adapter.Type, _ state: UnsafeMutableRawPointer, _ services: UnsafePointer<HostServices>,
        _ exchange: OpaquePointer?, _ stage: UInt32, _ match: UnsafePointer<sluice_match>?,
        _ request: UnsafeMutablePointer<sluice_request>?
    ) -> sluice_status {
        do throws(PluginError) {
            return try state.assumingMemoryBound(to: Adapter.self).pointee.decode(
                MutableRequest(request.unsafelyUnwrapped), stage: stage == DecodeStage.body.rawValue ? .body : .head,
                match: RouteMatch(match.unsafelyUnwrapped), exchange: Exchange(exchange, services)
            ).rawValue
        } catch { return error.report(services) }
    }

    @inline(__always)
    static func encode<Adapter: ProtocolAdapter & ~Copyable>(
        _ type: Adapter.Type, _ state: UnsafeMutableRawPointer, _ services: UnsafePointer<HostServices>,
        _ exchange: OpaquePointer?, _ request: UnsafePointer<sluice_request>?,
        _ response: UnsafePointer<sluice_response>?, _ message: UnsafeMutablePointer<sluice_message>?
    ) -> sluice_status {
        do throws(PluginError) {
            try state.assumingMemoryBound(to: Adapter.self).pointee.encode(
                Response(response.unsafelyUnwrapped), to: Request(request.unsafelyUnwrapped),
                into: MutableMessage(message.unsafelyUnwrapped), exchange: Exchange(exchange, services))
            return SLUICE_OK
        } catch { return error.report(services) }
    }

    @inline(__always)
    static func encodeError<Adapter: ProtocolAdapter & ~Copyable>(
        _ type: Adapter.Type, _ state: UnsafeMutableRawPointer, _ services: UnsafePointer<HostServices>,
        _ exchange: OpaquePointer?, _ request: UnsafePointer<sluice_request>?,
        _ error: UnsafePointer<sluice_error>?, _ message: UnsafeMutablePointer<sluice_message>?
    ) -> sluice_status {
        do throws(PluginError) {
            try state.assumingMemoryBound(to: Adapter.self).pointee.encodeError(
                ErrorAnswer(error.unsafelyUnwrapped), to: Request(request.unsafelyUnwrapped),
                into: MutableMessage(message.unsafelyUnwrapped), exchange: Exchange(exchange, services))
            return SLUICE_OK
        } catch { return error.report(services) }
    }

    @inline(__always)
    static func encodeRequest<Adapter: ProtocolAdapter & ~Copyable>(
        _ type: Adapter.Type, _ state: UnsafeMutableRawPointer, _ services: UnsafePointer<HostServices>,
        _ exchange: OpaquePointer?, _ request: UnsafePointer<sluice_request>?,
        _ target: UnsafePointer<sluice_target>?, _ message: UnsafeMutablePointer<sluice_message>?
    ) -> sluice_status {
        do throws(PluginError) {
            return try state.assumingMemoryBound(to: Adapter.self).pointee.encodeRequest(
                Request(request.unsafelyUnwrapped), for: Target(target.unsafelyUnwrapped),
                into: MutableMessage(message.unsafelyUnwrapped), exchange: Exchange(exchange, services)
            ).rawValue
        } catch { return error.report(services) }
    }

    @inline(__always)
    static func decodeResponse<Adapter: ProtocolAdapter & ~Copyable>(
        _ type: Adapter.Type, _ state: UnsafeMutableRawPointer, _ services: UnsafePointer<HostServices>,
        _ exchange: OpaquePointer?, _ request: UnsafePointer<sluice_request>?,
        _ message: UnsafePointer<sluice_message>?, _ response: UnsafeMutablePointer<sluice_response>?
    ) -> sluice_status {
        do throws(PluginError) {
            try state.assumingMemoryBound(to: Adapter.self).pointee.decodeResponse(
                Message(message.unsafelyUnwrapped), to: Request(request.unsafelyUnwrapped),
                into: MutableResponse(response.unsafelyUnwrapped), exchange: Exchange(exchange, services))
            return SLUICE_OK
        } catch { return error.report(services) }
    }

    @inline(__always)
    static func frame<Adapter: ProtocolAdapter & ~Copyable>(
        _ type: Adapter.Type, _ state: UnsafeMutableRawPointer, _ services: UnsafePointer<HostServices>,
        _ bytes: sluice_bytes, _ size: UnsafeMutablePointer<Int>?
    ) -> sluice_status {
        do throws(PluginError) {
            guard let found = try state.assumingMemoryBound(to: Adapter.self).pointee.frame(Bytes(bytes)) else {
                return SLUICE_NEED_BODY
            }
            size?.pointee = found
            return SLUICE_OK
        } catch { return error.report(services) }
    }
}

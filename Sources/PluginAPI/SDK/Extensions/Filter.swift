import SluiceABI

/// What a filter needs to see, fixed for the instance's life.
public struct FilterNeeds: OptionSet, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `onRequest` wants the decoded payload. A call of gRPC with the operation `other` may be a stream that has no end
    /// to wait for: its payload stays `stream`.
    public static let requestBody = FilterNeeds(rawValue: 1)
    /// `onResponse` wants the decoded payload; the answer to such a call passes, too, and it sees the head of that.
    public static let responseBody = FilterNeeds(rawValue: 2)
    /// `onChunk` is called for bodies that stream.
    public static let chunks = FilterNeeds(rawValue: 4)
}

/// What a filter says of a request or a response.
@frozen
public enum FilterVerdict: Int32, Sendable {
    /// It passes, changed or not.
    case pass = 0
    /// `answer` goes to the client; nobody else is asked. Of requests only.
    case answer = 3
    /// The verdict comes later: see `Exchange.suspension`.
    case pending = 4
}

/// Lets pass, changes, answers or suspends requests and responses. All but `needs` on the worker.
public protocol Filter: PluginExtension, ~Copyable {
    /// Read once, after `init`. Nothing unless said.
    var needs: FilterNeeds { get }
    /// A request, in the order of the chain. `answer` is empty; fill it in to return `answer`.
    mutating func onRequest(
        _ request: MutableRequest, answer: MutableResponse, exchange: Exchange
    ) throws(PluginError) -> FilterVerdict
    /// A response, in reverse order of the chain, before a byte of it has gone to the client; also to requests that
    /// this filter has not seen, since one before it answered them. Its payload is there only where `needs` asks for
    /// it. What it throws takes the answer's place. `httpStatus` may be changed, but not that of a call of gRPC, whose
    /// own status says how it went, or of a switch of protocols.
    mutating func onResponse(
        _ response: MutableResponse, to request: Request, exchange: Exchange
    ) throws(PluginError) -> FilterVerdict
    /// A piece of a body that streams. What it throws is answered, or cuts an answer that has begun.
    mutating func onChunk(_ chunk: Bytes, side: Side, exchange: Exchange) throws(PluginError)
    /// The exchange ended before its response was complete, or an error is answered in place of a call that had
    /// suspended it: forget what you remember of it. At most once; also to filters that have not seen the request.
    mutating func onCancel(exchange: Exchange)
    /// Whether `onFailure` is called. False unless said; then no call is made, and nothing is spent on it.
    static var answersFailures: Bool { get }
    /// Where the model's `fallback` has the step `cached`: the request, which this filter let pass, is about to be
    /// answered with an error, and nothing of an answer has gone to the client. `answer` is empty but for the model and
    /// version that the request was for; fill it in to return `answer`, or `pass` when there is none. On the worker.
    mutating func onFailure(
        _ failure: ErrorCode, of request: Request, answer: MutableResponse, exchange: Exchange
    ) throws(PluginError) -> FilterVerdict
    /// Whether `onError` is called. False unless said.
    static var hearsErrors: Bool { get }
    /// The request is answered with an error, of the gateway or of any plugin, this filter too, and no `onResponse`
    /// follows: forget what you remember of it. Also to filters that have not seen the request. On the worker.
    mutating func onError(_ error: ErrorCode, exchange: Exchange)
}

extension Filter where Self: ~Copyable {
    public var needs: FilterNeeds { [] }
    public mutating func onResponse(
        _ response: MutableResponse, to request: Request, exchange: Exchange
    ) throws(PluginError) -> FilterVerdict { .pass }
    public mutating func onChunk(_ chunk: Bytes, side: Side, exchange: Exchange) throws(PluginError) {}
    public mutating func onCancel(exchange: Exchange) {}
    public static var answersFailures: Bool { false }
    public mutating func onFailure(
        _ failure: ErrorCode, of request: Request, answer: MutableResponse, exchange: Exchange
    ) throws(PluginError) -> FilterVerdict { .pass }
    public static var hearsErrors: Bool { false }
    public mutating func onError(_ error: ErrorCode, exchange: Exchange) {}
}

/// The C functions of a filter's table.
enum FilterTable {
    typealias Box = InstanceBox<any (Filter & ~Copyable).Type>
    nonisolated(unsafe) static var type: (any (Filter & ~Copyable).Type)?

    static func make() -> sluice_filter {
        var table = sluice_filter()
        table.base = instanceHead(
            tableSize: MemoryLayout<sluice_filter>.size, instancing: type?.instancing,
            create: { host, arguments, instance in
                createInstance(host, arguments, instance, FilterTable.type, FilterTable.type)
            },
            destroy: { instance in Box.destroy(instance) })
        table.needs = { instance in
            let box = Box.at(instance)
            return FilterTable.needs(box.pointee.type, box.pointee.state)
        }
        table.on_request = { instance, exchange, request, answer in
            let box = Box.at(instance)
            return FilterTable.onRequest(
                box.pointee.type, box.pointee.state, box.pointee.services, exchange, request, answer)
        }
        table.on_response = { instance, exchange, request, response in
            let box = Box.at(instance)
            return FilterTable.onResponse(
                box.pointee.type, box.pointee.state, box.pointee.services, exchange, request, response)
        }
        table.on_chunk = { instance, exchange, side, chunk in
            let box = Box.at(instance)
            return FilterTable.onChunk(
                box.pointee.type, box.pointee.state, box.pointee.services, exchange, side, chunk)
        }
        table.on_cancel = { instance, exchange in
            let box = Box.at(instance)
            FilterTable.onCancel(box.pointee.type, box.pointee.state, box.pointee.services, exchange)
        }
        return table
    }

    /// The table of "sluice.filter/2", for types that answer failures or hear of errors.
    static func makeSecond(answersFailures: Bool, hearsErrors: Bool) -> sluice_filter_2 {
        let first = make()
        var table = sluice_filter_2()
        table.base = first.base
        table.base.struct_size = UInt32(MemoryLayout<sluice_filter_2>.size)
        table.needs = first.needs
        table.on_request = first.on_request
        table.on_response = first.on_response
        table.on_chunk = first.on_chunk
        table.on_cancel = first.on_cancel
        if answersFailures {
            table.on_failure = { instance, exchange, request, failure, answer in
                let box = Box.at(instance)
                return FilterTable.onFailure(
                    box.pointee.type, box.pointee.state, box.pointee.services, exchange, request, failure, answer)
            }
        }
        if hearsErrors {
            table.on_error = { instance, exchange, error in
                let box = Box.at(instance)
                FilterTable.onError(box.pointee.type, box.pointee.state, box.pointee.services, exchange, error)
            }
        }
        return table
    }

    static func needs<Extension: Filter & ~Copyable>(
        _ type: Extension.Type, _ state: UnsafeMutableRawPointer
    ) -> UInt32 {
        state.assumingMemoryBound(to: Extension.self).pointee.needs.rawValue
    }

    @inline(__always)
    static func onRequest<Extension: Filter & ~Copyable>(
        _ type: Extension.Type, _ state: UnsafeMutableRawPointer, _ services: UnsafePointer<HostServices>,
        _ exchange: OpaquePointer?, _ request: UnsafeMutablePointer<sluice_request>?,
        _ answer: UnsafeMutablePointer<sluice_response>?
    ) -> sluice_status {
        do throws(PluginError) {
            return try state.assumingMemoryBound(to: Extension.self).pointee.onRequest(
                MutableRequest(request.unsafelyUnwrapped), answer: MutableResponse(answer.unsafelyUnwrapped),
                exchange: Exchange(exchange, services)
            ).rawValue
        } catch { return error.report(services) }
    }

    @inline(__always)
    static func onResponse<Extension: Filter & ~Copyable>(
        _ type: Extension.Type, _ state: UnsafeMutableRawPointer, _ services: UnsafePointer<HostServices>,
        _ exchange: OpaquePointer?, _ request: UnsafePointer<sluice_request>?,
        _ response: UnsafeMutablePointer<sluice_response>?
    ) -> sluice_status {
        do throws(PluginError) {
            return try state.assumingMemoryBound(to: Extension.self).pointee.onResponse(
                MutableResponse(response.unsafelyUnwrapped), to: Request(request.unsafelyUnwrapped),
                exchange: Exchange(exchange, services)
            ).rawValue
        } catch { return error.report(services) }
    }

    @inline(__always)
    static func onChunk<Extension: Filter & ~Copyable>(
        _ type: Extension.Type, _ state: UnsafeMutableRawPointer, _ services: UnsafePointer<HostServices>,
        _ exchange: OpaquePointer?, _ side: UInt32, _ chunk: sluice_bytes
    ) -> sluice_status {
        do throws(PluginError) {
            try state.assumingMemoryBound(to: Extension.self).pointee.onChunk(
                Bytes(chunk), side: side == Side.response.rawValue ? .response : .request,
                exchange: Exchange(exchange, services))
            return SLUICE_OK
        } catch { return error.report(services) }
    }

    @inline(__always)
    static func onCancel<Extension: Filter & ~Copyable>(
        _ type: Extension.Type, _ state: UnsafeMutableRawPointer, _ services: UnsafePointer<HostServices>,
        _ exchange: OpaquePointer?
    ) {
        state.assumingMemoryBound(to: Extension.self).pointee.onCancel(exchange: Exchange(exchange, services))
    }

    @inline(__always)
    static func onFailure<Extension: Filter & ~Copyable>(
        _ type: Extension.Type, _ state: UnsafeMutableRawPointer, _ services: UnsafePointer<HostServices>,
        _ exchange: OpaquePointer?, _ request: UnsafePointer<sluice_request>?, _ failure: sluice_status,
        _ answer: UnsafeMutablePointer<sluice_response>?
    ) -> sluice_status {
        do throws(PluginError) {
            return try state.assumingMemoryBound(to: Extension.self).pointee.onFailure(
                ErrorCode(status: failure), of: Request(request.unsafelyUnwrapped),
                answer: MutableResponse(answer.unsafelyUnwrapped), exchange: Exchange(exchange, services)
            ).rawValue
        } catch { return error.report(services) }
    }

    static func onError<Extension: Filter & ~Copyable>(
        _ type: Extension.Type, _ state: UnsafeMutableRawPointer, _ services: UnsafePointer<HostServices>,
        _ exchange: OpaquePointer?, _ error: sluice_status
    ) {
        state.assumingMemoryBound(to: Extension.self).pointee.onError(
            ErrorCode(status: error), exchange: Exchange(exchange, services))
    }
}

import CLinux
import Glibc
import SluiceABI

/// A route of an adapter, ready to match: literals and captures in turn. See `sluice_route` for the language.
struct CompiledRoute {
    enum Part {
        case literal(sluice_bytes)
        /// One segment, or its part before the literal that follows.
        case capture
        /// All that is left, query included.
        case rest
    }

    let method: sluice_bytes
    /// Among the adapter's routes.
    let index: UInt32
    let matchesAll: Bool
    let parts: UnsafeMutablePointer<Part>
    let partCount: Int
    let captureCount: Int
    /// What a path must begin with.
    private let prefix: sluice_bytes

    static let capturesAtMost = 8

    enum Fault: Error { case syntax(String) }

    /// `method` and `path` must outlive the route.
    init(method: sluice_bytes, path: sluice_bytes, index: Int = 0) throws(Fault) {
        self.method = method
        self.index = UInt32(index)
        let text = path.text
        if text == "*" {
            matchesAll = true
            parts = .allocate(capacity: 1)
            partCount = 0
            captureCount = 0
            prefix = .empty
            return
        }
        guard let data = path.data, text.hasPrefix("/") else {
            throw .syntax("the path template `\(text)` must begin with `/`")
        }
        matchesAll = false
        var found: [Part] = []
        var captures = 0
        var index = 0
        var literal = 0
        while index < path.size {
            guard data[index] == UInt8(ascii: "{") else {
                index += 1
                continue
            }
            if index > literal { found.append(.literal(sluice_bytes(data + literal, index - literal))) }
            guard let close = (index..<path.size).first(where: { data[$0] == UInt8(ascii: "}") }) else {
                throw .syntax("the path template `\(text)` lacks a `}`")
            }
            let name = sluice_bytes(data + index + 1, close - index - 1).text
            captures += 1
            if name.hasSuffix("...") {
                guard close == path.size - 1 else { throw .syntax("`{\(name)}` must end the template `\(text)`") }
                found.append(.rest)
            } else {
                if case .capture? = found.last { throw .syntax("two captures touch in the template `\(text)`") }
                found.append(.capture)
            }
            index = close + 1
            literal = index
        }
        if index > literal { found.append(.literal(sluice_bytes(data + literal, index - literal))) }
        guard captures <= Self.capturesAtMost else {
            throw .syntax("the template `\(text)` has more than \(Self.capturesAtMost) captures")
        }
        parts = .allocate(capacity: max(found.count, 1))
        for (index, part) in found.enumerated() { (parts + index).initialize(to: part) }
        partCount = found.count
        captureCount = captures
        prefix = if case .literal(let literal)? = found.first { literal } else { .empty }
    }

    /// The longest text that the paths of all `routes` begin with.
    static func commonPrefix(_ routes: [CompiledRoute]) -> sluice_bytes {
        guard var common = routes.first?.prefix else { return .empty }
        for route in routes {
            var size = 0
            while size < min(common.size, route.prefix.size), let first = common.data, let second = route.prefix.data,
                first[size] == second[size]
            {
                size += 1
            }
            common.size = size
        }
        return common
    }

    func deallocate() { parts.deallocate() }

    /// Whether a request's path matches; `captures` receives up to `captureCount` views. `target` is path and query.
    @inline(__always)
    func matches(
        method: sluice_bytes, path: sluice_bytes, target: sluice_bytes, captures: UnsafeMutablePointer<sluice_bytes>
    ) -> Bool {
        // Most routes are another protocol's or another path's: their last byte of the prefix tells them apart cheaply.
        let size = prefix.size
        if path.size < size { return false }
        if size > 0, path.data.unsafelyUnwrapped[size &- 1] != prefix.data.unsafelyUnwrapped[size &- 1] { return false }
        if self.method.size != 0, !(self.method == method) { return false }
        if matchesAll { return true }
        return matchParts(path: path, target: target, captures: captures)
    }

    private func matchParts(
        path: sluice_bytes, target: sluice_bytes, captures: UnsafeMutablePointer<sluice_bytes>
    ) -> Bool {
        guard let data = path.data else { return false }
        var position = 0
        var captured = 0
        var index = 0
        while index < partCount {
            switch parts[index] {
            case .literal(let literal):
                guard path.size &- position >= literal.size, let bytes = literal.data,
                    sameBytes(data + position, bytes, literal.size)
                else { return false }
                position &+= literal.size
            case .capture:
                var end = position
                while end < path.size, data[end] != UInt8(ascii: "/") { end &+= 1 }
                if index &+ 1 < partCount, case .literal(let literal) = parts[index &+ 1], let bytes = literal.data,
                    bytes[0] != UInt8(ascii: "/")
                {
                    // The last place where the literal begins in this segment: a model's name may hold a colon. What
                    // the literal has from a slash on lies beyond the segment.
                    var inside = 0
                    while inside < literal.size, bytes[inside] != UInt8(ascii: "/") { inside &+= 1 }
                    var place = min(end &- inside, path.size &- literal.size)
                    while place > position, !sameBytes(data + place, bytes, literal.size) { place &-= 1 }
                    end = place
                }
                guard end > position else { return false }
                captures[captured] = sluice_bytes(data + position, end &- position)
                captured &+= 1
                position = end
            case .rest:
                // The target of an absolute form does not begin with the path; then only the path is captured.
                if let start = target.data, data >= start, data < start + target.size {
                    let offset = data - start + position
                    captures[captured] = sluice_bytes(start + offset, target.size &- offset)
                } else {
                    captures[captured] = sluice_bytes(data + position, path.size &- position)
                }
                return true
            }
            index &+= 1
        }
        return position == path.size
    }
}

/// Routes of one transport.
struct RouteList {
    var routes: UnsafePointer<CompiledRoute>
    var count: Int

    /// The adapter's index of the first one that fits; captures are left in `captures`.
    func match(
        _ message: UnsafeMutablePointer<sluice_message>, _ captures: UnsafeMutablePointer<sluice_bytes>
    ) -> Int? {
        match(message, message.pointee.method, captures, named: false)
    }

    /// The one for HEAD, whatever the message's method. What is there for GET is there for HEAD (RFC 9110 §9.1): a
    /// route that names HEAD goes first; otherwise it is the one that GET has, and no other of any method, for the
    /// answer to one tells of the other's.
    @inline(never)
    func matchHead(
        _ message: UnsafeMutablePointer<sluice_message>, _ captures: UnsafeMutablePointer<sluice_bytes>
    ) -> Int? {
        match(message, sluice_bytes("HEAD"), captures, named: true)
            ?? match(message, sluice_bytes("GET"), captures, named: false)
    }

    /// `named`: only routes that name their method.
    @inline(__always)
    private func match(
        _ message: UnsafeMutablePointer<sluice_message>, _ method: sluice_bytes,
        _ captures: UnsafeMutablePointer<sluice_bytes>, named: Bool
    ) -> Int? {
        for position in 0..<count where !named || routes[position].method.size > 0 {
            if routes[position].matches(
                method: method, path: message.pointee.path, target: message.pointee.target, captures: captures)
            {
                return Int(routes[position].index)
            }
        }
        return nil
    }
}

import COpenSSL
import Glibc
import SluiceABI

/// What the control thread sends a worker when the endpoints of a pool have changed. The receiver frees it.
struct EndpointUpdate {
    let pool: UnsafeMutablePointer<WorkerPool>
    let table: EndpointTable
}

/// The question whether a worker still needs an endpoint. The receiver frees it.
struct EndpointFarewell {
    let endpoint: UnsafeMutablePointer<Endpoint>
    let question: EndpointRegistry.Question
}

/// Endpoints that come and go without a reload.
extension Worker {
    func takeEndpoints(_ pointer: UnsafeMutableRawPointer) {
        let place = pointer.assumingMemoryBound(to: EndpointUpdate.self)
        let update = place.move()
        place.deallocate()
        update.pool.pointee.replace(with: update.table)
        if update.pool.pointee.generation == generation { letGoOfStrays(update.pool) }
        compareAgain(update.pool)
        checkAgain(update.pool)
        // Who waits may find a connection now, or that there is nobody left to wait for.
        servesAgain(update.pool.pointee.shared)
    }

    /// What an exchange needs to know of the endpoint that its attempt goes to, whatever becomes of the pool's table.
    @inline(__always)
    func note(_ exchange: ExchangePointer, _ index: UInt32) {
        exchange.pointee.endpointIndex = index
        guard let pool = exchange.pointee.pool else { return }
        exchange.pointee.endpointTable = pool.pointee.tableNumber
        exchange.pointee.endpoint = pool.pointee.targets[Int(index)]
        exchange.pointee.endpointMetrics = pool.pointee.endpointMetrics[Int(index)]
    }

    /// Where the endpoint of the last attempt stands in the pool's present table; nil when it has left.
    @inline(__always)
    func presentIndex(_ exchange: ExchangePointer) -> UInt32? {
        guard let pool = exchange.pointee.pool else { return nil }
        if exchange.pointee.endpointTable == pool.pointee.tableNumber { return exchange.pointee.endpointIndex }
        return indexAfterChange(exchange, pool)
    }

    @inline(never)
    private func indexAfterChange(_ exchange: ExchangePointer, _ pool: UnsafeMutablePointer<WorkerPool>) -> UInt32? {
        for index in 0..<pool.pointee.endpointCount where pool.pointee.targets[index] == exchange.pointee.endpoint {
            return UInt32(index)
        }
        return nil
    }

    /// Frees what the worker has of an endpoint that no pool names, and says so; silent when something refers to it,
    /// since then it will be asked again.
    func bidFarewell(_ pointer: UnsafeMutableRawPointer) {
        let place = pointer.assumingMemoryBound(to: EndpointFarewell.self)
        let farewell = place.move()
        place.deallocate()
        let index = farewell.question.index
        guard
            !exchanges.contains(where: {
                $0.pointee.endpoint == farewell.endpoint || $0.pointee.rival?.pointee.endpoint == farewell.endpoint
            })
        else { return }
        if let connections = endpoints[index] {
            guard connections.pointee.open == 0, connections.pointee.firstHTTP2 == nil else { return }
            guard !calls.contains(where: { $0.pointee.upstream.endpoint == connections }) else { return }
            if let session = connections.pointee.session { SSL_SESSION_free(session) }
            if let context = connections.pointee.sessionContext { SSL_CTX_free(context) }
            connections.deallocate()
            endpoints[index] = nil
        }
        control.send(.forgotten(farewell.question))
    }
}

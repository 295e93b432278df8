import CLinux
import SluiceABI

/// The choice of an endpoint among those in `eligible`: the balancer's, or the first one.
extension Worker {
    /// One of the `count` endpoints in `eligible`, let through by its breaker; nil: there is none.
    func choose(
        _ exchange: ExchangePointer, _ pool: UnsafeMutablePointer<WorkerPool>, _ eligibleCount: UInt32
    ) -> UInt32? {
        var count = eligibleCount
        while count > 0 {
            let index = pick(exchange, pool, count)
            if pool.pointee.policy == nil || admits(exchange, pool, index) { return index }
            // Another worker has sent the one probe that may go: for this exchange the endpoint is none.
            strike(index)
            count &-= 1
        }
        return nil
    }

    /// The endpoint that has just failed this exchange is not asked again while there is another one.
    func avoid(
        _ endpoint: UnsafeMutablePointer<Endpoint>, _ pool: UnsafeMutablePointer<WorkerPool>, _ count: UInt32
    ) -> UInt32 {
        for index in 0..<pool.pointee.endpointCount where pool.pointee.targets[index] == endpoint {
            guard isEligible(UInt32(index)) else { break }
            strike(UInt32(index))
            return count &- 1
        }
        return count
    }

    private func pick(
        _ exchange: ExchangePointer, _ pool: UnsafeMutablePointer<WorkerPool>, _ count: UInt32
    ) -> UInt32 {
        if let balancer = pool.pointee.balancer {
            var arguments = sluice_pick()
            arguments.endpoints = UnsafePointer(pool.pointee.endpoints)
            arguments.count = UInt32(truncatingIfNeeded: pool.pointee.endpointCount)
            arguments.attempt = UInt32(exchange.pointee.machine.attempts) &+ 1
            exchange.pointee.request?.pointee.attempt = arguments.attempt
            arguments.eligible = UnsafePointer(eligible)
            arguments.eligible_count = count
            arguments.now_ms = UInt32(truncatingIfNeeded: nowMs)
            let start = beginCall(exchange)
            let index = balancer.table.pointee.pick.unsafelyUnwrapped(
                balancer.instance, exchange.handle, exchange.pointee.request, &arguments)
            endCall(exchange, balancer.plugin, start)
            if index < arguments.count, isEligible(index) { return index }
            metrics.pluginFailed(plugin: PluginMetricsID(index: balancer.plugin))
        }
        var index: UInt32 = 0
        while !isEligible(index) { index &+= 1 }
        return index
    }
}

import CLinux
import Glibc
import HTTP1
import SluiceABI

/// From a request to a pool: the routers of the chain, and what holds without one.
extension Worker {
    func route(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        let tables = exchange.pointee.generation.unsafelyUnwrapped
        let request = exchange.pointee.request.unsafelyUnwrapped
        var chain = tables.pointee.routers
        // A filter may have written there what is no model: settled below as one that is not known.
        if request.pointee.model_id < UInt32(tables.pointee.modelCount) {
            let model = tables.pointee.models + Int(request.pointee.model_id)
            if model.pointee.replacesRouters { chain = model.pointee.routers }
        }
        if exchange.pointee.link == 0, !exchange.pointee.isResumed {
            exchange.pointee.decision = sluice_route_decision(
                model: request.pointee.model_id, version: SLUICE_NONE, pool: SLUICE_NONE,
                priority: request.pointee.priority, deadline_ns: request.pointee.deadline_ns)
        }
        while Int(exchange.pointee.link) < chain.count {
            let router = chain.links + Int(exchange.pointee.link)
            guard exchange.pointee.isResumed || mayBorrow(router.pointee.plugin) else { return failHeld(exchange) }
            var decision = exchange.pointee.decision
            let start = beginCall(exchange)
            let status = router.pointee.table.pointee.route.unsafelyUnwrapped(
                router.pointee.instance, exchange.handle, request, &decision)
            endCall(exchange, router.pointee.plugin, start)
            exchange.pointee.isResumed = false
            switch status {
            case SLUICE_OK:
                exchange.pointee.decision = decision
                // The rules of the routers that follow go by it.
                request.pointee.priority = min(decision.priority, 9)
                exchange.pointee.link &+= 1
            case SLUICE_DECLINE: exchange.pointee.link &+= 1
            case SLUICE_NEED_BODY where !exchange.pointee.machine.hasPayload:
                return exchange.pointee.machine.handle(.payloadNeeded)
            case SLUICE_PENDING:
                return suspend(exchange, router.pointee.context, borrower: router.pointee.plugin, .suspended)
            default: return failPlugin(exchange, status, router.pointee.plugin)
            }
        }
        exchange.pointee.link = 0
        return settleRoute(exchange, tables)
    }

    /// Turns the decision into a pool, and the pool's limits into those of the exchange.
    private func settleRoute(
        _ exchange: ExchangePointer, _ tables: UnsafeMutablePointer<WorkerGeneration>
    ) -> ExchangeMachine.Action {
        let request = exchange.pointee.request.unsafelyUnwrapped
        let decision = exchange.pointee.decision
        guard decision.model < UInt32(tables.pointee.modelCount) else {
            // What the request asks for is the client's affair, and what else a router names is the router's.
            guard decision.model == request.pointee.model_id || decision.model == SLUICE_NONE else {
                return fail(exchange, SLUICE_INTERNAL, 500, "the router named a model that does not exist")
            }
            return failUnknownModel(exchange)
        }
        let model = tables.pointee.models + Int(decision.model)
        var index = decision.pool
        if index == SLUICE_NONE {
            var version = decision.version
            if version == SLUICE_NONE {
                version = versionWithoutRouter(tables, model, request.pointee.version)
            } else if version >= model.pointee.versionCount {
                return fail(exchange, SLUICE_INTERNAL, 500, "the router named a version that does not exist")
            }
            guard version < model.pointee.versionCount else { return failUnknownVersion(exchange) }
            index = model.pointee.firstPool &+ version
        }
        guard index < UInt32(tables.pointee.poolCount) else {
            return fail(exchange, SLUICE_INTERNAL, 500, "the router named a pool that does not exist")
        }
        let pool = tables.pointee.pools + Int(index)
        exchange.pointee.pool = pool
        exchange.pointee.model = tables.pointee.models + Int(pool.pointee.model)
        request.pointee.model_id = decision.model
        request.pointee.priority = min(decision.priority, 9)
        // A router may tighten a deadline; a model's own timeout takes the place of the gateway's.
        var deadline = exchange.pointee.receivedAt &+ pool.pointee.timeoutNs
        if decision.deadline_ns != request.pointee.deadline_ns { deadline = min(deadline, decision.deadline_ns) }
        deadline = min(deadline, min(exchange.pointee.callDeadline, exchange.pointee.filterDeadline))
        if deadline != request.pointee.deadline_ns {
            request.pointee.deadline_ns = deadline
            armTimer(exchange)
        }
        return exchange.pointee.machine.handle(.routed(payloadNeeded: false))
    }

    /// Without a router in the chain: the version that was asked for, or the only one there is.
    private func versionWithoutRouter(
        _ tables: UnsafeMutablePointer<WorkerGeneration>, _ model: UnsafeMutablePointer<WorkerModel>,
        _ asked: sluice_bytes
    ) -> UInt32 {
        if asked.isEmpty { return model.pointee.versionCount == 1 ? 0 : SLUICE_NONE }
        var version: UInt32 = 0
        while version < model.pointee.versionCount {
            if tables.pointee.pools[Int(model.pointee.firstPool &+ version)].versionName == asked { return version }
            version &+= 1
        }
        return SLUICE_NONE
    }
}

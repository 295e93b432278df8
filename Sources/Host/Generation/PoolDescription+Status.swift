import CLinux
import Resilience
import SluiceABI

extension PoolDescription {
    /// As it stands now, but for what its discovery says.
    var status: StatusReport.Version {
        let now = clinux_monotonic_ns()
        let endpoints = list.map { entry in
            let member = entry.member
            let load = entry.endpoint.pointee.load
            var shown: String?
            if let breakers, breakers.ofEndpoints {
                shown = BreakerView.text(CircuitBreaker(member.pointee.breaker, breakers.settings).state(now: now))
            }
            let isEjected = member.pointee.ejectedUntil > now
            return StatusReport.Endpoint(
                address: entry.endpoint.pointee.text.text, weight: entry.weight, zone: entry.zone,
                healthy: !member.pointee.isDown && !member.pointee.isAwaited && !isEjected,
                ejected: isEjected, breaker: shown,
                inFlight: Int(Int32(bitPattern: sluice_load_u32(&load.pointee.in_flight))),
                requests: sluice_load_u64(&load.pointee.requests),
                failures: sluice_load_u64(&load.pointee.failures), ewmaNs: sluice_load_u64(&load.pointee.ewma_ns))
        }
        var ofModel: String?
        if let breakers, breakers.ofModel {
            ofModel = BreakerView.text(
                CircuitBreaker(shared.pointee.state.breaker, breakers.settings).state(now: now))
        }
        return StatusReport.Version(
            name: version, backend: backend, endpoints: endpoints, breaker: ofModel,
            queued: shared.pointee.gate.pointee.waiting, underWay: shared.pointee.gate.pointee.underWay,
            limit: shared.pointee.gate.pointee.limitNow)
    }
}

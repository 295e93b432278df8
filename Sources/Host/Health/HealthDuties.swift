import Configuration
import Resilience
import SluiceABI

/// What the home worker of a pool does beside serving: it asks endpoints how they are, and compares their answers.
/// In the home worker's tables of one generation; its timers run while that is the one in force.
struct HealthDuties {
    /// First, so that the timer's address is the duties'.
    var timer = TimerNode()
    var pool: UnsafeMutablePointer<WorkerPool>
    var outlier: OutlierSettings?
    var check: HealthCheckPlan?
    /// A list with one for each endpoint of the pool while its generation is in force; none without a check. The
    /// worker's own, not the generation's memory: endpoints come and go.
    var firstProbe: UnsafeMutablePointer<Probe>?
    /// The log has it that the check cannot be made.
    var isToldUnanswerable = false
}

struct HealthCheckPlan {
    var kind: Settings.HealthCheck.Kind
    var path: sluice_bytes
    /// The body of a call of grpc.health.v1.Health/Check.
    var message: sluice_bytes
    var timeoutNs: UInt64
    var settings: HealthSettings
}

/// The checks of one endpoint: a timer until the next one, or an exchange without a client that is the present one.
struct Probe {
    /// First, so that the timer's address is the probe's.
    var timer = TimerNode()
    var duties: UnsafeMutablePointer<HealthDuties>
    /// Who is asked. It has its place for as long as the probe is there, since the pool names it.
    var endpoint: UnsafeMutablePointer<Endpoint>
    var member: UnsafeMutablePointer<PoolMember>
    /// Where it stands in the pool's present table.
    var index: UInt32
    var next: UnsafeMutablePointer<Probe>?
    var isRunning = false
}

/// What became of one check.
enum ProbeResult: UInt8 {
    case failed, succeeded
    /// The pool's protocol has no such question.
    case unanswerable
    /// The gateway had no socket or no memory to ask with: that is no word on the endpoint.
    case notMade
}

/// grpc.health.v1 (grpc/doc/health-checking.md), as far as a check needs it. Pure.
enum HealthMessage {
    /// HealthCheckRequest: field 1 is the service's name; left out when it is empty.
    static func request(service: String) -> [UInt8] {
        let name = Array(service.utf8)
        guard !name.isEmpty else { return [] }
        var size = name.count
        var length: [UInt8] = []
        while size > 127 {
            length.append(UInt8(size & 127) | 128)
            size >>= 7
        }
        return [0x0A] + length + [UInt8(size)] + name
    }

    /// HealthCheckResponse: field 1 is the status, of which 1 is SERVING. What cannot be read is none.
    static func isServing(_ message: sluice_bytes) -> Bool {
        guard let bytes = message.data else { return false }
        var index = 0
        var status: UInt64 = 0
        while index < message.size {
            let tag = bytes[index]
            index += 1
            // The one field there is; of one that came later nobody here knows the meaning.
            guard tag == 0x08 else { return false }
            var shift: UInt64 = 0
            status = 0
            while true {
                guard index < message.size, shift < 64 else { return false }
                let byte = bytes[index]
                index += 1
                status |= UInt64(byte & 127) << shift
                if byte < 128 { break }
                shift += 7
            }
        }
        return status == 1
    }
}

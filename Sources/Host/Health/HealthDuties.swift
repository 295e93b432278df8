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

    /// HealthCheckResponse: field 1 is the status, of which 1 is SERVING. What cannot be read is none. Fields that came
    /// later are skipped (protobuf.dev, "Encoding", "Updating A Message Type"): a server that says more serves no less.
    static func isServing(_ message: sluice_bytes) -> Bool {
        guard let bytes = message.data else { return false }
        var rest = UnsafeBufferPointer(start: bytes, count: message.size)[...]
        var status: UInt64 = 0
        while !rest.isEmpty {
            // A tag is a varint of 32 bits: a field's number, which is not 0, and its wire type.
            guard let tag = varint(&rest), tag >> 3 != 0, tag <= UInt64(UInt32.max) else { return false }
            var size: UInt64 = 0
            switch tag & 7 {
            case 0:
                guard let value = varint(&rest) else { return false }
                // Of several the last one counts.
                if tag >> 3 == 1 { status = value }
            case 1: size = 8
            case 2:
                guard let length = varint(&rest) else { return false }
                size = length
            case 5: size = 4
            // Groups, which proto3 does not have, and what is no wire type.
            default: return false
            }
            guard size <= UInt64(rest.count) else { return false }
            rest = rest.dropFirst(Int(size))
        }
        return status == 1
    }

    /// Takes a varint off the front, of ten bytes at most; nil: there is none.
    private static func varint(_ bytes: inout Slice<UnsafeBufferPointer<UInt8>>) -> UInt64? {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while shift < 64, let byte = bytes.popFirst() {
            value |= UInt64(byte & 127) << shift
            if byte < 128 { return value }
            shift += 7
        }
        return nil
    }
}

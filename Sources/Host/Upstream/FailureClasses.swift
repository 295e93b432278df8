import Configuration
import SluiceABI

/// What a policy counts as a failure of an endpoint, in the form that the way of a request asks.
struct FailureClasses {
    private var connect = false
    private var reset = false
    private var timeout = false
    /// Bit `i` of word `w`: the status 400 + 64 × w + i.
    private var statuses: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
    /// Bit `i`: the code `i` of gRPC.
    private var codes: UInt32 = 0

    /// Nothing is a failure.
    init() {}

    init(_ settings: Settings.Failures) {
        connect = settings.connect
        reset = settings.reset
        timeout = settings.timeout
        for status in settings.statuses where (400...599).contains(status) {
            let bit = UInt64(1) << UInt64((status - 400) & 63)
            switch (status - 400) >> 6 {
            case 0: statuses.0 |= bit
            case 1: statuses.1 |= bit
            case 2: statuses.2 |= bit
            default: statuses.3 |= bit
            }
        }
        for code in settings.grpc { codes |= 1 << UInt32(code.rawValue) }
    }

    /// A status that the endpoint answered with.
    func holds(http status: UInt16) -> Bool {
        guard status >= 400, status < 600 else { return false }
        let index = UInt64(status - 400)
        let word =
            switch index >> 6 {
            case 0: statuses.0
            case 1: statuses.1
            case 2: statuses.2
            default: statuses.3
            }
        return word >> (index & 63) & 1 != 0
    }

    /// A status of gRPC, negated as in the ABI, that the endpoint ended a call with.
    func holds(call status: sluice_status) -> Bool {
        guard status < 0, status >= -16 else { return false }
        return codes >> UInt32(-status) & 1 != 0
    }

    /// How an attempt ended, by what metrics know of it. Nil: it says nothing of the endpoint.
    func judge(_ outcome: AttemptOutcome, http: UInt16, call: sluice_status) -> Bool? {
        switch outcome {
        case .cancelled, .stale: nil
        case .connectFailed: connect
        case .timeout: timeout
        case .reset, .badResponse: reset
        case .success, .serverError: call < 0 ? holds(call: call) : holds(http: http)
        }
    }
}

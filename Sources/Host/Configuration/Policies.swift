/// What a pool does when its endpoints fail. A policy that is not configured is off.
extension Settings {
    /// Tries after a failed one.
    public struct Retry: Sendable, Equatable {
        /// In all, the first one counted.
        public var maxAttempts = 1
        /// Before the second try, at most: a share of it is drawn each time. It doubles with each further try.
        public var backoffMs = 25
        /// What the doubling stops at.
        public var maxBackoffMs = 1_000
        /// 0: the whole deadline for each try.
        public var perTryTimeoutMs = 0
        /// Tries again at once, at most, as a share of the pool's requests under way: a pool that fails as a whole is
        /// not asked several times as much for it.
        public var budgetPercent = 20.0
        /// That many may always be.
        public var budgetMinimum = 10
        public var failures = Failures(statuses: [502, 503, 504], grpc: [.unavailable])
        public init() {}
    }

    /// What counts as a failure of an endpoint.
    public struct Failures: Sendable, Equatable {
        public var connect = true
        public var reset = true
        public var timeout = true
        public var statuses: [Int]
        public var grpc: [GRPCCode]
        public init(statuses: [Int], grpc: [GRPCCode]) {
            self.statuses = statuses
            self.grpc = grpc
        }
    }

    /// The codes of gRPC that stand for a failure, by their numbers (grpc/doc/statuscodes.md).
    public enum GRPCCode: Int, Sendable, CaseIterable {
        case cancelled = 1
        case unknown, invalidArgument, deadlineExceeded, notFound, alreadyExists, permissionDenied, resourceExhausted
        case failedPrecondition, aborted, outOfRange, unimplemented, `internal`, unavailable, dataLoss, unauthenticated

        public var name: String {
            switch self {
            case .cancelled: "CANCELLED"
            case .unknown: "UNKNOWN"
            case .invalidArgument: "INVALID_ARGUMENT"
            case .deadlineExceeded: "DEADLINE_EXCEEDED"
            case .notFound: "NOT_FOUND"
            case .alreadyExists: "ALREADY_EXISTS"
            case .permissionDenied: "PERMISSION_DENIED"
            case .resourceExhausted: "RESOURCE_EXHAUSTED"
            case .failedPrecondition: "FAILED_PRECONDITION"
            case .aborted: "ABORTED"
            case .outOfRange: "OUT_OF_RANGE"
            case .unimplemented: "UNIMPLEMENTED"
            case .internal: "INTERNAL"
            case .unavailable: "UNAVAILABLE"
            case .dataLoss: "DATA_LOSS"
            case .unauthenticated: "UNAUTHENTICATED"
            }
        }
    }

    public struct CircuitBreaker: Sendable, Equatable {
        public enum Scope: String, Sendable, CaseIterable { case endpoint, model, both }
        public var scope = Scope.endpoint
        /// In a row; 0: not by count.
        public var failureThreshold = 10
        /// Of the requests in the window, in percent; 0: not by rate.
        public var failureRatePercent = 0.0
        public var windowMs = 10_000
        /// Fewer requests in the window say nothing of a rate.
        public var minimumRequests = 20
        public var resetTimeoutSec = 30.0
        /// What a failed probe's doubling stops at; as long as the first by default, so no doubling.
        public var maxResetTimeoutSec: Double?
        public var jitterPercent = 10.0
        public var halfOpenProbes = 1
        /// More would be traffic, not a trial; a breaker has places for as many.
        public static let probesAtMost = 8
        public var successesToClose = 1
        public var failures = Failures(
            statuses: [500, 502, 503, 504], grpc: [.unknown, .deadlineExceeded, .internal, .unavailable, .dataLoss])
        public init() {}
    }

    /// Passive health: what the answers of an endpoint say beside those of its pool.
    public struct OutlierDetection: Sendable, Equatable {
        /// 0: not by count.
        public var consecutiveErrors = 5
        public var intervalMs = 10_000
        public var baseEjectionMs = 30_000
        /// Holds for the first ejection, too.
        public var maxEjectionMs = 300_000
        /// Of a pool at once; one endpoint of two or more may always be.
        public var maxEjectedPercent = 10.0
        /// Pools with fewer endpoints are not compared.
        public var minimumEndpoints = 5
        /// Answers of an endpoint in one interval; fewer say nothing.
        public var minimumRequests = 100
        /// Below the mean by so many standard deviations; 0: not by success rate.
        public var successRateFactor = 1.9
        /// Above the pool's median by that factor; 0: not by latency.
        public var latencyFactor = 0.0
        public var failures = Failures(
            statuses: [500, 502, 503, 504], grpc: [.unknown, .deadlineExceeded, .internal, .unavailable, .dataLoss])
        public init() {}
    }

    public struct HealthCheck: Sendable, Equatable {
        public enum Kind: String, Sendable, CaseIterable {
            case http, grpc, tcp
            /// What the pool's protocol asks to learn whether a model is ready.
            case ready
        }
        /// Nil: `grpc` for endpoints of gRPC, `tcp` for those of raw TCP, else `http`.
        public var kind: Kind?
        public var path = "/"
        /// The service that is asked for; empty: the server as a whole.
        public var service = ""
        public var intervalMs = 2_000
        public var timeoutMs = 1_000
        public var unhealthyAfter = 3
        public var healthyAfter = 2
        /// With fewer healthy endpoints than that all are tried: when most seem gone, it may be the check that is
        /// wrong, and the few left would drown. 0: never.
        public var panicPercent = 0.0
        public init() {}
    }

    /// One step of a model's degradation.
    public enum Fallback: Sendable, Equatable {
        /// Another version of the same model.
        case version(String)
        /// Another model; a version of it, or the one that requests get which name none.
        case model(String, version: String?, Position)
        /// What a filter has kept of an answer to the same request.
        case kept(Position)
        case response(FixedResponse)
    }

    public struct FixedResponse: Sendable, Equatable {
        public var status = 200
        public var contentType = "application/json"
        public var body = ""
        public init() {}
    }
}

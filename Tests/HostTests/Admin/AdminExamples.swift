@testable import Host

extension StatusReport {
    /// One of everything.
    static var example: StatusReport {
        var report = StatusReport()
        report.pid = 42
        report.uptimeSeconds = 3_725.5
        report.configuration = "/etc/sluice/plugins.yaml"
        report.generations = [
            Generation(number: 7, state: .draining, exchanges: 2), Generation(number: 8, state: .active, exchanges: 5),
        ]
        report.listeners = ["0.0.0.0:8080", "unix:/run/sluice/gateway.sock"]
        report.plugins = [
            Plugin(
                name: "least-request", library: "libLeastRequest.so", version: "0.1", sha256: "0123456789abcdef",
                extensions: ["sluice.balancer/1"]),
            Plugin(
                name: "jwt", library: "libJWT.so", version: "0.1", sha256: "0123456789abcdef",
                extensions: ["sluice.filter/1"], degraded: true),
        ]
        report.models = [
            Model(
                name: "iris",
                versions: [
                    Version(name: "1", backend: "linear-model", endpoints: [], queued: 0),
                    Version(
                        name: "2", backend: nil,
                        endpoints: [
                            Endpoint(
                                address: "http://127.0.0.1:8081", healthy: true, breaker: "closed", inFlight: 1,
                                requests: 100, failures: 1, ewmaNs: 250_000),
                            Endpoint(
                                address: "unix:/run/b.sock", healthy: false, breaker: "half_open", inFlight: 3,
                                requests: 9, failures: 9, ewmaNs: 1_500_000),
                        ], queued: 4, underWay: 3, limit: 20),
                ])
        ]
        report.workers = [Worker(connections: 3, exchanges: 2), Worker(connections: 1, exchanges: 3)]
        report.images = [Image(sha256: "0123456789abcdef", path: "/usr/lib/sluice/libLeastRequest.so", bytes: 65_536)]
        return report
    }
}

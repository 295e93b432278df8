import Foundation

/// The parts of a configuration file that tests differ in; the rest is what every test wants: two workers, a listener
/// and metrics on free ports, an admin socket in the test's own directory, and the shipped plugins that it names.
struct GatewayConfiguration {
    var adapters = ["open-inference", "rest-predict", "passthrough"]
    var filters: [String] = []
    var router: String? = "by-version"
    var balancer: String? = "least-request"
    var batcher: String?
    var observers: [String] = []
    /// Routes of `passthrough`, a YAML flow sequence. Unless they are said all goes to the model `web`, and where there
    /// is none, there is no `passthrough`.
    var routes: String?
    /// Lines under `gateway:`, indented by two.
    var gateway: [String] = []
    /// Entries of `plugins:` beyond the shipped ones, indented by two.
    var plugins: [String] = []
    /// Under `models:`, indented by two.
    var models: [String] = []
    var workers = 2
    /// Further keys of `server:`.
    var serverKeys: [String] = []
    /// Where the gateway listens; port 0 takes a free one.
    var listeners = ["127.0.0.1:0"]
    /// Directories searched before that of the shipped plugins.
    var pluginPath: [String] = []

    /// One model `web` behind `passthrough`, without retries, with these endpoints.
    static func web(_ endpoints: [String], version: String = "") -> GatewayConfiguration {
        var configuration = GatewayConfiguration()
        configuration.adapters = ["passthrough"]
        let list = endpoints.map { "\"\($0)\"" }.joined(separator: ", ")
        configuration.models = [
            "  web:", "    versions:", "      \"1\": { endpoints: [ \(list) ], protocol: passthrough\(version) }",
        ]
        return configuration
    }

    static let shipped = [
        ("open-inference", "OpenInference"), ("rest-predict", "RestPredict"), ("by-version", "ByVersion"),
        ("round-robin", "RoundRobin"), ("least-request", "LeastRequest"), ("size-or-delay", "SizeOrDelay"),
        ("linear-model", "LinearModel"),
    ]

    func text(in directory: TemporaryDirectory) -> String {
        let server = (["worker_threads: \(workers)"] + serverKeys).joined(separator: ", ")
        var lines = ["gateway:", "  server: { \(server) }", "  listeners:"]
        lines += listeners.map { "    - address: \($0)" }
        lines += ["  admin: { socket: \(directory.file("admin.sock")) }"]
        if !gateway.contains(where: { $0.contains("monitoring:") }) {
            lines += ["  monitoring: { metrics_port: 0 }"]
        }
        lines += gateway
        let path = (pluginPath + [Gateway.buildDirectory]).map { "\"\($0)\"" }.joined(separator: ", ")
        lines += ["plugin_path: [ \(path) ]", "plugins:"]
        let references = adapters + filters + [router, balancer, batcher].compactMap(\.self) + observers + models
        lines += Self.shipped.filter { name, _ in references.contains { $0.contains(name) } }.map {
            "  - { name: \($0.0), library: lib\($0.1).so }"
        }
        let hasWeb = models.contains { $0.hasPrefix("  web:") }
        let routes = routes ?? (hasWeb ? "[ { prefix: /, model: web } ]" : nil)
        if let routes {
            lines += ["  - name: passthrough", "    library: libPassthrough.so", "    config: { routes: \(routes) }"]
        }
        lines += plugins
        let adapters = adapters.filter { $0 != "passthrough" || routes != nil }
        lines += ["pipeline:", "  adapters: [ \(adapters.joined(separator: ", ")) ]"]
        lines += ["  filters: [ \(filters.joined(separator: ", ")) ]"]
        if let router { lines += ["  router: \(router)"] }
        if let balancer { lines += ["  balancer: \(balancer)"] }
        if let batcher { lines += ["  batcher: \(batcher)"] }
        if !observers.isEmpty { lines += ["  observers: [ \(observers.joined(separator: ", ")) ]"] }
        lines += ["models:"] + models
        return lines.joined(separator: "\n") + "\n"
    }
}

/// The real binary, started on free ports and stopped with its owner.
final class Gateway: @unchecked Sendable {
    let directory: TemporaryDirectory
    let process: ChildProcess
    /// Ports of the listeners, in the order of the file; 0 for a Unix socket.
    private(set) var ports: [UInt16] = []
    private(set) var metricsPort: UInt16 = 0

    var port: UInt16 { ports.first ?? 0 }
    var configurationFile: String { directory.file("plugins.yaml") }

    /// Where the build put the test bundle, the gateway and the plugins.
    static let buildDirectory: String = {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        let path = String(decoding: buffer[..<max(0, count)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return (path as NSString).deletingLastPathComponent
    }()

    static var binary: String { buildDirectory + "/sluice" }

    convenience init(_ configuration: GatewayConfiguration, environment: [String: String] = [:]) throws {
        let directory = try TemporaryDirectory()
        try self.init(text: configuration.text(in: directory), in: directory, environment: environment)
    }

    init(text: String, in directory: TemporaryDirectory, environment: [String: String] = [:]) throws {
        self.directory = directory
        try Gateway.makeLoadable()
        try directory.write("plugins.yaml", text)
        process = try ChildProcess(
            Gateway.binary, ["serve", "--config", directory.file("plugins.yaml")], directory: directory.path,
            environment: environment)
        try waitUntil("the gateway is ready") {
            if let status = process.poll() {
                throw HarnessError("the gateway ended with \(status)\n\(try process.wait())\n\(log)")
            }
            return process.standardOutput.split(separator: "\n").contains("ready")
        }
        for line in process.standardOutput.split(separator: "\n") {
            if line.hasPrefix("listening on ") {
                ports.append(Gateway.port(in: line) ?? 0)
            } else if line.hasPrefix("metrics on ") {
                metricsPort = Gateway.port(in: line) ?? 0
            }
        }
    }

    /// Runs a command of the gateway's program to its end.
    static func command(
        _ arguments: [String], directory: String? = nil, environment: [String: String] = [:],
        _ deadline: Deadline = .ordinary
    ) throws -> (status: Int32, output: String, errors: String) {
        try makeLoadable()
        return try ChildProcess.run(
            binary, arguments, directory: directory, environment: environment, deadline)
    }

    /// All that it wrote.
    var log: String { process.standardOutput + process.standardError }

    /// Lines are written by a thread of their own, behind what they tell of.
    func awaitLog(_ text: String) throws {
        try waitUntil("the log says: \(text)") { log.contains(text) }
    }

    func connect(receiveBuffer: Int32? = nil) throws -> Socket {
        try Socket.connect(port: port, receiveBuffer: receiveBuffer)
    }

    /// Sends `request` on a connection of its own and reads one response.
    func exchange(_ request: String, method: String = "GET", _ deadline: Deadline = .ordinary) throws -> HTTPMessage {
        let socket = try connect()
        socket.send(request, deadline)
        guard let response = try MessageReader(socket).response(to: method, deadline) else {
            throw HarnessError("the connection ended without a response to: \(request.prefix(200))")
        }
        return response
    }

    func get(_ target: String, fields: [String] = []) throws -> HTTPMessage {
        try exchange(
            (["GET \(target) HTTP/1.1", "Host: test", "Connection: close"] + fields).joined(separator: "\r\n")
                + "\r\n\r\n")
    }

    func post(_ target: String, _ body: String, fields: [String] = ["Content-Type: application/json"]) throws
        -> HTTPMessage
    {
        try exchange(
            (["POST \(target) HTTP/1.1", "Host: test", "Connection: close", "Content-Length: \(body.utf8.count)"]
                + fields).joined(separator: "\r\n") + "\r\n\r\n" + body, method: "POST")
    }

    /// The text of the metrics port.
    func metrics() throws -> String {
        let socket = try Socket.connect(port: metricsPort)
        socket.send("GET /metrics HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        guard let response = try MessageReader(socket).response(), response.status == 200 else {
            throw HarnessError("no metrics")
        }
        return response.bodyText
    }

    /// The sum of the samples of `name` whose labels contain all of `labels`.
    func metric(_ name: String, _ labels: [String] = []) throws -> Double {
        try metrics().split(separator: "\n").reduce(0) { sum, line in
            guard line.hasPrefix(name + "{") || line.hasPrefix(name + " "),
                labels.allSatisfy({ line.contains($0) }),
                let value = line.split(separator: " ").last.flatMap({ Double($0) })
            else { return sum }
            return sum + value
        }
    }

    func write(_ configuration: GatewayConfiguration) throws {
        try directory.write("plugins.yaml", configuration.text(in: directory))
    }

    /// `sluice reload`, which waits for the outcome. It is the running gateway that reads the file, not the command.
    func reload() throws -> (status: Int32, output: String, errors: String) {
        try Gateway.command(["reload", "--socket", directory.file("admin.sock")])
    }

    /// SIGTERM, then the exit code.
    func stop() throws -> Int32 {
        process.signal(SIGTERM)
        return try process.wait()
    }

    private static func port(in line: Substring) -> UInt16? {
        guard let start = line.range(of: "://")?.upperBound else { return nil }
        let authority = line[start...].prefix { $0 != "/" }
        return authority.split(separator: ":").last.flatMap { UInt16($0) }
    }

    /// The loader refuses files that others may write, and SwiftPM leaves the modes to the umask; so does `make`.
    static func makeLoadable() throws {
        guard FileManager.default.isExecutableFile(atPath: binary) else {
            throw HarnessError("\(binary) is not built")
        }
        _ = loadableOnce
    }

    private static let loadableOnce: Void = {
        chmod(buildDirectory, 0o755)
        for name in (try? FileManager.default.contentsOfDirectory(atPath: buildDirectory)) ?? []
        where name.hasPrefix("lib") && name.hasSuffix(".so") {
            chmod(buildDirectory + "/" + name, 0o755)
        }
    }()
}

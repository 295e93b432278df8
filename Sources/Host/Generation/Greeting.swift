import Configuration

/// What `serve` prints when it has begun.
enum Greeting {
    /// What an operator sees first: addresses, plugins, models, a line to try, and `ready`.
    static func text(_ generation: Generation, _ listeners: [Listeners.Open], metricsPort: UInt16?) -> String {
        let settings = generation.settings
        var text = ""
        for (listener, scheme) in zip(listeners, schemes(listeners, settings)) {
            text += "listening on \(listener.path == nil ? scheme + "://" : "")\(listener.text)\n"
        }
        if let metricsPort {
            let address = settings.monitoring.metricsAddress
            let host = address.utf8.contains(UInt8(ascii: ":")) ? "[\(address)]" : address
            text += "metrics on http://\(host):\(metricsPort)/metrics\n"
        }
        for plugin in generation.plugins {
            let kinds = plugin.image.extensions.map(\.id).joined(separator: ", ")
            text += "plugin \(plugin.settings.name) \(plugin.image.version) (\(kinds))\n"
        }
        for model in settings.models {
            text += "model \(model.name) (\(model.versions.map(\.version).joined(separator: ", ")))\n"
        }
        return text + example(settings, listeners) + "ready\n"
    }

    /// The curl line: one that works as it stands, or none.
    static func example(_ settings: Settings, _ listeners: [Listeners.Open]) -> String {
        // One without TLS, if there is one: curl would not know the certificate of the other.
        let candidates = zip(listeners, schemes(listeners, settings)).filter { $0.0.path == nil && $0.1 != "tcp" }
        guard let (listener, scheme) = candidates.first(where: { $0.1 == "http" }) ?? candidates.first,
            let request = request(settings)
        else { return "" }
        let curl = scheme == "https" ? "curl --insecure" : "curl"
        return "try: \(curl) -s \(scheme)://" + listener.text.replacingWildcard + request + "\n"
    }

    /// The path, and curl's options behind it. Best of a model that is asked in the Open Inference Protocol, else a
    /// list that the gateway itself answers, else a path that is passed on; nil where no adapter has any.
    static func request(_ settings: Settings) -> String? {
        let adapters = settings.pipeline.adapters.map(\.name)
        if adapters.contains("open-inference") { return modelRequest(settings) ?? "/v2/models" }
        if adapters.contains("rest-predict") || adapters.contains("openai") { return "/v1/models" }
        return adapters.contains("passthrough") ? passedPath(settings) : nil
    }

    /// Metadata of the first model that has some: its endpoints speak the protocol, or it is served in this process.
    private static func modelRequest(_ settings: Settings) -> String? {
        for model in settings.models where isPlain(model.name) {
            for version in model.versions where version.backend != nil || speaksOpenInference(version) {
                var path = "/v2/models/\(model.name)"
                if model.versions.count > 1 {
                    guard isPlain(version.version) else { continue }
                    path += "/versions/\(version.version)"
                }
                guard model.name == "iris", version.backend != nil else { return path }
                return """
                    \(path)/infer -H 'Content-Type: application/json' \
                    -d '{"inputs":[{"name":"input","datatype":"FP32","shape":[1,4],"data":[5.1,3.5,1.4,0.2]}]}'
                    """
            }
        }
        return nil
    }

    private static func speaksOpenInference(_ version: Settings.VersionSettings) -> Bool {
        version.protocolAdapter?.name == "open-inference"
    }

    /// The first route of `passthrough` that asks for nothing but a prefix.
    private static func passedPath(_ settings: Settings) -> String? {
        guard let plugin = settings.plugins.first(where: { $0.name == "passthrough" }),
            case .sequence(let routes, _) = plugin.config["routes"]
        else { return nil }
        for route in routes where route["host"] == nil && route["header"] == nil {
            if case .scalar(let prefix, _, _) = route["prefix"], prefix.hasPrefix("/"),
                prefix.split(separator: "/").allSatisfy(isPlain)
            {
                return prefix
            }
        }
        return nil
    }

    /// Means the same in a path and to a shell: the unreserved characters of RFC 3986 §2.3.
    private static func isPlain(_ name: some StringProtocol) -> Bool {
        name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "~"):
                true
            default: false
            }
        }
    }

    /// Of each listener, in the order of `open`.
    static func schemes(_ open: [Listeners.Open], _ settings: Settings) -> [String] {
        var left = settings.listeners
        return open.map { listener in
            guard let place = left.firstIndex(where: { $0.address == listener.address }) else { return "http" }
            let found = left.remove(at: place)
            return found.adapter != nil ? "tcp" : found.tls == nil ? "http" : "https"
        }
    }
}

extension Node {
    fileprivate subscript(key: String) -> Node? {
        guard case .mapping(let entries, _) = self else { return nil }
        return entries.first { $0.key == key }?.value
    }
}

extension String {
    /// An address that a client can connect to, for one that stands for all.
    fileprivate var replacingWildcard: String {
        if hasPrefix("0.0.0.0:") { return "127.0.0.1:" + dropFirst(8) }
        if hasPrefix("[::]:") { return "[::1]:" + dropFirst(5) }
        return self
    }
}

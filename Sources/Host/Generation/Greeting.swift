import Configuration

/// The curl line that `serve` prints: one that works as it stands, for a model that this process serves itself.
enum Greeting {
    static func example(_ settings: Settings, _ listeners: [Listeners.Open]) -> String {
        // One without TLS, if there is one: curl would not know the certificate of the other.
        let candidates = zip(listeners, schemes(listeners, settings)).filter { $0.0.path == nil && $0.1 != "tcp" }
        guard let (listener, scheme) = candidates.first(where: { $0.1 == "http" }) ?? candidates.first else {
            return ""
        }
        let isSecured = scheme == "https"
        let curl = isSecured ? "curl --insecure" : "curl"
        let place = "\(scheme)://" + listener.text.replacingWildcard
        let v2 = settings.pipeline.adapters.contains { $0.name == "open-inference" }
        guard let model = settings.models.first else { return "try: \(curl) \(place)/\n" }
        if v2, model.name == "iris" {
            return """
                try: \(curl) -s \(place)/v2/models/iris/infer -H 'Content-Type: application/json' \
                -d '{"inputs":[{"name":"input","datatype":"FP32","shape":[1,4],"data":[5.1,3.5,1.4,0.2]}]}'

                """
        }
        return v2 ? "try: \(curl) -s \(place)/v2/models/\(model.name)\n" : "try: \(curl) -i \(place)/\n"
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

extension String {
    /// An address that a client can connect to, for one that stands for all.
    fileprivate var replacingWildcard: String {
        if hasPrefix("0.0.0.0:") { return "127.0.0.1:" + dropFirst(8) }
        if hasPrefix("[::]:") { return "[::1]:" + dropFirst(5) }
        return self
    }
}

import Configuration

/// The curl line that `serve` prints: one that works as it stands, for a model that this process serves itself.
enum Greeting {
    static func example(_ settings: Settings, _ listeners: [Listeners.Open]) -> String {
        guard let listener = listeners.first(where: { $0.path == nil && $0.adapter == nil }) else { return "" }
        let place = listener.text.replacingWildcard
        let v2 = settings.pipeline.adapters.contains { $0.name == "open-inference" }
        guard let model = settings.models.first else { return "try: curl http://\(place)/\n" }
        if v2, model.name == "iris" {
            return """
                try: curl -s http://\(place)/v2/models/iris/infer -H 'Content-Type: application/json' \
                -d '{"inputs":[{"name":"input","datatype":"FP32","shape":[1,4],"data":[5.1,3.5,1.4,0.2]}]}'

                """
        }
        return v2 ? "try: curl -s http://\(place)/v2/models/\(model.name)\n" : "try: curl -i http://\(place)/\n"
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

/// Who may be asked what.
enum AdminRole: Sendable {
    /// The Unix socket, which only its owner can open.
    case control
    /// The metrics listener: whoever reaches it may read metrics, and nothing else.
    case metrics
}

/// The answers, apart from the sockets.
enum AdminRoutes {
    static func answer(_ request: AdminRequest, role: AdminRole, plane: any ControlPlane) -> AdminResponse {
        let asText = request.query.split(separator: "&").contains("format=text")
        switch (request.path, role) {
        case ("/metrics", _):
            guard reads(request) else { return notAllowed("GET, HEAD") }
            return AdminResponse(
                status: 200, contentType: "text/plain; version=0.0.4; charset=utf-8", body: plane.metricsText())
        case ("/healthz", _):
            guard reads(request) else { return notAllowed("GET, HEAD") }
            return AdminResponse(200, "ok")
        case ("/status", .control):
            guard reads(request) else { return notAllowed("GET, HEAD") }
            let report = plane.status()
            return asText
                ? AdminResponse(
                    status: 200, contentType: "text/plain; charset=utf-8", body: Array(report.text.utf8))
                : AdminResponse(status: 200, contentType: "application/json", body: report.json)
        case ("/reload", .control):
            guard request.method == "POST" else { return notAllowed("POST") }
            let outcome = plane.reload()
            let status = outcome.succeeded ? 200 : 422
            return asText
                ? AdminResponse(
                    status: status, contentType: "text/plain; charset=utf-8", body: Array(outcome.text.utf8))
                : AdminResponse(status: status, contentType: "application/json", body: outcome.json)
        case (_, .control): return AdminResponse(404, "known: GET /status, POST /reload, GET /metrics, GET /healthz")
        case (_, .metrics): return AdminResponse(404, "known: GET /metrics, GET /healthz")
        }
    }

    private static func reads(_ request: AdminRequest) -> Bool {
        request.method == "GET" || request.method == "HEAD"
    }

    private static func notAllowed(_ methods: String) -> AdminResponse {
        AdminResponse(405, "takes \(methods)", allow: methods)
    }
}

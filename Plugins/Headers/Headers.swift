import SluicePlugin

/// Sets, appends, removes and renames fields of requests and responses.
///
///     config:
///       request:
///         remove: [ x-debug ]
///         rename: { x-user: x-client-user }
///         set: { x-tenant: $(tenant) }
///         append: { x-forwarded-for: $(peer_address) }
///       response:
///         set: { x-model: $(model)/$(version), cache-control: no-store }
struct Headers: Filter {
    static let plugin = PluginDescription(
        name: "headers", version: "0.1.0", vendor: "Sluice", licence: "Apache-2.0")

    private let request: Edits
    private let response: Edits

    init(_ context: Context) throws(PluginError) {
        try context.config.allow(["request", "response"])
        request = try Edits(context.config["request"], ofResponse: false)
        response = try Edits(context.config["response"], ofResponse: true)
    }

    mutating func onRequest(
        _ request: MutableRequest, answer: MutableResponse, exchange: Exchange
    ) throws(PluginError) -> FilterVerdict {
        try self.request.remove(.request, exchange)
        try self.request.rename(in: request.message, .request, exchange)
        try self.request.put(.request, request.request, exchange)
        // Now rather than with the response: errors, which filters do not see, have these fields, too.
        try putEarly(request.request, exchange)
        return .pass
    }

    mutating func onResponse(
        _ response: MutableResponse, to request: Request, exchange: Exchange
    ) throws(PluginError) -> FilterVerdict {
        // The answer of a filter before this one, such as a cache's, comes without them.
        if !exchange.isAsked { try putEarly(request, exchange) }
        if let message = response.response.message { try self.response.rename(in: message, .response, exchange) }
        try self.response.putLate(request, response.response, exchange)
        return .pass
    }

    /// What can be said of the response without knowing it.
    private func putEarly(_ request: Request, _ exchange: Exchange) throws(PluginError) {
        try response.remove(.response, exchange)
        try response.put(.response, request, exchange)
    }
}

@c(sluice_plugin_entry) public func entry(host: UInt32) -> PluginEntry { export(host, Headers.self) }

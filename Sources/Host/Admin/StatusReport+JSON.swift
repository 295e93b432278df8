extension StatusReport {
    /// What `GET /status` answers.
    var json: [UInt8] {
        var json = JSONText()
        json.object { root in
            root.member("version", version)
            root.member("pid", pid)
            root.key("uptime_seconds")
            root.value(uptimeSeconds)
            root.member("configuration", configuration)
            root.list("generations", generations) { json, generation in
                json.member("number", generation.number)
                json.member("state", generation.state.rawValue)
                json.member("exchanges", generation.exchanges)
            }
            root.key("listeners")
            root.array { list in for listener in listeners { list.value(listener) } }
            root.list("plugins", plugins) { json, plugin in
                json.member("name", plugin.name)
                json.member("library", plugin.library)
                json.member("version", plugin.version)
                json.member("sha256", plugin.sha256)
                json.key("extensions")
                json.array { list in for id in plugin.extensions { list.value(id) } }
                json.key("degraded")
                json.value(plugin.degraded)
            }
            root.list("models", models) { json, model in
                json.member("name", model.name)
                json.list("versions", model.versions) { $0.write($1) }
            }
            root.list("workers", workers) { json, worker in
                json.member("connections", worker.connections)
                json.member("exchanges", worker.exchanges)
            }
            root.list("images", images) { json, image in
                json.member("sha256", image.sha256)
                json.member("path", image.path)
                json.member("bytes", image.bytes)
            }
        }
        return json.bytes + [UInt8(ascii: "\n")]
    }
}

extension JSONText {
    fileprivate mutating func write(_ version: StatusReport.Version) {
        member("name", version.name)
        if let backend = version.backend { member("backend", backend) }
        member("queued", version.queued)
        member("under_way", version.underWay)
        if version.limit != .max { member("limit", version.limit) }
        if let breaker = version.breaker { member("breaker", breaker) }
        list("endpoints", version.endpoints) { json, endpoint in
            json.member("address", endpoint.address)
            json.member("weight", endpoint.weight)
            if !endpoint.zone.isEmpty { json.member("zone", endpoint.zone) }
            json.key("healthy")
            json.value(endpoint.healthy)
            json.key("ejected")
            json.value(endpoint.ejected)
            if let breaker = endpoint.breaker { json.member("breaker", breaker) }
            json.member("in_flight", endpoint.inFlight)
            json.member("requests", endpoint.requests)
            json.member("failures", endpoint.failures)
            json.member("ewma_ns", endpoint.ewmaNs)
        }
        if let discovery = version.discovery {
            key("discovery")
            object { json in
                json.member("plugin", discovery.plugin)
                json.member("updates", discovery.updates)
                json.member("sets", discovery.sets)
                json.member("failures", discovery.failures)
                json.member("refused", discovery.refused)
                json.member("empty_kept", discovery.kept)
                if let staleness = discovery.stalenessNs {
                    json.key("staleness_seconds")
                    json.value(Double(staleness) / 1e9)
                }
                json.key("degraded")
                json.value(!discovery.trouble.isEmpty)
                if !discovery.trouble.isEmpty { json.member("trouble", discovery.trouble) }
            }
        }
    }

    fileprivate mutating func member(_ name: String, _ text: String) {
        key(name)
        value(text)
    }

    fileprivate mutating func member(_ name: String, _ number: some BinaryInteger) {
        key(name)
        value(number)
    }

    /// An array of objects.
    fileprivate mutating func list<Element>(
        _ name: String, _ elements: [Element], _ body: (inout JSONText, Element) -> Void
    ) {
        key(name)
        array { list in
            for element in elements { list.object { body(&$0, element) } }
        }
    }
}

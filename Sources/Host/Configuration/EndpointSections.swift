/// `endpoints:` of a version: each an address, or a mapping that says more about it.
extension Settings.VersionSettings {
    mutating func readEndpoints(_ section: Section) {
        var described = SectionShape()
        if section.isDescribing {
            described = Section.describe { inner in
                var entry = EndpointEntry()
                entry.read(inner)
            }
        }
        let list = Shape.list(.either([.text(.endpoint), .section(described)]), atLeast: 1)
        let meaning =
            "Where the version is served: `http://host:port`, `grpc://host:port` for gRPC and whatever else goes over "
            + "HTTP/2, `https://` and `grpcs://` for the same over TLS, `tcp://host:port` for a protocol of messages "
            + "over raw TCP, which `protocol` frames, or `unix:path` for HTTP over a Unix socket; or a mapping of such "
            + "an `address` with a `weight` and a `zone`."
        var seen: Set<Settings.EndpointSettings.Target> = []
        for item in section.take("endpoints", list, meaning)?.items ?? [] {
            var entry = EndpointEntry()
            if item.text != nil { entry.address = item } else { Section.read(item, section.reading) { entry.read($0) } }
            guard let endpoint = entry.endpoint(section), let address = entry.address else { continue }
            if let first = endpoints.first, first.scheme != endpoint.scheme {
                section.reading.error(
                    address.position,
                    "the endpoints of a version speak one protocol, and this one is not `\(first.scheme.rawValue)` as "
                        + "the first is; make a version of its own")
                continue
            }
            if seen.insert(endpoint.target.canonical).inserted {
                endpoints.append(endpoint)
                endpointPositions.append(address.position)
            } else {
                section.reading.error(address.position, "the same endpoint stands twice in this version; keep one")
            }
        }
    }
}

/// One entry of `endpoints`.
private struct EndpointEntry {
    var address: Node?
    var weight = 1
    var zone = ""

    mutating func read(_ section: Section) {
        address = section.take("address", .text(.endpoint), required: true, "As an entry of `endpoints` that is text.")
        section.integer(
            "weight", into: &weight, 1...65_535, "Its share of the version's requests, for balancers that weigh.")
        zone =
            section.text("zone", .zone, initially: "not known", "Where it runs, to be compared with `gateway.zone`.")
            ?? zone
    }

    func endpoint(_ section: Section) -> Settings.EndpointSettings? {
        guard let address, let text = address.text,
            case .success(var endpoint) = Settings.EndpointSettings.parse(text)
        else { return nil }
        if case .unix(let path) = endpoint.target {
            let absolute = section.reading.absolute(path)
            section.checkSocketPath(absolute, address.position)
            endpoint.target = .unix(path: absolute)
            endpoint.text = "unix:" + absolute
        }
        endpoint.weight = weight
        endpoint.zone = zone
        return endpoint
    }
}

extension TextForm {
    /// Names of zones become labels of status; those of clouds look like `eu-central-1a`.
    static let zone = TextForm(
        expectation: "a name of 1 to 63 letters, digits, `.`, `_`, `/` or `-` that begins with a letter or a digit",
        pattern: "^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$"
    ) { text in
        guard let first = text.utf8.first, isAlphanumeric(first), text.utf8.count <= 63 else { return .misfits }
        return text.utf8.allSatisfy { isAlphanumeric($0) || ".-_/".utf8.contains($0) } ? .fits : .misfits
    }
}

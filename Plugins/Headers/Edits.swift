import SluicePlugin
import SluiceRouting

/// What is done to the fields of one direction, in this order: remove, rename, set, append.
struct Edits {
    struct Rename {
        var old: KeptText
        var new: KeptText
    }
    struct Value {
        var name: KeptText
        var template: Template
        /// It waits for the answer: its value tells of that, or it comes behind an edit of its field that does.
        var isLate = false
        /// It is set without the answer, too: for errors, and to be set again when the answer is there.
        var isEarlyToo = false
    }

    private(set) var removed: [KeptText] = []
    private(set) var renamed: [Rename] = []
    private(set) var set: [Value] = []
    private(set) var appended: [Value] = []

    /// The host carries out 32 edits an exchange for all plugins together: this leaves room for others, and for fields
    /// that a renaming finds several times.
    static let atMost = 12

    init(_ config: Configuration, ofResponse: Bool) throws(PluginError) {
        try config.allow(["set", "append", "remove", "rename"])
        var names: [String] = []
        /// What happens to a field must not depend on an order that nobody sees.
        func once(_ name: String, _ place: Configuration) throws(PluginError) -> String {
            if names.contains(where: { KeptText($0).equalsIgnoringCase(KeptText(name)) }) {
                throw place.error("the field `\(name)` is set, removed or renamed already")
            }
            names.append(name)
            return name
        }
        for entry in try config["remove"].elements() {
            removed.append(KeptText(try once(try entry.fieldName(), entry)))
        }
        for (old, entry) in try config["rename"].members() {
            try Self.check(old, entry)
            let new = try entry.fieldName()
            if KeptText(old).equalsIgnoringCase(KeptText(new)) {
                throw entry.error("the field `\(old)` would keep its name")
            }
            renamed.append(Rename(old: KeptText(try once(old, entry)), new: KeptText(new)))
        }
        for rename in renamed where renamed.contains(where: { $0.old.equalsIgnoringCase(rename.new) }) {
            throw config["rename"].error(
                "the field `\(String(rename.new))` is renamed itself: give each its last name at once")
        }
        for (name, entry) in try config["set"].members() {
            try Self.check(name, entry)
            let template = try Template(entry, ofResponse: ofResponse)
            if renamed.contains(where: { $0.new.equalsIgnoringCase(KeptText(name)) }) {
                throw entry.error("another field is renamed to `\(name)`: append to it, or do not rename")
            }
            set.append(
                Value(
                    name: KeptText(try once(name, entry)), template: template,
                    isLate: ofResponse && (template.needsResponse || template.namesID),
                    isEarlyToo: !template.needsResponse))
        }
        for (name, entry) in try config["append"].members() {
            try Self.check(name, entry)
            let template = try Template(entry, ofResponse: ofResponse)
            let kept = KeptText(name)
            // A field is renamed when the answer is there, and one that is set then takes the place of all before it.
            let isBehind =
                renamed.contains { $0.new.equalsIgnoringCase(kept) }
                || set.contains { $0.isLate && $0.name.equalsIgnoringCase(kept) }
            let isLate = template.needsResponse || template.namesID || isBehind
            appended.append(Value(name: kept, template: template, isLate: ofResponse && isLate))
        }
        if !ofResponse { try checkHost(config) }
        let twice = set.count { $0.isLate && $0.isEarlyToo }
        let count = removed.count + renamed.count + set.count + twice + appended.count
        if count > Self.atMost { throw config.error("\(count) edits; at most \(Self.atMost) a direction") }
    }

    /// A request has exactly one Host (RFC 9112 §3.2), which can be set and nothing else.
    private func checkHost(_ config: Configuration) throws(PluginError) {
        let host = KeptText("host")
        if removed.contains(where: { $0.equalsIgnoringCase(host) })
            || renamed.contains(where: { $0.old.equalsIgnoringCase(host) || $0.new.equalsIgnoringCase(host) })
            || appended.contains(where: { $0.name.equalsIgnoringCase(host) })
        {
            throw config.error("a request has exactly one `host`: it can be `set`, not removed, renamed or appended")
        }
    }

    private static func check(_ name: String, _ place: Configuration) throws(PluginError) {
        guard KeptText(name).withBytes({ $0.isToken }) else {
            throw place.error("`\(name)` is no field's name: it has letters, digits and !#$%&'*+-.^_`|~ alone")
        }
        if KeptText(name).withBytes({ $0.isFieldOfConnection }) {
            throw place.error("only the gateway itself writes the field `\(name)`: it belongs to one connection")
        }
    }

    // MARK: Carrying out

    func remove(_ side: Side, _ exchange: Exchange) throws(PluginError) {
        for index in removed.indices {
            try removed[index].withBytes { name throws(PluginError) in try exchange.removeField(side, name) }
        }
    }

    /// Sets and appends what can be said without knowing the answer: of a request everything.
    func put(_ side: Side, _ request: Request, _ exchange: Exchange) throws(PluginError) {
        for index in set.indices where !set[index].isLate || set[index].isEarlyToo {
            try put(set[index], side, request, nil, exchange, adds: false)
        }
        for index in appended.indices where !appended[index].isLate {
            try put(appended[index], side, request, nil, exchange, adds: true)
        }
    }

    /// Gives the fields of `message` that are renamed their new names.
    func rename(in message: Message, _ side: Side, _ exchange: Exchange) throws(PluginError) {
        for index in renamed.indices {
            let rename = renamed[index]
            var found = false
            for field in message.fields where rename.old.equalsIgnoringCase(field.name) {
                found = true
                let value = field.value.trimmed
                try rename.new.withBytes { name throws(PluginError) in try exchange.addField(side, name, value) }
            }
            if found {
                try rename.old.withBytes { name throws(PluginError) in try exchange.removeField(side, name) }
            }
        }
    }

    /// Sets and appends what the answer had to be there for.
    func putLate(_ request: Request, _ response: Response, _ exchange: Exchange) throws(PluginError) {
        for index in set.indices where set[index].isLate {
            try put(set[index], .response, request, response, exchange, adds: false)
        }
        for index in appended.indices where appended[index].isLate {
            try put(appended[index], .response, request, response, exchange, adds: true)
        }
    }

    private func put(
        _ entry: Value, _ side: Side, _ request: Request, _ response: Response?, _ exchange: Exchange, adds: Bool
    ) throws(PluginError) {
        if let literal = entry.template.literal {
            try literal.withBytes { value throws(PluginError) in
                try put(entry.name, value, side, exchange, adds: adds)
            }
            return
        }
        var writer = exchange.writer(capacity: 64)
        entry.template.write(request, response, exchange, to: &writer)
        let value = try writer.finish().trimmed
        guard value.isFieldValue else {
            throw exchange.error(.invalidArgument) { message in
                message.append("the value for the field ")
                entry.name.withBytes { message.append($0) }
                message.append(" would hold a control character")
            }
        }
        if value.isEmpty {
            // Nothing to say. What a client wrote there must not stand for it.
            if !adds {
                try entry.name.withBytes { name throws(PluginError) in try exchange.removeField(side, name) }
            }
            return
        }
        try put(entry.name, value, side, exchange, adds: adds)
    }

    private func put(
        _ name: KeptText, _ value: Bytes, _ side: Side, _ exchange: Exchange, adds: Bool
    ) throws(PluginError) {
        try name.withBytes { name throws(PluginError) in
            if adds {
                try exchange.addField(side, name, value)
            } else {
                try exchange.setField(side, name, value)
            }
        }
    }
}

/// `plugin_path`, `plugins` and `pipeline`: what is loaded, and the chain made of it.
extension Settings {
    mutating func readPlugins(_ section: Section) {
        let path = section.take(
            "plugin_path", .either([.null, .list(.text(.path), atLeast: 0)]), initially: "nothing",
            "Directories searched for a `library` without a slash, before the executable's; the first hit counts.")
        for entry in path?.items ?? [] {
            guard let directory = entry.text else { continue }
            pluginPath.append(section.reading.absolute(directory))
            pluginPathPositions.append(entry.position)
        }
        section.sections("plugins", initially: "the shipped chain, without `pipeline`", "What is loaded.") {
            readPlugin($0)
        }
    }

    private mutating func readPlugin(_ section: Section) {
        let name = section.take(
            "name", .text(.name), required: true, "How the rest of the file refers to the plugin.")
        let library = section.take(
            "library", .text(.path), required: true,
            "The shared library: a file name searched in `plugin_path`, or a path.")
        let pin = section.text(
            "sha256", .sha256, initially: "not pinned", "A pin in hexadecimal: any other content is refused.")
        var allowGroupWritable = false
        section.boolean(
            "allow_group_writable", into: &allowGroupWritable, "Takes a library that its group may write.")
        let config = section.take("config", .anything, initially: "null", "Handed to the plugin, unread by the host.")
        guard let name, let text = name.text else { return }
        let reading = section.reading
        if let first = reading.plugins[text] {
            reading.error(
                name.position, "two plugins are named \(reading.shown(name)), first on line \(first.line); rename one")
            return
        }
        reading.plugins[text] = name.position
        if !reading.isSecret(name) { reading.shownPlugins.append(text) }
        guard let library, let libraryText = library.text else { return }
        var plugin = PluginSettings(
            name: text,
            library: libraryText.utf8.contains(UInt8(ascii: "/")) ? reading.absolute(libraryText) : libraryText,
            config: config ?? .scalar("", quoted: false, section.position), position: name.position,
            libraryPosition: library.position)
        plugin.sha256 = pin.flatMap(hexadecimalBytes)
        plugin.allowGroupWritable = allowGroupWritable
        plugins.append(plugin)
    }

    mutating func readPipeline(_ section: Section) {
        section.section("pipeline", initially: "the shipped chain, without `plugins`", "The links of the chain.") {
            inner in
            let errors = inner.reading.diagnostics.count
            pipeline.adapters = inner.links("adapters", "Protocols; the first that claims a request takes it.") ?? []
            pipeline.hasRefusedAdapters = inner.reading.diagnostics.count > errors
            pipeline.filters = inner.links("filters", "Pass, change or answer requests, in order.") ?? []
            pipeline.routers = inner.links("router", "Chooses model, version and pool.") ?? []
            pipeline.balancer = inner.link("balancer", "Chooses the endpoint of a pool.") ?? nil
            pipeline.batcher = inner.link("batcher", "Decides when a batch is full.") ?? nil
            pipeline.observers = inner.links("observers", "See each finished exchange.") ?? []
        }
    }
}

extension Section {
    /// A link of one plugin. Nil when the key is absent, `.some(nil)` when it takes the link out.
    func link(_ key: String, initially: String = "not in the chain", _ meaning: String) -> Settings.PluginReference?? {
        let nothing = Shape.list(.text(.pluginName), atLeast: 0)
        let shape = Shape.either([.null, .text(.pluginName), nothing])
        guard let node = take(key, shape, initially: initially, meaning) else { return nil }
        let items = node.items ?? (node.isNull ? [] : [node])
        guard items.count <= 1 else {
            reading.error(node.position, "`\(key)` takes one plugin, not \(items.count); keep one")
            return nil
        }
        return .some(items.first.flatMap(reading.reference))
    }

    /// A link of any number of plugins, given as one name or a list. Nil when the key is absent.
    func links(_ key: String, initially: String = "not in the chain", _ meaning: String) -> [Settings.PluginReference]?
    {
        let shape = Shape.either([.null, .text(.pluginName), .list(.text(.pluginName), atLeast: 0)])
        guard let node = take(key, shape, initially: initially, meaning) else { return nil }
        var references: [Settings.PluginReference] = []
        var names: Set<String> = []
        for item in node.items ?? (node.isNull ? [] : [node]) {
            guard let reference = reading.reference(item) else { continue }
            if names.insert(reference.name).inserted {
                references.append(reference)
            } else {
                reading.error(item.position, "\(reading.shown(item)) stands twice in `\(key)`; keep one")
            }
        }
        return references
    }
}

extension Reading {
    /// The entry of `plugins` that a text names, or nil after an error.
    func reference(_ node: Node) -> Settings.PluginReference? {
        guard let name = node.text else { return nil }
        guard plugins[name] != nil else {
            let advice = guess(for: node, among: shownPlugins).map { "did you mean `\($0)`?" }
            error(node.position, "no plugin is named \(shown(node)); \(advice ?? "list it under `plugins`")")
            return nil
        }
        return Settings.PluginReference(name: name, position: node.position)
    }
}

import SluicePlugin

/// What somebody is given: a priority, and for some models another pool than that of all.
struct Rule {
    struct Pool {
        /// Whose requests go there.
        var from: UInt32
        var model: UInt32
        /// Nil: the next router chooses.
        var version: Int?
    }

    /// 0 (highest) to 9.
    var priority: UInt32
    var pools: [Pool] = []

    func pool(for model: UInt32) -> Int? {
        for index in pools.indices where pools[index].from == model { return index }
        return nil
    }

    init(priority: UInt32) { self.priority = priority }

    /// Reads `{ priority: 0, pools: { iris: { model: iris-fast, version: "1" } } }`, or a priority alone.
    init(_ config: Configuration, _ models: Models) throws(PluginError) {
        guard config.kind == .mapping else {
            priority = UInt32(try config.integer(in: 0...9))
            return
        }
        try config.allow(["priority", "pools"])
        if config["priority"].isNull { throw config.error("'priority' is missing: 0, the highest, to 9") }
        priority = UInt32(try config["priority"].integer(in: 0...9))
        for (name, target) in try config["pools"].members() {
            try target.allow(["model", "version"])
            let from = try models.id(of: name, at: target)
            var pool = Pool(from: from, model: from)
            if !target["model"].isNull {
                pool.model = try models.id(of: try target["model"].text(), at: target["model"])
            }
            let model = models.all[Int(pool.model)]
            if !target["version"].isNull {
                let asked = try target["version"].text()
                pool.version = KeptText(asked).withBytes { model.version(askedFor: $0) }
                if pool.version == nil {
                    throw target["version"].error("model '\(String(model.name))' has no version or label '\(asked)'")
                }
            } else if pool.model == from {
                throw target.error("a pool is a `version`, another `model`, or both")
            }
            pools.append(pool)
        }
    }
}

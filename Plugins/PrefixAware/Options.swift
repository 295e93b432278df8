import SluicePlugin

/// What the operator says, checked; of the plugin's entry, which balancer and filter share.
///
///     config: { block_bytes: 256, max_blocks: 64, entries: 65536, imbalance: { factor: 1.5, absolute: 8 } }
struct Options {
    /// Names of members that hold the prompt.
    let fields: [KeptText]
    /// Of a tensor that holds it; empty: the first one of texts.
    let tensor: KeptText
    let blockBytes: Int
    let maxBlocks: Int
    /// Blocks that must be warm for an endpoint to be preferred.
    let minBlocks: Int
    /// Prefixes that are remembered.
    let entries: Int
    /// A warm endpoint is passed over when it has more under way than `factor` times its share of all, and `absolute`
    /// more than it.
    let factor: Float
    let absolute: Float

    init(_ context: Context) throws(PluginError) {
        let config = context.config
        try config.allow([
            "fields", "tensor", "block_bytes", "max_blocks", "min_blocks", "entries", "imbalance",
        ])
        let names = config["fields"]
        var fields: [KeptText] = []
        for element in try names.elements() {
            let name = try element.text()
            if name.isEmpty { throw element.error("a member's name is not empty") }
            fields.append(KeptText(name))
        }
        if fields.isEmpty {
            guard names.isNull else { throw names.error("the list is empty; leave it out for the usual names") }
            // OpenAI's API, and Triton's `generate`.
            fields = ["messages", "prompt", "input", "text_input"].map { KeptText($0) }
        }
        // Each member of a body is compared with all.
        guard fields.count <= 16 else { throw names.error("more than 16 names") }
        self.fields = fields
        tensor = KeptText(try config.text("tensor", default: ""))
        // About 64 tokens, four of vLLM's blocks: smaller ones find a shared prefix more exactly and fill the table
        // faster.
        let block = Int(try config.integer("block_bytes", default: 256, in: 32...8_192))
        guard block % 8 == 0 else { throw config["block_bytes"].error("\(block) is no multiple of 8") }
        blockBytes = block
        // 16 KiB of a prompt: a system prompt and some turns. Two prompts that agree so far are warm in one place.
        maxBlocks = Int(try config.integer("max_blocks", default: 64, in: 1...512))
        minBlocks = Int(try config.integer("min_blocks", default: 1, in: 1...512))
        guard minBlocks <= maxBlocks else {
            throw config["min_blocks"].error("\(minBlocks) is more than 'max_blocks', \(maxBlocks)")
        }
        // 16 bytes each: 1 MiB a pool, the host's bound on a block of state, for 16 MiB of different prompts or some 4
        // million tokens, which is more than the caches of a dozen GPUs hold.
        entries = Int(try config.integer("entries", default: 65_536, in: 1_024...65_536))
        let imbalance = config["imbalance"]
        try imbalance.allow(["factor", "absolute"])
        // Half as much again as its share; and a handful of requests, lest an almost idle pool trip over chance.
        factor = Float(try imbalance.number("factor", default: 1.5, in: 1...100))
        absolute = Float(try imbalance.number("absolute", default: 8, in: 0...10_000))
    }
}

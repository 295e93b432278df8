/// Tokens that an answer says it took and made.
public struct TokenUsage: BitwiseCopyable, Equatable, Sendable {
    public var prompt: UInt64
    public var completion: UInt64
    public var total: UInt64

    public init(prompt: UInt64 = 0, completion: UInt64 = 0, total: UInt64 = 0) {
        self.prompt = prompt
        self.completion = completion
        self.total = total
    }

    public var isZero: Bool { prompt == 0 && completion == 0 && total == 0 }

    /// Takes over what is larger in `other`: counts of one answer only grow.
    mutating func raise(to other: TokenUsage) {
        prompt = max(prompt, other.prompt)
        completion = max(completion, other.completion)
        total = max(total, other.total)
    }

    /// What has come since `earlier`, which is nowhere larger.
    func since(_ earlier: TokenUsage) -> TokenUsage {
        TokenUsage(
            prompt: prompt - earlier.prompt, completion: completion - earlier.completion, total: total - earlier.total)
    }
}

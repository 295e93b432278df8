import Rules
import SluiceABI

/// The rules that plugins compiled in a fake host: the gateway's own language.
final class FakeRules {
    /// What the operator declared.
    var functions: [NativeFunction] = []
    private var kept: [Rule] = []

    static func table() -> sluice_rules {
        sluice_rules(
            struct_size: UInt32(MemoryLayout<sluice_rules>.size), reserved: 0,
            compile: { context, node, source, rule, needs in
                let host = FakeHost.of(context)
                let found = FakeConfiguration.node(node)
                do throws(RuleError) {
                    let made = try Rule(
                        source.data == nil ? found?.text ?? "" : text(source), functions: host.rules.functions)
                    host.rules.kept.append(made)
                    rule?.pointee = OpaquePointer(made.handle)
                    needs?.pointee =
                        (made.mayNeedBody ? SLUICE_RULE_NEEDS_BODY : 0) | (made.callsFunctions ? SLUICE_RULE_CALLS : 0)
                    return SLUICE_OK
                } catch {
                    host.configurationError(found?.path ?? "", "column \(error.column) of the rule: \(error.message)")
                    return SLUICE_INVALID_ARGUMENT
                }
            },
            evaluate: { context, rule, exchange, request, holds in
                guard let rule, let request else { return SLUICE_INVALID_ARGUMENT }
                let view = RequestView(
                    request, context: context, exchange: exchange,
                    allocate: { context, exchange, size in
                        FakeExchange.of(exchange).allocate(size, bound: FakeHost.of(context).arenaBound)
                    })
                switch Rule.evaluate(UnsafeRawPointer(rule), view) {
                case .needsBody: return SLUICE_NEED_BODY
                case .noMemory: return SLUICE_RESOURCE_EXHAUSTED
                case .holds: holds?.pointee = true
                case .fails: holds?.pointee = false
                }
                return SLUICE_OK
            })
    }
}

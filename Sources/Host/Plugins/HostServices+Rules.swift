import Rules
import SluiceABI

extension HostServices {
    static let rules = sluice_rules(
        struct_size: size(sluice_rules.self), reserved: 0,
        compile: { context, node, text, rule, needs in
            guard let context = InstanceContext.from(context), context.isCreating, let rule else {
                return SLUICE_INVALID_ARGUMENT
            }
            switch context.compile(ConfigurationNode.from(node), text) {
            case .success(let made):
                rule.pointee = OpaquePointer(made.handle)
                needs?.pointee =
                    (made.mayNeedBody ? SLUICE_RULE_NEEDS_BODY : 0) | (made.callsFunctions ? SLUICE_RULE_CALLS : 0)
                return SLUICE_OK
            case .failure(let status): return status.status
            }
        },
        evaluate: { _, rule, exchange, request, holds in
            guard let rule, let request, let holds, let allocate = memory.arena_alloc else {
                return SLUICE_INVALID_ARGUMENT
            }
            let view = RequestView(request, context: nil, exchange: exchange, allocate: allocate)
            switch Rule.evaluate(UnsafeRawPointer(rule), view) {
            case .holds: holds.pointee = true
            case .fails: holds.pointee = false
            case .needsBody: return SLUICE_NEED_BODY
            case .noMemory:
                CurrentWorker.get()?.setFailure(sluice_bytes("the exchange's bound on memory is reached"))
                return SLUICE_RESOURCE_EXHAUSTED
            }
            return SLUICE_OK
        })
}

extension InstanceContext {
    /// Reasonable chains have tens of rules; a thousand are evaluated in 100 microseconds.
    static let rulesAtMost = 1_024

    struct RefusedRule: Error { var status: sluice_status }

    /// Compiles a rule that lives as long as this context. Errors are reported at the node. [main]
    func compile(_ node: ConfigurationNode?, _ text: sluice_bytes) -> Result<Rule, RefusedRule> {
        guard rules.count < Self.rulesAtMost else {
            report(node, "more than \(Self.rulesAtMost) rules; make several plugins of it")
            return .failure(RefusedRule(status: SLUICE_RESOURCE_EXHAUSTED))
        }
        let source: String
        if text.data != nil {
            source = text.text
        } else if case .scalar(let value, _, _)? = node?.node {
            source = value
        } else {
            report(node, "expected a rule, such as: method == \"POST\" and body_size > 1000000")
            return .failure(RefusedRule(status: SLUICE_INVALID_ARGUMENT))
        }
        do throws(RuleError) {
            let rule = try Rule(source, functions: functions)
            rules.append(rule)
            return .success(rule)
        } catch {
            report(node, "column \(error.column) of the rule: \(error.message)")
            return .failure(RefusedRule(status: SLUICE_INVALID_ARGUMENT))
        }
    }
}

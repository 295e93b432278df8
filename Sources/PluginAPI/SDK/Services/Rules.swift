import SluiceABI

/// What a rule says about a request.
@frozen
public enum RuleVerdict: Sendable {
    case holds
    case fails
    /// What the rule reads of the body decides, and the body is not decoded yet: a router returns `needsBody`, a filter
    /// asks for bodies beforehand.
    case needsBody
}

/// A rule of the gateway's rule language (Docs/rules.md), which the host compiled. Made in `init` by
/// `Configuration.rule()`; valid as long as the instance.
@frozen
public struct Rule: @unchecked Sendable {
    /// The verdict may be `needsBody`.
    public let needsBody: Bool
    /// It calls native functions that the operator declared.
    public let callsFunctions: Bool
    @usableFromInline let handle: OpaquePointer
    @usableFromInline let services: UnsafePointer<HostServices>
    @usableFromInline let table: UnsafePointer<sluice_rules>

    /// Evaluates the rule. On the worker. Throws only when the exchange's bound on memory is reached.
    @inlinable
    public func verdict(on request: Request, _ exchange: Exchange) throws(PluginError) -> RuleVerdict {
        var holds = false
        let status = table.pointee.evaluate.unsafelyUnwrapped(
            services.pointee.context, handle, exchange.handle, request.pointer, &holds)
        if status == SLUICE_OK { return holds ? .holds : .fails }
        if status == SLUICE_NEED_BODY { return .needsBody }
        throw PluginError(ErrorCode(status: status), "a rule cannot be evaluated")
    }
}

extension Configuration {
    /// This node as a rule. What is wrong with it is reported here, with the column.
    public func rule() throws(PluginError) -> Rule {
        if isNull { throw error("a rule is missing") }
        guard let table = services.pointee.rules else {
            throw error("this gateway has no rules (sluice.rules/1); use a newer one")
        }
        var handle: OpaquePointer?
        var needs: UInt32 = 0
        let status = table.pointee.compile.unsafelyUnwrapped(
            services.pointee.context, node, Bytes().raw, &handle, &needs)
        guard status == SLUICE_OK, let handle else {
            throw PluginError(ErrorCode(status: status), "the plugin's configuration is wrong")
        }
        return Rule(
            needsBody: needs & SLUICE_RULE_NEEDS_BODY != 0, callsFunctions: needs & SLUICE_RULE_CALLS != 0,
            handle: handle, services: services, table: table)
    }
}

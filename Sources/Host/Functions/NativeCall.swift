import CFFI
import Rules

/// A function of a library as libffi calls it, prepared once: the call itself allocates nothing. Lives as long as the
/// generation that declared it. [main]
final class NativeCall {
    /// What the call needs, at an address that stays.
    private struct Prepared {
        /// First, so that its address is that of the whole.
        var interface = ffi_cif()
        var function: UnsafeMutableRawPointer
    }

    private let prepared: UnsafeMutablePointer<Prepared>
    private let types: UnsafeMutablePointer<UnsafeMutablePointer<ffi_type>?>
    private let signature: NativeSignature

    /// Nil when libffi does not know how to call such a function.
    init?(_ function: UnsafeMutableRawPointer, _ signature: NativeSignature) {
        self.signature = signature
        let parameters = signature.parameters.flatMap { Self.types(of: $0) }
        types = .allocate(capacity: max(parameters.count, 1))
        for (index, type) in parameters.enumerated() { (types + index).initialize(to: type) }
        prepared = .allocate(capacity: 1)
        prepared.initialize(to: Prepared(function: function))
        guard let result = Self.types(of: signature.result).first,
            cffi_prepare(Self.interface(prepared), UInt32(parameters.count), result, types)
        else { return nil }
    }

    deinit {
        prepared.deallocate()
        types.deallocate()
    }

    /// What rules compile against; it must not outlive this object.
    func function(named name: String) -> NativeFunction {
        NativeFunction(
            name: name, signature: signature, context: prepared,
            call: { context, arguments, result in
                guard let context else { return }
                let prepared = context.assumingMemoryBound(to: Prepared.self)
                cffi_call(NativeCall.interface(prepared), prepared.pointee.function, result, arguments)
            })
    }

    private static func interface(_ prepared: UnsafeMutablePointer<Prepared>) -> UnsafeMutablePointer<ffi_cif> {
        UnsafeMutableRawPointer(prepared).assumingMemoryBound(to: ffi_cif.self)
    }

    /// The arguments of C that a parameter is: bytes are an address and a count.
    private static func types(of type: NativeType) -> [UnsafeMutablePointer<ffi_type>?] {
        let all = NativeType.allCases
        func known(_ type: NativeType) -> UnsafeMutablePointer<ffi_type>? {
            all.firstIndex(of: type).flatMap { cffi_type(UInt32($0)) }
        }
        return type == .bytes ? [known(.bytes), known(.u64)] : [known(type)]
    }
}

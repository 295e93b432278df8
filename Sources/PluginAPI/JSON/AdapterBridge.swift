import SluiceABI
import SluicePlugin

extension PluginError {
    /// A failure as the SDK reports it: its text goes to the exchange's arena.
    public init(_ failure: CodecFailure, _ exchange: Exchange) {
        let code = ErrorCode(status: failure.status)
        do throws(CodecFailure) {
            let text = try exchange.arena.allocate(UInt8.self, count: CodecFailure.maximumTextSize)
            let size = failure.write(
                to: UnsafeMutableBufferPointer(start: text, count: CodecFailure.maximumTextSize))
            self.init(code, Bytes(sluice_bytes(data: text, size: size)))
        } catch {
            self.init(code, failure.reason)
        }
    }
}

extension Exchange {
    /// The exchange's arena, for code over the header.
    @inline(__always)
    public var arena: ExchangeArena {
        let (table, context) = memory
        return ExchangeArena(memory: table, context: context, exchange: handle)
    }
}

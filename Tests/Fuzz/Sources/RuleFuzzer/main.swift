// A rule, a NUL, and a body: any bytes give a rule or an error at a column of the text, and a rule gives an outcome for
// any body, the same one each time, without a read beyond what the request has.
import FuzzDriver
import Rules
import SluiceABI

let add = NativeFunction(
    name: "add", signature: try NativeSignature.parse("u64(u64, bytes)"), context: nil,
    call: { _, arguments, result in
        var sum = arguments[0].map { $0.loadUnaligned(as: UInt64.self) } ?? 0
        let start = UnsafePointer<UInt8>(bitPattern: arguments[1].map { $0.loadUnaligned(as: UInt.self) } ?? 0)
        let size = arguments[2].map { $0.loadUnaligned(as: Int.self) } ?? 0
        if let start { for index in 0..<size { sum = sum &* 31 &+ UInt64(start[index]) } }
        result.storeBytes(of: sum, as: UInt64.self)
    })

/// Texts that rules make, freed after each input.
final class Arena {
    var blocks: [UnsafeMutableRawPointer] = []
    deinit { for block in blocks { block.deallocate() } }
}

func check(_ error: RuleError, _ text: String) {
    expect(error.column >= 1 && error.column <= text.unicodeScalars.count + 1, "a column is one of the text")
    expect(!error.message.isEmpty && error.message.utf8.count < 1024, "an error has words, and a bounded number")
    expect(error.message.unicodeScalars.allSatisfy { $0.value >= 0x20 }, "a message is one line")
}

func outcome(_ rule: Rule, _ body: UnsafeBufferPointer<UInt8>, isThere: Bool) -> RuleOutcome {
    let bytes = sluice_bytes(data: body.baseAddress, size: body.count)
    var tensor = sluice_tensor()
    tensor.name = bytes
    tensor.datatype = UInt32(body.first ?? 0) % 16
    tensor.rank = 1
    tensor.data = bytes
    let shape = [Int64(body.count)]
    let field = sluice_field(name: bytes, value: bytes)
    let arena = Arena()
    return withUnsafePointer(to: bytes) { piece in
        withUnsafePointer(to: tensor) { tensor in
            withUnsafePointer(to: field) { field in
                shape.withUnsafeBufferPointer { shape in
                    var described = tensor.pointee
                    described.shape = shape.baseAddress
                    return withUnsafePointer(to: described) { tensor in
                        var message = sluice_message()
                        message.method = bytes
                        message.path = bytes
                        message.query = bytes
                        message.fields = field
                        message.field_count = 1
                        message.body_state = UInt32(isThere ? SLUICE_BODY_WHOLE : SLUICE_BODY_STREAMING)
                        message.body_size = UInt64(body.count)
                        message.body = isThere ? piece : nil
                        message.body_count = isThere ? 1 : 0
                        return withUnsafePointer(to: message) { message in
                            var request = sluice_request()
                            request.message = message
                            request.tenant = bytes
                            request.payload.kind = UInt32(isThere ? SLUICE_PAYLOAD_TENSORS : SLUICE_PAYLOAD_STREAM)
                            request.payload.tensors = tensor
                            request.payload.tensor_count = isThere ? 1 : 0
                            return withUnsafePointer(to: request) { request in
                                let view = RequestView(
                                    request, context: Unmanaged.passUnretained(arena).toOpaque(), exchange: nil,
                                    allocate: { context, _, size in
                                        guard let context else { return nil }
                                        let block = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 16)
                                        Unmanaged<Arena>.fromOpaque(context).takeUnretainedValue().blocks.append(block)
                                        return block
                                    })
                                return withExtendedLifetime(arena) { rule.evaluate(view) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fuzz { data, count in
    let input = UnsafeBufferPointer(start: data, count: count)
    let end = input.firstIndex(of: 0) ?? count
    let text = String(decoding: input[..<end], as: UTF8.self)
    do throws(RuleError) { _ = try NativeSignature.parse(text) } catch { check(error, text) }
    let rule: Rule
    do throws(RuleError) {
        rule = try Rule(text, functions: [add])
    } catch {
        check(error, text)
        return 0
    }
    let body = UnsafeBufferPointer(rebasing: input[min(end + 1, count)...])
    let once = outcome(rule, body, isThere: true)
    expect(once == .holds || once == .fails, "with the body there a rule holds or fails")
    expect(outcome(rule, body, isThere: true) == once, "the same request, the same outcome")
    let streaming = outcome(rule, body, isThere: false)
    expect(rule.mayNeedBody || streaming != .needsBody, "a rule that reads heads alone needs no body")
    return 0
}

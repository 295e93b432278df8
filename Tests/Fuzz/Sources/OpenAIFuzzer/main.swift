// Bodies and answers of OpenAI's API. A body whose model is found can be given another one, and then names that; what
// an answer's usage is does not depend on where the answer is cut, and for a JSON text it is what a reader of whole
// texts finds. The first byte says where to cut.
import FuzzArena
import FuzzDriver
import OpenAICodec
import SluiceABI
import SluiceJSON

func model(_ body: sluice_bytes, _ arena: ExchangeArena) -> ModelField? {
    var isAboutModel = false
    return try? ModelField.find(in: body, arena: arena, isAboutModel: &isAboutModel)
}

/// Gives the body of a request another name, as on the way to a backend, and reads that.
func rename(_ body: sluice_bytes, _ field: ModelField, _ arena: ExchangeArena) {
    expect(!field.name.isEmpty && field.start >= 0 && field.start < field.end && field.end <= body.size, "a place")
    var writer = JSONWriter(arena: arena)
    do throws(CodecFailure) {
        try writer.append(body.slice(0, field.start))
        try writer.string("other\"\\")
        try writer.append(body.slice(field.end, body.size - field.end))
        let again = model(try writer.finishContiguous(), arena)
        expect(again?.name.equals("other\"\\") ?? false, "the body names the other model")
    } catch {
        expect(false, "a name can be put in place of another")
    }
}

func usage(_ type: StaticString, _ pieces: [sluice_bytes]) -> TokenUsage {
    var sum = TokenUsage()
    guard var watch = UsageWatch(contentType: .literal(type)) else {
        expect(false, "the type is read")
        return sum
    }
    for piece in pieces {
        watch.feed(piece)
        let new = watch.takeNew()
        sum.prompt += new.prompt
        sum.completion += new.completion
        sum.total += new.total
    }
    return sum
}

/// The `usage` of an object; nil where keys are repeated, which readers take as they like.
func counts(_ json: inout JSONReader, _ found: inout TokenUsage) throws(CodecFailure) -> Bool {
    var values: [UInt64?] = [nil, nil, nil]
    var isFirst = true
    try json.beginObject()
    while let key = try json.nextKey(&isFirst) {
        let names: [[StaticString]] = [
            ["prompt_tokens", "input_tokens"], ["completion_tokens", "output_tokens"], ["total_tokens"],
        ]
        let index = names.firstIndex { $0.contains { key.equals($0) } }
        let text = try json.skip()
        guard let index else { continue }
        guard values[index] == nil else { return false }
        let isCount = text.buffer.allSatisfy { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }
        guard isCount, let value = UInt64(String(decoding: text.buffer, as: UTF8.self)), value <= 1_000_000_000_000
        else { continue }
        values[index] = value
    }
    found = TokenUsage(
        prompt: values[0] ?? 0, completion: values[1] ?? 0, total: values[2] ?? (values[0] ?? 0) + (values[1] ?? 0))
    return true
}

/// What a reader of whole texts finds at the top; nil for what is no such text.
func reference(_ text: sluice_bytes, _ arena: ExchangeArena) -> TokenUsage? {
    do throws(CodecFailure) {
        var json = JSONReader(text, arena: arena)
        var found: TokenUsage?
        var isFirst = true
        try json.beginObject()
        while let key = try json.nextKey(&isFirst) {
            // The scanner also looks into `response`.
            if key.equals("response") { return nil }
            if key.equals("usage"), try json.peek() == .object {
                guard found == nil else { return nil }
                var one = TokenUsage()
                guard try counts(&json, &one) else { return nil }
                found = one
            } else {
                try json.skip()
            }
        }
        try json.finish()
        return found ?? TokenUsage()
    } catch {
        return nil
    }
}

fuzz { data, count in
    guard let data, count > 0 else { return 0 }
    let text = sluice_bytes(data: data + 1, size: count - 1)
    let memory = BoundedArena()
    if let field = model(text, memory.arena) { rename(text, field, memory.arena) }

    let cut = min(Int(data[0]), text.size)
    let halves = [text.slice(0, cut), text.slice(cut, text.size - cut)]
    let bytes = (0..<text.size).map { text.slice($0, 1) }
    for type in ["application/json", "text/event-stream"] as [StaticString] {
        let whole = usage(type, [text])
        expect(usage(type, halves) == whole, "a cut makes no difference")
        expect(usage(type, bytes) == whole, "cuts everywhere make no difference")
    }
    if let expected = reference(text, memory.arena) {
        expect(usage("application/json", [text]) == expected, "the usage is what a reader finds")
    }
    return 0
}

import SluiceABI
import SluiceJSON

/// The gateway's models as the API lists them.
enum ModelText {
    /// `{"object":"list","data":[…]}` of those names that `options` counts as the API's.
    static func writeList(
        _ metadata: sluice_metadata, _ options: OpenAIOptions, into message: inout sluice_message,
        arena: ExchangeArena
    ) throws(CodecFailure) {
        var json = JSONWriter(arena: arena)
        try json.raw("{\"object\":\"list\",\"data\":[")
        var isFirst = true
        for index in 0..<Int(metadata.version_count) {
            guard let name = metadata.versions?[index], options.covers(name) else { continue }
            if !isFirst { try json.raw(",") }
            isFirst = false
            try write(name, &json)
        }
        try json.raw("]}")
        MessageFields.setJSON(on: &message)
        try MessageFields.setBody(&json, on: &message)
    }

    /// The one that is asked for; fails when the gateway has none by that name.
    static func writeModel(
        _ name: sluice_bytes, of metadata: sluice_metadata, into message: inout sluice_message, arena: ExchangeArena
    ) throws(CodecFailure) {
        let isKnown = (0..<Int(metadata.version_count)).contains { index in
            metadata.versions?[index].equals(name) ?? false
        }
        guard isKnown else {
            throw CodecFailure("there is no model", status: SLUICE_NOT_FOUND, httpStatus: 404, subject: name)
        }
        var json = JSONWriter(arena: arena)
        try write(name, &json)
        MessageFields.setJSON(on: &message)
        try MessageFields.setBody(&json, on: &message)
    }

    /// `created` has to be there; the gateway knows of no time at which a model was made.
    private static func write(_ name: sluice_bytes, _ json: inout JSONWriter) throws(CodecFailure) {
        try json.raw("{\"id\":")
        try json.string(name)
        try json.raw(",\"object\":\"model\",\"created\":0,\"owned_by\":\"sluice\"}")
    }
}

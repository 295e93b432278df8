import SluiceABI
import SluiceJSON

/// Messages that are passed on with some of their fields changed: everything else goes on as it came, unread.
public enum ProtobufSplice {
    /// Appends the fields of `message` but those with the numbers given, as few views as can be.
    public static func append(
        _ message: sluice_bytes, without first: UInt32, _ second: UInt32 = 0, _ third: UInt32 = 0,
        to writer: inout ProtobufWriter
    ) throws(CodecFailure) {
        var reader = ProtobufReader(message)
        var kept = 0
        var end = 0
        while let field = try reader.next() {
            if field.number == first || field.number == second || field.number == third {
                try writer.append(message.slice(kept, field.start - kept))
                kept = field.end
            }
            end = field.end
        }
        try writer.append(message.slice(kept, end - kept))
    }
}

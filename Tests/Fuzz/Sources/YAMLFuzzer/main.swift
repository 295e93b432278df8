// A configuration file: any bytes give settings or at least one error, each at a place of the file and within the
// bounds, and the same bytes give the same answer.
import Configuration
import FuzzDriver

/// What a file's `${NAME}` may refer to: an empty value, a plain one, and one that YAML would read as a mapping.
let environment = ["EMPTY": "", "PORT": "8080", "SECRET": "{a: [1, 2]}\n- &x *x"]
let reader = ConfigurationReader(environment: environment)

fuzz { data, count in
    let text = Array(UnsafeBufferPointer(start: data, count: count))
    let result = reader.read(text: text, name: "fuzz.yaml", directory: "/")
    let errors = result.diagnostics.filter { $0.severity == .error }
    expect((result.settings == nil) == !errors.isEmpty, "a file is refused with a reason, and for no other cause")
    // As many lines as any reading of line ends allows: CR, LF and the two separators of Unicode all end one.
    let lines = 1 + count
    for diagnostic in result.diagnostics {
        let position = diagnostic.position
        expect(!diagnostic.message.isEmpty, "a diagnostic has words")
        expect(position.line >= 1 && position.column >= 1, "positions count from one")
        if position.file == "fuzz.yaml" {
            expect(position.line <= lines + 1 && position.column <= count + 2, "a position is in the file")
        }
        expect(diagnostic.description.utf8.count <= 4096 + 8 * count, "a diagnostic is bounded by the file")
        expect(!diagnostic.description.utf8.contains(10), "a diagnostic is one line")
    }
    let again = reader.read(text: text, name: "fuzz.yaml", directory: "/")
    expect(
        again.diagnostics.map(\.description) == result.diagnostics.map(\.description),
        "the same bytes give the same answer")
    return 0
}

import Testing

@testable import Host

@Suite struct RedactionTests {
    @Test(
        arguments: [
            (["fast"], "'fast' is no preset: expected vllm", "what the environment gave is no preset: expected vllm"),
            (["fast"], "fast, `fast` and breakfast", "\(given), \(given) and breakfast"),
            (["correct horse"], "x-correct horses", "x-\(given)s"),
            (["1"], "1 of 16, at most 1", "\(given) of 16, at most \(given)"),
            (["secret", "secret-secret"], "secret-secret secret", "\(given) \(given)"),
            (["'"], "it's", "it's"), ([""], "nothing", "nothing"), (["é"], "é, née", "\(given), née"),
            (["none"], "", ""), ([], "'fast'", "'fast'"),
        ] as [([String], String, String)]) func noSecretStays(secrets: [String], message: String, cleaned: String)
    {
        var redaction = Redaction()
        for secret in secrets { redaction.add(secret) }
        #expect(redaction.clean(message) == cleaned)
    }

    @Test(arguments: [
        ("header(\"x\") == \"s3cret\"", "column 16: `\"s3cret\"` is a text", "column 16: \(given) is a text"),
        ("a$(hunter2)", "'hunter2' is not known; known are 'model'", "\(given) is not known; known are 'model'"),
        ("hunter2", "hunter2 and 'hunter' and '' and '", "\(given) and \(given) and '' and '"),
    ]) func noPieceOfTheValueInQuestionIsQuoted(secret: String, message: String, cleaned: String) {
        var redaction = Redaction()
        redaction.add(secret)
        #expect(redaction.clean(message, about: secret) == cleaned)
    }
}

private let given = Redaction.replacement

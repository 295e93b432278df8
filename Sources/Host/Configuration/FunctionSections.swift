extension Settings {
    /// A function of a shared library that rules may call.
    public struct FunctionSettings: Sendable {
        /// As rules call it.
        public var name: String
        /// A path (absolute after reading), or a name that the system's linker finds.
        public var library: String
        public var symbol: String
        /// In the words of the rule language: `u64(u64, bytes)`.
        public var signature: String
        public var position: Position
        public var libraryPosition: Position
        public var symbolPosition: Position
        public var signaturePosition: Position
    }

    /// Functions of one file. Each rule looks its names up once, at load.
    static let functionBound = 256

    mutating func readFunctions(_ section: Section) {
        section.sections(
            "functions", initially: "no function beside the language's own",
            "Functions of shared libraries that rules may call; see rules.md."
        ) { readFunction($0) }
    }

    private mutating func readFunction(_ section: Section) {
        let name = section.take("name", .text(.functionName), required: true, "How rules call the function.")
        let library = section.take(
            "library", .text(.path), required: true,
            "The shared library: a path, or a name that the system's linker finds, such as `libz.so.1`.")
        let symbol = section.take(
            "symbol", .text(.symbol), initially: "the name", "The function's name in the library.")
        let signature = section.take(
            "signature", .text(.anything), required: true,
            "Result and parameters: `u64(u64, bytes)`. Types are `i8` to `i64`, `u8` to `u64`, `f32`, `f64`, `bool` "
                + "and, as a parameter, `bytes`: an address and a 64-bit count.")
        guard let name, let nameText = name.text else { return }
        if let first = functions.first(where: { $0.name == nameText }) {
            section.reading.error(
                name.position,
                "two functions are named \(section.reading.shown(name)), first on line \(first.position.line); "
                    + "rename one")
            return
        }
        guard let library, let libraryText = library.text, let signature, let signatureText = signature.text else {
            return
        }
        guard functions.count < Self.functionBound else {
            section.reading.error(name.position, "more than \(Self.functionBound) functions; remove some")
            return
        }
        functions.append(
            FunctionSettings(
                name: nameText,
                library: libraryText.utf8.contains(UInt8(ascii: "/"))
                    ? section.reading.absolute(libraryText) : libraryText,
                symbol: symbol?.text ?? nameText, signature: signatureText, position: name.position,
                libraryPosition: library.position, symbolPosition: symbol?.position ?? name.position,
                signaturePosition: signature.position))
    }
}

extension TextForm {
    /// A word of the rule language, which may not be one that it has already: the loader knows those.
    static let functionName = TextForm(
        expectation: "a word of 1 to 64 letters, digits and `_` that begins with a letter or `_`",
        pattern: "^[A-Za-z_][A-Za-z0-9_]{0,63}$"
    ) { text in
        guard let first = text.utf8.first, !(0x30...0x39).contains(first), text.utf8.count <= 64 else {
            return .misfits
        }
        return text.utf8.allSatisfy { isAlphanumeric($0) || $0 == UInt8(ascii: "_") } ? .fits : .misfits
    }

    /// Mangled names of C++ and Swift are long, and have `$` and dots.
    static let symbol = TextForm(
        expectation: "the name of a symbol, of 1 to 1024 visible characters", pattern: "^[!-~]{1,1024}$"
    ) { text in
        (1...1024).contains(text.utf8.count) && text.utf8.allSatisfy { (0x21...0x7E).contains($0) } ? .fits : .misfits
    }
}

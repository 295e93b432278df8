/// How clients name the versions of a model.
extension Model {
    /// Index of the version of that name, or of the one that the label of that name stands for.
    public func version(named name: Bytes) -> Int? {
        let versions = versions
        for index in versions.indices where versions[index].name == name { return index }
        for label in labels where label.name == name { return label.version }
        return nil
    }

    /// Index of the version that a request asks for by that name: a version, a label, or `latest` where no version or
    /// label has that name.
    public func version(askedFor name: Bytes) -> Int? {
        version(named: name) ?? (name == "latest" ? latestVersion : nil)
    }

    /// Index of the highest version; the first one when the model has but one.
    public var latestVersion: Int {
        let versions = versions
        var best = 0
        for index in versions.indices.dropFirst()
        where Self.precedes(versions[best].name, versions[index].name) { best = index }
        return best
    }

    /// Whether version `left` is older than `right`: runs of digits compare as numbers, all else byte by byte, so that
    /// 9 comes before 10 and v1.9 before v1.10.
    static func precedes(_ left: Bytes, _ right: Bytes) -> Bool {
        var a = left
        var b = right
        while let x = a.first, let y = b.first {
            if isDigit(x), isDigit(y) {
                let m = number(&a)
                let n = number(&b)
                if m.count != n.count { return m.count < n.count }
                for index in m.indices where m[index] != n[index] { return m[index] < n[index] }
            } else if x != y {
                return x < y
            } else {
                a = a.dropFirst()
                b = b.dropFirst()
            }
        }
        return a.isEmpty && !b.isEmpty
    }

    private static func isDigit(_ byte: UInt8) -> Bool { byte &- 0x30 < 10 }

    /// Takes the digits off the front, and gives them back without leading zeros.
    private static func number(_ text: inout Bytes) -> Bytes {
        var end = 0
        while let byte = text.at(end), isDigit(byte) { end += 1 }
        var start = 0
        while start + 1 < end, text[start] == 0x30 { start += 1 }
        let digits = text[start..<end]
        text = text.dropFirst(end)
        return digits
    }
}

extension Exchange {
    /// Why a request cannot be served that asks for a version that its model has not.
    public func unknownVersion(_ name: Bytes, of model: Model) -> PluginError {
        error(.notFound) { message in
            message.append("model '")
            message.append(model.name)
            message.append("' has no version or label '")
            message.append(name.textPrefix(128))
            message.append("'")
        }
    }
}

import Foundation

/// A JSON value as tests look at it; what is not there is null.
struct JSON: @unchecked Sendable {
    let value: Any?

    init(_ text: String) throws {
        value = try JSONSerialization.jsonObject(with: Data(text.utf8), options: [.fragmentsAllowed])
    }

    private init(value: Any?) { self.value = value }

    subscript(_ key: String) -> JSON { JSON(value: (value as? [String: Any])?[key]) }
    subscript(_ index: Int) -> JSON {
        let list = value as? [Any] ?? []
        return JSON(value: list.indices.contains(index) ? list[index] : nil)
    }

    var array: [JSON] { (value as? [Any] ?? []).map { JSON(value: $0) } }
    var keys: [String] { (value as? [String: Any] ?? [:]).keys.sorted() }
    var text: String? { value as? String }
    var number: Double? { (value as? NSNumber)?.doubleValue }
    var integer: Int? { (value as? NSNumber)?.intValue }
    var bool: Bool? { value as? Bool }
    var numbers: [Double] { array.compactMap(\.number) }
    var integers: [Int] { array.compactMap(\.integer) }

    /// The element of a list whose `name` is that.
    func named(_ name: String) -> JSON { array.first { $0["name"].text == name } ?? JSON(value: nil) }
}

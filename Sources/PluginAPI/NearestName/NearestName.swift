/// Longer names are not compared with the known ones, each of which costs up to the square of the length: no key, word
/// or name that somebody types is as long.
private let lengthAtMost = 64

/// The known name that someone most likely meant, for errors that ask "did you mean": by the distance of Damerau and
/// Levenshtein in its restricted form (optimal string alignment: insert, delete, replace, swap two neighbours), at most
/// a third of the letters. Nil when none is near: a wrong guess is worse than none. It allocates: for reading
/// configurations.
public func nearestName(to name: String, among known: some Sequence<String>) -> String? {
    let wanted = Array(name.lowercased().unicodeScalars)
    guard !wanted.isEmpty, wanted.count <= lengthAtMost else { return nil }
    var best: (name: String, distance: Int)?
    for candidate in known {
        let scalars = Array(candidate.lowercased().unicodeScalars)
        let allowed = max(1, min(wanted.count, scalars.count) / 3)
        guard scalars.count <= lengthAtMost, abs(scalars.count - wanted.count) <= allowed else { continue }
        let distance = editDistance(wanted, scalars)
        if distance <= allowed, distance < best?.distance ?? .max { best = (candidate, distance) }
    }
    return best?.name
}

private func editDistance(_ left: [Unicode.Scalar], _ right: [Unicode.Scalar]) -> Int {
    var beforePrevious = [Int](repeating: 0, count: right.count + 1)
    var previous = Array(0...right.count)
    for row in 0..<left.count {
        var current = [row + 1]
        current.reserveCapacity(right.count + 1)
        for column in 0..<right.count {
            let replaced = previous[column] + (left[row] == right[column] ? 0 : 1)
            var distance = min(replaced, previous[column + 1] + 1, current[column] + 1)
            if row > 0, column > 0, left[row] == right[column - 1], left[row - 1] == right[column] {
                distance = min(distance, beforePrevious[column - 1] + 1)
            }
            current.append(distance)
        }
        beforePrevious = previous
        previous = current
    }
    return previous[right.count]
}

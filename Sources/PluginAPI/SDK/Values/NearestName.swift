/// The known name that someone most likely meant, for errors that ask "did you mean": the one with the fewest letters
/// to insert, delete or replace (the distance of Levenshtein), at most a third of them. Nil when none is near. For
/// `init`: it allocates.
public func nearestName(to name: String, among known: some Sequence<String>) -> String? {
    let wanted = Array(name.lowercased().unicodeScalars.prefix(65))
    guard !wanted.isEmpty, wanted.count <= 64 else { return nil }
    var best: (name: String, distance: Int)?
    for candidate in known {
        let letters = Array(candidate.lowercased().unicodeScalars)
        guard letters.count <= 64 else { continue }
        var row = Array(0...letters.count)
        for (index, letter) in wanted.enumerated() {
            var diagonal = row[0]
            row[0] = index + 1
            for column in letters.indices {
                let replaced = diagonal + (letter == letters[column] ? 0 : 1)
                diagonal = row[column + 1]
                row[column + 1] = min(replaced, diagonal + 1, row[column] + 1)
            }
        }
        let allowed = max(1, min(wanted.count, letters.count) / 3)
        if row[letters.count] <= allowed, row[letters.count] < best?.distance ?? .max {
            best = (candidate, row[letters.count])
        }
    }
    return best?.name
}

import Glibc
import SluicePlugin

/// The numbers of a linear classifier.
struct LinearClassifier {
    let features: [String]
    let classes: [String]
    /// One line of weights after the other, a line for each class.
    let weights: [Double]
    let intercepts: [Double]

    /// Bounds of a model in the configuration: what a person still writes into a YAML file.
    static let maximumFeatures = 1_024
    static let maximumClasses = 256

    /// Reads a model from a version's `config:`, or takes the one of Iris flowers when there is none.
    init(_ config: Configuration) throws(PluginError) {
        if config.isNull {
            features = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
            classes = IrisWeights.classes
            weights = IrisWeights.weights.flatMap { $0 }
            intercepts = IrisWeights.intercepts
            return
        }
        try config.allow(["features", "classes", "weights", "intercepts"])
        features = try Self.names(config["features"], "features", 1...Self.maximumFeatures)
        classes = try Self.names(config["classes"], "classes", 2...Self.maximumClasses)
        intercepts = try Self.numbers(
            config["intercepts"], classes.count, "intercepts must have a number for each class")
        let lines = try config["weights"].elements()
        guard lines.count == classes.count else {
            throw config["weights"].error("weights must have a line for each of the \(classes.count) classes")
        }
        var all: [Double] = []
        for line in lines {
            all += try Self.numbers(line, features.count, "a line of weights must have a number for each feature")
        }
        weights = all
    }

    /// The index of the likeliest class of a row, and the probabilities in `scores`. Nil when they are no numbers.
    func classify(_ table: Table, _ row: Int, into scores: MutableView<Double>) -> Int? {
        let width = features.count
        var likeliest = 0
        for index in 0..<classes.count {
            var score = intercepts[index]
            for feature in 0..<width {
                score += weights[index * width + feature] * table.values[row * width + feature]
            }
            guard score.isFinite else { return nil }
            scores[index] = score
            if score > scores[likeliest] { likeliest = index }
        }
        // The top score is taken away first, so that no power overflows.
        let top = scores[likeliest]
        var total = 0.0
        for index in 0..<classes.count {
            scores[index] = exp(scores[index] - top)
            total += scores[index]
        }
        for index in 0..<classes.count { scores[index] /= total }
        return likeliest
    }

    private static func names(
        _ node: Configuration, _ key: String, _ count: ClosedRange<Int>
    ) throws(PluginError) -> [String] {
        let elements = try node.elements()
        guard count.contains(elements.count) else {
            throw node.error("\(key) must be a list of \(count.lowerBound) to \(count.upperBound) names")
        }
        var names: [String] = []
        for element in elements { names.append(try element.text()) }
        return names
    }

    private static func numbers(
        _ node: Configuration, _ count: Int, _ message: String
    ) throws(PluginError) -> [Double] {
        let elements = try node.elements()
        guard elements.count == count else { throw node.error("\(message): \(count) in all") }
        var numbers: [Double] = []
        for element in elements {
            let number = try element.number()
            guard number.isFinite else { throw element.error("expected a finite number") }
            numbers.append(number)
        }
        return numbers
    }
}

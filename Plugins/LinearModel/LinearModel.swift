import SluicePlugin

/// A linear classifier, served in this process: softmax(weights · x + intercepts).
///
/// Without configuration it classifies Iris flowers. A version's `config:` brings another model:
///
///     features: [ width, height ]
///     classes: [ small, large ]
///     weights: [ [ -1.5, -0.5 ], [ 1.5, 0.5 ] ]     # one line for each class
///     intercepts: [ 2.0, -2.0 ]
///
/// It takes one tensor of any name and numeric type whose shape is `[rows, features]`, or one tensor for each feature,
/// by its name, of shape `[rows]` or `[rows, 1]`. It gives `label`, the index of the likeliest class, and
/// `probabilities`.
struct LinearModel: Backend {
    static let plugin = PluginDescription(
        name: "linear-model", version: "0.1.0", vendor: "Sluice", licence: "Apache-2.0")

    let model: LinearClassifier
    let description: ModelDescription

    init(_ context: Context) throws(PluginError) {
        model = try LinearClassifier(context.modelConfig)
        let features = Int64(model.features.count)
        description = ModelDescription(
            name: context.model, versions: [context.version], platform: "sluice_linear_model",
            inputs: [.init("input", .fp64, shape: [-1, features])],
            outputs: [
                .init("label", .int64, shape: [-1]),
                .init("probabilities", .fp64, shape: [-1, Int64(model.classes.count)]),
            ])
    }

    func infer(
        _ request: Request, into response: MutableResponse, exchange: Exchange
    ) throws(PluginError) -> BackendVerdict {
        let payload = request.payload
        guard payload.kind == .tensors else { throw PluginError(.invalidArgument, "the model takes tensors") }
        let rows = try table(of: payload.tensors, exchange)
        let wanted = try Outputs(payload.outputs, exchange)
        let labels = try wanted.label ? output("label", .int64, rows.rows, nil, Int64.self, response, exchange) : nil
        let probabilities =
            try wanted.probabilities
            ? output("probabilities", .fp64, rows.rows, model.classes.count, Double.self, response, exchange) : nil

        let scores = try exchange.allocate(Double.self, count: model.classes.count)
        for row in 0..<rows.rows {
            guard let likeliest = model.classify(rows, row, into: scores) else {
                throw PluginError(.invalidArgument, "a value is not a number, or too large for this model")
            }
            labels?[row] = Int64(likeliest)
            guard let probabilities else { continue }
            for index in 0..<scores.count { probabilities[row * scores.count + index] = scores[index] }
        }
        return .answered
    }

    /// Brings the inputs into one table of numbers.
    private func table(of tensors: List<Tensor>, _ exchange: Exchange) throws(PluginError) -> Table {
        let width = model.features.count
        guard let first = tensors.first else { throw PluginError(.invalidArgument, "the model takes an input tensor") }
        if tensors.count == 1 && !(width == 1 && first.shape.count == 1) {
            guard first.shape.count == 2, first.shape[1] == Int64(width) else {
                throw exchange.error(.invalidArgument) { text in
                    text.append("the input's shape must be [rows, ")
                    text.append(decimal: Int64(width))
                    text.append("]")
                }
            }
            let rows = Int(first.shape[0])
            let table = try Table(rows: rows, width: width, exchange)
            try Elements(first, count: rows * width).copy(to: table, from: 0, step: 1)
            return table
        }
        guard tensors.count == width else {
            throw PluginError(.invalidArgument, "the model takes one tensor, or one for each of its features")
        }
        let rows = first.shape.isEmpty ? -1 : Int(first.shape[0])
        let table = try Table(rows: rows, width: width, exchange)
        for (index, feature) in model.features.enumerated() {
            guard let column = tensors.first(where: { width == 1 || feature.utf8.elementsEqual($0.name) }) else {
                throw PluginError(.invalidArgument, "an input tensor has the name of no feature of the model")
            }
            let shape = column.shape
            guard shape.first == Int64(rows), shape.count == 1 || (shape.count == 2 && shape[1] == 1) else {
                throw PluginError(.invalidArgument, "all columns must have the same number of rows")
            }
            try Elements(column, count: rows).copy(to: table, from: index, step: width)
        }
        return table
    }

    private func output<Value: BitwiseCopyable>(
        _ name: StaticString, _ type: DataType, _ rows: Int, _ width: Int?, _ element: Value.Type,
        _ response: MutableResponse, _ exchange: Exchange
    ) throws(PluginError) -> MutableView<Value> {
        let tensor = try response.payload.addTensor(in: exchange)
        tensor.name = Bytes(name)
        tensor.dataType = type
        try tensor.addDimension(Int64(rows), in: exchange)
        if let width { try tensor.addDimension(Int64(width), in: exchange) }
        return try tensor.allocateElements(of: element, in: exchange)
    }
}

import SluiceABI
import SluiceJSON

/// The configuration of an instance.
public struct OpenAIOptions {
    /// Takes paths that the adapter does not know; empty: they are declined.
    let otherPathsModel: sluice_bytes
    private let models: [sluice_bytes]

    /// - Parameters:
    ///   - models: those that `/v1/models` is about; empty: all of the gateway.
    ///   - otherPathsModel: empty for none.
    public init(models names: [String] = [], otherPathsModel: String = "") {
        self.otherPathsModel = StaticText.keep(otherPathsModel)
        models = names.map { StaticText.keep($0) }
    }

    /// The routes for the host.
    public var routes: ArraySlice<OpenAIRoute> {
        otherPathsModel.isEmpty ? OpenAIRoute.all.dropLast() : OpenAIRoute.all[...]
    }

    /// Whether `/v1/models` is about the model of that name.
    func covers(_ name: sluice_bytes) -> Bool {
        if models.isEmpty { return true }
        for model in models where model.equals(name) { return true }
        return false
    }
}

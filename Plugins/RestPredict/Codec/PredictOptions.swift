import SluiceABI
import SluiceJSON

/// Where a backend of this protocol is asked.
public enum BackendPath: String, CaseIterable {
    /// `/v1/models/{model}[/versions/{version}]:predict`
    case tfserving
    /// `/v1/models/{model}:predict`: KServe's servers have no versions.
    case kserve
    /// `/v1/models/{model}/versions/{version}/predict`
    case versioned
}

/// The configuration of an instance. Copied with each use, on the way of a request: so it counts no references, and
/// whoever made it ends it.
public struct PredictOptions {
    /// The datatype of numbers with a fraction: FP64, which keeps them as they are, or FP32.
    public let float: Datatype
    /// The form of the path toward backends; nil keeps the client's, and is `tfserving` for other protocols.
    public let backendPath: BackendPath?
    /// The name of the one tensor of a request, or answer, that does not name it.
    let inputName: sluice_bytes
    let outputName: sluice_bytes
    private let named: UnsafeMutableBufferPointer<NamedDatatype>

    private struct NamedDatatype: BitwiseCopyable {
        var name: sluice_bytes
        var datatype: Datatype
    }

    /// - Parameter datatypes: of inputs whose values don't tell, such as a model of FP32 that is sent `[1, 2]`.
    public init(
        float: Datatype = .fp64, backendPath: BackendPath? = nil, inputName: String = "input-0",
        outputName: String = "output-0", datatypes: [(name: String, datatype: Datatype)] = []
    ) {
        self.float = float
        self.backendPath = backendPath
        self.inputName = StaticText.keep(inputName)
        self.outputName = StaticText.keep(outputName)
        named = .allocate(capacity: datatypes.count)
        _ = named.initialize(
            from: datatypes.map { NamedDatatype(name: StaticText.keep($0.name), datatype: $0.datatype) })
    }

    /// Frees what it holds; no copy of it is used afterwards.
    public func end() { named.deallocate() }

    func datatype(of input: sluice_bytes) -> Datatype? {
        for entry in named where entry.name.equals(input) {
            return entry.datatype
        }
        return nil
    }
}

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

/// The configuration of an instance, its texts in memory of its own.
public struct PredictOptions: ~Copyable {
    /// The datatype of numbers with a fraction: FP64, which keeps them as they are, or FP32.
    public let float: Datatype
    /// The form of the path toward backends; nil keeps the client's, and is `tfserving` for other protocols.
    public let backendPath: BackendPath?
    /// The name of the one tensor of a request, or answer, that does not name it.
    let inputName: sluice_bytes
    let outputName: sluice_bytes
    private let named: UnsafeMutableBufferPointer<NamedDatatype>
    private let text: UnsafeMutableBufferPointer<UInt8>

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
        let names = [inputName, outputName] + datatypes.map { $0.name }
        let memory = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: names.reduce(0) { $0 + $1.utf8.count })
        var used = 0
        let places = names.map { name in
            let size = name.utf8.count
            let target = UnsafeMutableBufferPointer(rebasing: memory[used..<used + size])
            _ = target.initialize(from: name.utf8)
            used += size
            return sluice_bytes(data: target.baseAddress, size: size)
        }
        text = memory
        self.inputName = places[0]
        self.outputName = places[1]
        named = .allocate(capacity: datatypes.count)
        for index in datatypes.indices {
            named.initializeElement(
                at: index, to: NamedDatatype(name: places[2 + index], datatype: datatypes[index].datatype))
        }
    }

    deinit {
        named.deallocate()
        text.deallocate()
    }

    func datatype(of input: sluice_bytes) -> Datatype? {
        for entry in named where entry.name.equals(input) {
            return entry.datatype
        }
        return nil
    }
}

import SluiceABI
import SluiceJSON

/// Reads the tensors of requests and answers, in row format (a list with one entry for each instance) and in column
/// format (one value for each tensor): TensorFlow Serving, api_rest.md, "Predict API".
struct PredictReader {
    /// Named tensors. Each name of each instance is looked for among them, in order where a client changes its order:
    /// this bounds the work for each byte of a body.
    static let maximumColumns = 256

    private let arena: ExchangeArena
    private let isRequest: Bool
    private let float: Datatype
    private let singleName: sluice_bytes

    init(_ options: PredictOptions, isRequest: Bool, arena: ExchangeArena) {
        self.init(options, isRequest, isRequest ? options.inputName : options.outputName, arena)
    }

    /// Of an answer: the one tensor of an answer that does not name it is the one output that `request` names, if it
    /// names just one. The protocol cannot be asked for outputs, so nothing else says what the tensor is.
    init(_ options: PredictOptions, answerTo request: sluice_payload, arena: ExchangeArena) {
        let asked = request.output_count == 1 ? request.outputs?.pointee.name : nil
        self.init(options, false, asked ?? options.outputName, arena)
    }

    private init(_ options: PredictOptions, _ isRequest: Bool, _ singleName: sluice_bytes, _ arena: ExchangeArena) {
        self.arena = arena
        self.isRequest = isRequest
        float = options.float
        self.singleName = singleName
    }

    /// Reads a body into a payload of tensors.
    func read(
        _ body: sluice_bytes, _ options: PredictOptions
    ) throws(CodecFailure) -> sluice_payload {
        var json = JSONReader(body, arena: arena)
        var payload = sluice_payload()
        payload.kind = UInt32(SLUICE_PAYLOAD_TENSORS)
        var tensors: ArenaList<sluice_tensor>?
        var hasSignature = false
        try json.beginObject()
        var isFirst = true
        while let key = try json.nextKey(&isFirst) {
            let isRow = key.equals(isRequest ? "instances" : "predictions")
            if isRow || key.equals(isRequest ? "inputs" : "outputs") {
                guard tensors == nil else {
                    throw CodecFailure("the tensors are given twice, the second time as", subject: key)
                }
                tensors = isRow ? try readRows(&json, options) : try readColumns(&json, options)
                payload.flags = isRow ? 0 : UInt32(SLUICE_PAYLOAD_FLAG_COLUMNS)
            } else if isRequest, key.equals("signature_name") {
                guard !hasSignature else { throw CodecFailure("a field is given twice", subject: key) }
                hasSignature = true
                try payload.setSignatureName(try json.string(), arena: arena)
            } else {
                try json.skip()
            }
        }
        try json.finish()
        guard let tensors else {
            throw CodecFailure(
                isRequest
                    ? "the request has neither 'instances' nor 'inputs'"
                    : "the answer has neither 'predictions' nor 'outputs'")
        }
        (payload.tensors, payload.tensor_count) = tensors.view
        return payload
    }

    // MARK: - One value

    private func readValue(
        _ json: inout JSONReader, _ name: sluice_bytes, _ options: PredictOptions
    ) throws(CodecFailure) -> sluice_tensor {
        let begin = json.position
        var profile = ValueProfile()
        try profile.add(&json, maximumRank: TensorShape.maximumRank, acceptsNull: !isRequest, name: name)
        let shape = try profile.shape(rows: nil, arena: arena)
        let datatype = try datatype(profile, name, options)
        json.restore(begin)
        let count = try TensorShape.elementCount(shape, of: name)
        let data = try reader(datatype, shape, count, name).read(&json, .nested)
        return tensor(name, datatype, shape, data)
    }

    private func datatype(
        _ profile: ValueProfile, _ name: sluice_bytes, _ options: PredictOptions
    ) throws(CodecFailure) -> Datatype {
        if isRequest, let configured = options.datatype(of: name) {
            return configured
        }
        return try profile.datatype(float: float, isRequest: isRequest, name: name)
    }

    private func reader(
        _ datatype: Datatype, _ shape: UnsafeBufferPointer<Int64>, _ count: Int, _ name: sluice_bytes
    ) -> TensorReader {
        TensorReader(
            datatype: datatype, shape: shape, count: count, name: name, arena: arena, acceptsNull: !isRequest,
            acceptsBase64: true)
    }

    private func tensor(
        _ name: sluice_bytes, _ datatype: Datatype, _ shape: UnsafeBufferPointer<Int64>, _ data: sluice_bytes
    ) -> sluice_tensor {
        var tensor = sluice_tensor()
        tensor.name = name
        tensor.datatype = datatype.rawValue
        tensor.rank = UInt32(shape.count)
        tensor.shape = shape.baseAddress
        tensor.data = data
        return tensor
    }

    /// Whether an object comes that names tensors, and is no `{"b64": "…"}`: bytes have that one key and a text. A
    /// tensor may have the name `b64`, too, among others in any order, or with a value that is no text.
    private func peekNames(_ json: inout JSONReader) throws(CodecFailure) -> Bool {
        guard try json.peek() == .object else { return false }
        let begin = json.position
        defer { json.restore(begin) }
        try json.beginObject()
        var isFirst = true
        guard let key = try json.nextKey(&isFirst), key.equals("b64"), try json.peek() == .string else { return true }
        try json.skip()
        return try json.nextKey(&isFirst) != nil
    }

    // MARK: - Column format

    private func readColumns(
        _ json: inout JSONReader, _ options: PredictOptions
    ) throws(CodecFailure) -> ArenaList<sluice_tensor> {
        var tensors = ArenaList<sluice_tensor>(arena: arena, limit: Self.maximumColumns)
        guard try peekNames(&json) else {
            try tensors.append(try readValue(&json, singleName, options))
            return tensors
        }
        try json.beginObject()
        var isFirst = true
        while let key = try json.nextKey(&isFirst) {
            for index in 0..<tensors.count where tensors[index].name.equals(key) {
                throw CodecFailure("a tensor is given twice", subject: key)
            }
            try tensors.append(try readValue(&json, key, options))
        }
        return tensors
    }

    // MARK: - Row format

    private struct Column: BitwiseCopyable {
        var name: sluice_bytes
        var profile = ValueProfile()
        var cells: TensorCells?
        /// The row that named it last; -1: none.
        var row = -1
    }

    private func readRows(
        _ json: inout JSONReader, _ options: PredictOptions
    ) throws(CodecFailure) -> ArenaList<sluice_tensor> {
        let begin = json.position
        try json.beginArray()
        var isFirst = true
        let hasNames = try json.nextElement(&isFirst) ? try peekNames(&json) : false
        json.restore(begin)
        var tensors = ArenaList<sluice_tensor>(arena: arena, limit: Self.maximumColumns)
        guard hasNames else {
            try tensors.append(try readValue(&json, singleName, options))
            return tensors
        }
        var columns = ArenaList<Column>(arena: arena, limit: Self.maximumColumns)
        let rows = try profileRows(&json, &columns)
        let textSize = json.offset(since: begin)
        for index in 0..<columns.count {
            var column = columns[index]
            let cell = try column.profile.shape(rows: nil, arena: arena)
            let count = try TensorShape.elementCount(cell, of: column.name)
            let datatype = try datatype(column.profile, column.name, options)
            column.cells = try TensorCells(
                reader(datatype, cell, count, column.name), cells: rows, textSize: textSize, arena: arena)
            columns[index] = column
        }
        json.restore(begin)
        try fillRows(&json, columns)
        for index in 0..<columns.count {
            let column = columns[index]
            let shape = try column.profile.shape(rows: Int64(rows), arena: arena)
            let datatype = try datatype(column.profile, column.name, options)
            try tensors.append(tensor(column.name, datatype, shape, column.cells?.data ?? sluice_bytes()))
        }
        return tensors
    }

    /// The first reading: which columns there are, and what is in them.
    private func profileRows(
        _ json: inout JSONReader, _ columns: inout ArenaList<Column>
    ) throws(CodecFailure) -> Int {
        var row = 0
        try json.beginArray()
        var isFirst = true
        while try json.nextElement(&isFirst) {
            var position = 0
            try json.beginObject()
            var isFirstKey = true
            while let key = try json.nextKey(&isFirstKey) {
                if row == 0, find(key, columns, position) == nil {
                    try columns.append(Column(name: key))
                }
                guard let index = find(key, columns, position) else {
                    throw CodecFailure("an instance has a name that the first one lacks", subject: key)
                }
                var column = columns[index]
                guard column.row != row else {
                    throw CodecFailure("an instance has a name twice", subject: key)
                }
                column.row = row
                try column.profile.add(
                    &json, maximumRank: TensorShape.maximumRank - 1, acceptsNull: !isRequest, name: key)
                columns[index] = column
                position += 1
            }
            guard position == columns.count else {
                throw CodecFailure(
                    "an instance has not all the names of the first one", offset: json.offset,
                    expected: Int64(columns.count), found: Int64(position))
            }
            row += 1
        }
        return row
    }

    /// The second reading, of what the first one has checked.
    private func fillRows(_ json: inout JSONReader, _ columns: ArenaList<Column>) throws(CodecFailure) {
        try json.beginArray()
        var isFirst = true
        while try json.nextElement(&isFirst) {
            var position = 0
            try json.beginObject()
            var isFirstKey = true
            while let key = try json.nextKey(&isFirstKey) {
                guard let index = find(key, columns, position) else {
                    throw CodecFailure("an instance has a name that the first one lacks", subject: key)
                }
                var column = columns[index]
                try column.cells?.read(&json)
                columns[index] = column
                position += 1
            }
        }
    }

    /// The column of that name; most clients name them in the same order each time.
    private func find(_ key: sluice_bytes, _ columns: ArenaList<Column>, _ likely: Int) -> Int? {
        if likely < columns.count, columns[likely].name.equals(key) {
            return likely
        }
        for index in 0..<columns.count where columns[index].name.equals(key) {
            return index
        }
        return nil
    }
}

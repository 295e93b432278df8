import Foundation

/// A small name server on loopback, over UDP and TCP, that says what its script says: also nothing, garbage, and
/// answers to questions that nobody asked.
final class FakeNameServer: @unchecked Sendable {
    struct Record: Sendable {
        var name: String
        var type: UInt16
        var ttl: UInt32
        var data: [UInt8]

        static func address(_ name: String, _ octets: [UInt8] = [127, 0, 0, 1], ttl: UInt32 = 1) -> Record {
            Record(name: name, type: octets.count == 4 ? 1 : 28, ttl: ttl, data: octets)
        }

        static func alias(_ name: String, _ target: String) -> Record {
            Record(name: name, type: 5, ttl: 1, data: FakeNameServer.name(target))
        }

        static func service(
            _ name: String, port: UInt16, _ target: String, priority: UInt16 = 1, weight: UInt16 = 1
        ) -> Record {
            let data = [priority, weight, port].flatMap(FakeNameServer.number) + FakeNameServer.name(target)
            return Record(name: name, type: 33, ttl: 1, data: data)
        }
    }

    struct Question: Sendable {
        /// In lower case.
        var name: String
        var type: UInt16
        var isOverTCP: Bool
        /// Whether it says how large a datagram may be.
        var hasOptions: Bool
    }

    enum Reply: Sendable {
        case answer([Record])
        /// That others have the zone, from a server that has not and asks nobody.
        case referral
        case code(UInt8)
        /// The answer does not fit.
        case truncated
        case wrongID([Record])
        /// The right id, but another name, and a record for the right one.
        case otherQuestion([Record])
        case garbage
    }

    /// What comes back for a question: several datagrams, or none. Over TCP the first alone.
    typealias Script = @Sendable (Question) -> [Reply]

    let port: UInt16
    private let datagrams: Int32
    private let listener: Socket
    private let lock = NSLock()
    private var script: Script
    private var questions: [Question] = []
    private var goesOn: (@Sendable () -> Bool)?

    init(_ script: @escaping Script) throws {
        self.script = script
        var found: (Socket, UInt16, Int32)?
        // The port that TCP gets may be taken for UDP.
        for _ in 0..<20 where found == nil {
            let (listener, port) = try Socket.listen()
            let datagrams = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
            closeOnExec(datagrams)
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            address.sin_addr.s_addr = inet_addr("127.0.0.1")
            let status = withUnsafePointer(to: address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(datagrams, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
            if status == 0 { found = (listener, port, datagrams) } else { close(datagrams) }
        }
        guard let found else { throw HarnessError("no port is free for UDP and TCP") }
        (listener, port, datagrams) = found
        Thread { [weak self, datagrams] in FakeNameServer.serveDatagrams(datagrams) { self } }.start()
        Thread { [weak self, listener] in
            while let accepted = listener.accept(.after(seconds: 3_600)) {
                guard let self else { return }
                self.serve(accepted)
            }
        }.start()
    }

    deinit {
        listener.shutdownBoth()
        shutdown(datagrams, Int32(SHUT_RDWR))
    }

    var place: String { "127.0.0.1:\(port)" }
    var asked: [Question] { lock.withLock { questions } }

    /// Another answer from now on.
    func say(_ script: @escaping Script) { lock.withLock { self.script = script } }

    /// Behind what it says to a question over UDP it sends garbage, for as long as it is told to.
    func flood(while goesOn: @escaping @Sendable () -> Bool) { lock.withLock { self.goesOn = goesOn } }

    /// Answers each question with the records that are of its name and type.
    func hold(_ records: [Record]) { say { [.answer(records.of($0))] } }

    // MARK: Serving

    private static func serveDatagrams(_ datagrams: Int32, _ owner: () -> FakeNameServer?) {
        defer { close(datagrams) }
        var buffer = [UInt8](repeating: 0, count: 4_096)
        while true {
            var peer = sockaddr_storage()
            var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
            let count = withUnsafeMutablePointer(to: &peer) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    recvfrom(datagrams, &buffer, buffer.count, 0, $0, &size)
                }
            }
            // A socket that was shut down reads as empty.
            guard count > 0, let server = owner() else { return }
            func send(_ reply: [UInt8]) {
                withUnsafePointer(to: peer) {
                    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                        _ = sendto(datagrams, reply, reply.count, 0, $0, size)
                    }
                }
            }
            for reply in server.replies(Array(buffer[..<count]), isOverTCP: false) { send(reply) }
            guard let goesOn = server.lock.withLock({ server.goesOn }) else { continue }
            while goesOn() {
                for _ in 0..<100 { send([0xC0]) }
            }
        }
    }

    private func serve(_ socket: Socket) {
        var bytes: [UInt8] = []
        while bytes.count < 2 || bytes.count < 2 + (Int(bytes[0]) << 8 | Int(bytes[1])) {
            guard case .data(let more) = socket.receive(.ordinary) else { return }
            bytes += more
        }
        guard let reply = replies(Array(bytes.dropFirst(2)), isOverTCP: true).first else { return }
        // In two pieces, as a stream may bring it.
        socket.send(Self.number(UInt16(reply.count)) + reply.prefix(5))
        socket.send(Array(reply.dropFirst(5)))
    }

    private func replies(_ query: [UInt8], isOverTCP: Bool) -> [[UInt8]] {
        guard query.count > 16 else { return [] }
        var labels: [String] = []
        var offset = 12
        while offset < query.count, query[offset] > 0 {
            let end = offset + 1 + Int(query[offset])
            guard end < query.count else { return [] }
            labels.append(text(query[offset + 1..<end]).lowercased())
            offset = end
        }
        guard offset + 4 < query.count else { return [] }
        let question = Question(
            name: labels.joined(separator: "."), type: UInt16(query[offset + 1]) << 8 | UInt16(query[offset + 2]),
            isOverTCP: isOverTCP, hasOptions: query[11] == 1)
        let script = lock.withLock { () -> Script in
            questions.append(question)
            return self.script
        }
        let id = UInt16(query[0]) << 8 | UInt16(query[1])
        return script(question).map { Self.message(id, question, $0) }
    }

    private static func message(_ id: UInt16, _ question: Question, _ reply: Reply) -> [UInt8] {
        var (id, flags, asked, records) = (id, UInt16(0x8180), question.name, [Record]())
        switch reply {
        case .answer(let list): records = list
        case .referral: (flags, records) = (0x8100, [Record(name: "test", type: 2, ttl: 60, data: name("ns.test"))])
        case .code(let code): flags |= UInt16(code)
        case .truncated: flags |= 0x0200
        case .wrongID(let list): (id, records) = (id ^ 0x5555, list)
        case .otherQuestion(let list): (asked, records) = ("other.test", list)
        case .garbage: return [UInt8](repeating: 0xC0, count: 40)
        }
        var counts = [UInt16(records.count), 0, 0]
        if case .referral = reply { counts = [0, UInt16(records.count), 0] }
        var message = ([id, flags, 1] + counts).flatMap(number)
        message += name(asked) + number(question.type) + number(1)
        for record in records {
            message += name(record.name) + number(record.type) + number(1)
            message += number(UInt16(record.ttl >> 16)) + number(UInt16(record.ttl & 0xFFFF))
            message += number(UInt16(record.data.count)) + record.data
        }
        return message
    }

    static func number(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 255)] }

    static func name(_ text: String) -> [UInt8] {
        text.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0]
    }
}

extension [FakeNameServer.Record] {
    func of(_ question: FakeNameServer.Question) -> [FakeNameServer.Record] {
        filter { $0.name == question.name && $0.type == question.type }
    }
}

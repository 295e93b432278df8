import Testing

/// Endpoints that leave and come back.
extension EndToEnd.Discovery {
    /// Whatever checks said of it before it left.
    @Test(arguments: [true, false]) func whoComesBackServesNobodyBeforeACheckHasSucceeded(_ wasWell: Bool) throws {
        let (good, late) = (try Checked("good"), try Checked("late"))
        let gateway = try Self.checkedGateway(["- \(good.endpoint)"])
        let both = ["- \(good.endpoint)", "- \(late.endpoint)"]
        func come() throws {
            try Self.tell(gateway, both)
            try waitUntil("it is there") { try Self.endpoints(gateway) == 2 }
        }
        try come()
        try waitUntil("it serves") {
            _ = try gateway.get("/"); return late.served > 0
        }
        if !wasWell {
            late.say(500)
            try waitUntil("it is out") { try !Self.isHealthy(gateway, late) }
        }
        try Self.tell(gateway, ["- \(good.endpoint)"])
        try waitUntil("it has left") { try Self.endpoints(gateway) == 1 }
        late.say(500)
        let served = late.served
        try come()
        for _ in 0..<20 { #expect(try gateway.get("/").bodyText == "good") }
        let checks = late.checks
        try waitUntil("it has failed some checks") { late.checks > checks + 3 }
        for _ in 0..<20 { #expect(try gateway.get("/").bodyText == "good") }
        #expect(late.served == served)
        late.say(200)
        try waitUntil("it serves") {
            _ = try gateway.get("/"); return late.served > served
        }
    }
}

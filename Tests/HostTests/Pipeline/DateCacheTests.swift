import SluiceABI
import Testing

@testable import Host

@Suite struct DateCacheTests {
    /// A second of the wall clock begins at any time of the monotonic one, and so ends the field that tells it.
    @Test func theFieldIsRightUntilTheSecondOfTheWallClockEnds() {
        var cache = DateCache()
        // 1994-11-06 08:49:37.9 UTC.
        let wall: UInt64 = 784_111_777_900_000_000
        cache.write(at: 5_200_000_000, wall: wall)
        #expect(cache.text(at: 5_299_999_999).text == "Sun, 06 Nov 1994 08:49:37 GMT")
        // By now it is 38: the field is written anew, by the machine's own clock.
        #expect(cache.text(at: 5_300_000_000).text != "Sun, 06 Nov 1994 08:49:37 GMT")
    }

    @Test func aWholeSecondLastsAWholeSecond() {
        var cache = DateCache()
        cache.write(at: 1, wall: 784_111_777_000_000_000)
        #expect(cache.line(at: 1_000_000_000).text == "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n")
        #expect(cache.text(at: 1_000_000_001).text != "Sun, 06 Nov 1994 08:49:37 GMT")
    }
}

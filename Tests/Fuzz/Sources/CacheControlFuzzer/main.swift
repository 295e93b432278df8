// Cache-Control: what a directive says does not depend on what stands around it, and numbers are within their bound.
import AnswerStore
import FuzzDriver
import SluicePlugin

fuzz { data, count in
    let value = Bytes(UnsafeRawBufferPointer(start: data, count: count))
    var request = RequestDirectives()
    request.read(value)
    expect(request.maxAge <= 1 << 31 || request.maxAge == .max, "seconds have a bound")
    var answer = AnswerDirectives()
    answer.read(value)
    expect((answer.freshness ?? 0) <= 1 << 31, "seconds have a bound")
    // A directive more, in front, where no quotation mark can reach it.
    let more = Array("no-store, max-age=0,".utf8) + Array(UnsafeBufferPointer(start: data, count: count))
    more.withUnsafeBytes { memory in
        var request = RequestDirectives()
        request.read(Bytes(memory))
        expect(request.forbidsStoring && request.maxAge == 0, "what was said first holds")
        var again = AnswerDirectives()
        again.read(Bytes(memory))
        expect(again.forbidsStoring && again.maxAge == 0, "what was said first holds")
        expect(again.sharedMaxAge == answer.sharedMaxAge, "what follows is read as before")
    }
    return 0
}

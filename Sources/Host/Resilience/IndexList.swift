/// A doubly linked list of the indices of an array, with its links in an array beside it: constant time, no allocation.
struct IndexList {
    struct Links {
        var next = IndexList.none
        var previous = IndexList.none
    }
    static let none: Int32 = -1

    private(set) var first = IndexList.none
    private(set) var last = IndexList.none

    mutating func append(_ index: Int32, _ links: UnsafeMutablePointer<Links>) {
        links[Int(index)] = Links(next: Self.none, previous: last)
        if last >= 0 { links[Int(last)].next = index } else { first = index }
        last = index
    }

    mutating func remove(_ index: Int32, _ links: UnsafeMutablePointer<Links>) {
        let (next, previous) = (links[Int(index)].next, links[Int(index)].previous)
        if previous >= 0 { links[Int(previous)].next = next } else { first = next }
        if next >= 0 { links[Int(next)].previous = previous } else { last = previous }
    }
}

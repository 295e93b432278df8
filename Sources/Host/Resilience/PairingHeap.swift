/// A node of a pairing heap, in an array beside what it stands for and with the same index.
struct HeapNode {
    /// The least comes first; among equals, the least `order`.
    var key: UInt64 = 0
    var order: UInt64 = 0
    var child = HeapNode.none
    var next = HeapNode.none
    /// The node to the left, or the parent of the leftmost; anything for a root.
    var previous = HeapNode.none

    static let none: Int32 = -1
}

/// Pairing heaps (M. Fredman, R. Sedgewick, D. Sleator, R. Tarjan: The Pairing Heap, Algorithmica 1, 1986) whose nodes
/// lie in one array that all heaps over it share, so that moving a node from one heap to another allocates nothing.
///
/// A heap is the index of its root, `HeapNode.none` when empty. Insertion takes constant time; taking the first and
/// taking any out take O(log n), amortised.
enum PairingHeap {
    typealias Nodes = UnsafeMutablePointer<HeapNode>

    /// The heap with `node`, whose key and order are set, put in.
    static func insert(_ node: Int32, into root: Int32, _ nodes: Nodes) -> Int32 {
        nodes[Int(node)].child = HeapNode.none
        nodes[Int(node)].next = HeapNode.none
        nodes[Int(node)].previous = HeapNode.none
        return meld(root, node, nodes)
    }

    /// The heap without its first.
    static func removeFirst(_ root: Int32, _ nodes: Nodes) -> Int32 { meldChildren(of: root, nodes) }

    /// The heap without `node`, which is in it.
    static func remove(_ node: Int32, from root: Int32, _ nodes: Nodes) -> Int32 {
        if node == root { return removeFirst(root, nodes) }
        let previous = nodes[Int(node)].previous
        let next = nodes[Int(node)].next
        if nodes[Int(previous)].child == node {
            nodes[Int(previous)].child = next
        } else {
            nodes[Int(previous)].next = next
        }
        if next >= 0 { nodes[Int(next)].previous = previous }
        return meld(root, meldChildren(of: node, nodes), nodes)
    }

    /// Both are roots, or none.
    private static func meld(_ first: Int32, _ second: Int32, _ nodes: Nodes) -> Int32 {
        if first < 0 { return second }
        if second < 0 { return first }
        let comesFirst =
            nodes[Int(first)].key != nodes[Int(second)].key
            ? nodes[Int(first)].key < nodes[Int(second)].key : nodes[Int(first)].order < nodes[Int(second)].order
        let (winner, loser) = comesFirst ? (first, second) : (second, first)
        let child = nodes[Int(winner)].child
        nodes[Int(loser)].next = child
        nodes[Int(loser)].previous = winner
        if child >= 0 { nodes[Int(child)].previous = loser }
        nodes[Int(winner)].child = loser
        return winner
    }

    /// Melds the children two by two from the left, and what comes of it from the right: the order on which the bound
    /// of the time rests.
    private static func meldChildren(of parent: Int32, _ nodes: Nodes) -> Int32 {
        var pairs = HeapNode.none
        var rest = nodes[Int(parent)].child
        while rest >= 0 {
            let first = rest
            let second = nodes[Int(first)].next
            rest = second >= 0 ? nodes[Int(second)].next : HeapNode.none
            let pair = meld(first, second, nodes)
            // `next` of a root is free: it links the pairs, the last one first.
            nodes[Int(pair)].next = pairs
            pairs = pair
        }
        var root = HeapNode.none
        while pairs >= 0 {
            let pair = pairs
            pairs = nodes[Int(pair)].next
            nodes[Int(pair)].next = HeapNode.none
            root = meld(root, pair, nodes)
        }
        return root
    }
}

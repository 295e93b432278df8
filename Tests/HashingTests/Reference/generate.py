#!/usr/bin/env python3
"""Writes vectors.txt, what the tests of SluiceHashing compare with: the same algorithms, written a second time from
their descriptions, in another language and with hashlib's MD5.

    python3 Tests/HashingTests/Reference/generate.py > Tests/HashingTests/Reference/vectors.txt
"""

import bisect
import hashlib

MASK = (1 << 64) - 1
P1, P2, P3 = 11400714785074694791, 14029467366897019727, 1609587929392839161
P4, P5 = 9650029242287828579, 2870177450012600261


def rotate(value, bits):
    return (value << bits | value >> (64 - bits)) & MASK


def lane(value, word):
    return rotate((value + word * P2) & MASK, 31) * P1 & MASK


def xxh64(data, seed=0):
    """xxhash_spec.md, section "XXH64 algorithm description"."""
    words = len(data) // 32 * 4
    word = lambda index: int.from_bytes(data[index * 8:index * 8 + 8], "little")
    if words:
        lanes = [seed + P1 + P2, seed + P2, seed, seed - P1]
        for index in range(words):
            lanes[index % 4] = lane(lanes[index % 4] & MASK, word(index))
        result = sum(rotate(value, bits) for value, bits in zip(lanes, (1, 7, 12, 18)))
        for value in lanes:
            result = ((result ^ lane(0, value)) * P1 + P4) & MASK
    else:
        result = seed + P5
    result = (result + len(data)) & MASK
    tail = data[words * 8:]
    while len(tail) >= 8:
        result = (rotate(result ^ lane(0, int.from_bytes(tail[:8], "little")), 27) * P1 + P4) & MASK
        tail = tail[8:]
    if len(tail) >= 4:
        result = (rotate(result ^ (int.from_bytes(tail[:4], "little") * P1 & MASK), 23) * P2 + P3) & MASK
        tail = tail[4:]
    for byte in tail:
        result = rotate(result ^ (byte * P5 & MASK), 11) * P1 & MASK
    result = (result ^ result >> 33) * P2 & MASK
    result = (result ^ result >> 29) * P3 & MASK
    return result ^ result >> 32


def ketama(names, weights, points=160):
    """Sorted (point, owner): MD5("name-k") gives four points, its bytes taken four by four, the lowest first."""
    ring = []
    for owner, (name, weight) in enumerate(zip(names, weights)):
        for k in range(max(1, points // 4 * len(names) * weight // sum(weights))):
            digest = hashlib.md5(f"{name}-{k}".encode()).digest()
            ring += [(int.from_bytes(digest[h * 4:h * 4 + 4], "little"), owner) for h in range(4)]
    return sorted(ring)


def maglev(names, weights, size):
    """The paper's Populate, each owner's permutation written out; an owner has its turn when its credit is full."""
    order = sorted(range(len(names)), key=lambda owner: names[owner].encode())
    permutations = {}
    for owner in order:
        offset = xxh64(names[owner].encode(), 0) % size
        skip = xxh64(names[owner].encode(), 1) % (size - 1) + 1
        permutations[owner] = iter([(offset + j * skip) % size for j in range(size)])
    table = [None] * size
    credits = dict.fromkeys(order, 0)
    while True:
        for owner in order:
            credits[owner] += weights[owner]
            if credits[owner] < max(weights):
                continue
            credits[owner] -= max(weights)
            table[next(entry for entry in permutations[owner] if table[entry] is None)] = owner
            if None not in table:
                return table


def names(count):
    return [f"http://10.0.{index // 250}.{index % 250 + 1}:8080" for index in range(count)]


def main():
    print("# Made by generate.py.")
    for length in list(range(0, 41)) + [63, 64, 65, 100, 255]:
        data = bytes((index * 37 + 11) & 255 for index in range(length))
        print("xxh64", length, f"{xxh64(data):016x}", f"{xxh64(data, 0x9E3779B97F4A7C15):016x}")
    pools = [("even", 3, [1] * 3), ("single", 1, [7]), ("weighted", 5, [1, 2, 3, 4, 90]), ("large", 100, [1] * 100)]
    for label, count, weights in pools:
        ring = ketama(names(count), weights)
        text = "".join(f"{point} {owner}\n" for point, owner in ring)
        print("ring", label, count, ",".join(map(str, weights)), len(ring), f"{xxh64(text.encode()):016x}")
        for number in range(20):
            key = f"session-{number}"
            point = xxh64(key.encode()) >> 32
            owner = ring[bisect.bisect_left(ring, (point, -1)) % len(ring)][1]
            print("owner", label, key, owner)
    for label, count, weights, size in [
        ("small", 3, [1] * 3, 13), ("uneven", 4, [1, 2, 3, 10], 251), ("many", 60, [1 + n % 3 for n in range(60)], 4099)
    ]:
        table = maglev(names(count), weights, size)
        text = "".join(f"{owner}\n" for owner in table)
        print("maglev", label, count, ",".join(map(str, weights)), size, f"{xxh64(text.encode()):016x}")


main()

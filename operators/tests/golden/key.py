"""The pinned key hash, written again from its definition in src/key.rs, for the golden values there.

    python key.py
"""

MASK = (1 << 64) - 1
K0 = 0x9E3779B97F4A7C15
K1 = 0xD6E8FEB86659FD93


def fold(a, b):
    product = a * b
    return (product & MASK) ^ (product >> 64)


def hash64(key):
    state = K0
    whole = len(key) // 8 * 8
    for at in range(0, whole, 8):
        state = fold(state ^ int.from_bytes(key[at : at + 8], "little"), K1)
    rest = key[whole:].ljust(8, b"\0")
    state = fold(state ^ int.from_bytes(rest, "little"), K1)
    return fold(state ^ len(key), K0)


for text in ["", "a", "exactly8", "machine-0001", "arn:aws:iam::123456789012:user/pedro"]:
    print(f"{text!r}: {hash64(text.encode()):#018x}")

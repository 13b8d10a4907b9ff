package route

import "math/bits"

// bitset is a set of entry numbers.
type bitset []uint64

func (b *bitset) add(id uint64) {
	if n := int(id/64) + 1; n > len(*b) {
		*b = append(*b, make([]uint64, n-len(*b))...)
	}
	(*b)[id/64] |= 1 << (id % 64)
}

func (b bitset) remove(id uint64) {
	if id/64 < uint64(len(b)) {
		b[id/64] &^= 1 << (id % 64)
	}
}

func (b bitset) has(id uint64) bool {
	return id/64 < uint64(len(b)) && b[id/64]&(1<<(id%64)) != 0
}

// all calls fn with each member, in order.
func (b bitset) all(yield func(uint64) bool) {
	for i, word := range b {
		for ; word != 0; word &= word - 1 {
			if !yield(uint64(i)*64 + uint64(bits.TrailingZeros64(word))) {
				return
			}
		}
	}
}

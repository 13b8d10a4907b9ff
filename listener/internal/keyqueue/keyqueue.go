// Package keyqueue orders work by keys: an item that shares a key with an earlier
// one waits until that one is done, and everything else may go ahead.
//
// It is a data structure without goroutines or locks; its user provides both.
package keyqueue

import "iter"

// Queue holds items in the order they were pushed. The zero value is not usable;
// see [New]. It is not safe for concurrent use.
type Queue[K comparable, V any] struct {
	lines map[K]line[K, V]
	ready func(*Item[K, V])
	free  []*link[K, V]
}

// Item is a value in the queue, from Push to Done.
type Item[K comparable, V any] struct {
	Value V

	keys    []K
	waiting int  // keys for which an earlier item is not done
	gone    bool // withdrawn
}

// line is the items that share one key, in order. The first one has the key.
type line[K comparable, V any] struct{ first, last *link[K, V] }

type link[K comparable, V any] struct {
	item *Item[K, V]
	next *link[K, V]
}

// New returns an empty queue. It calls ready with each item when no earlier item
// that shares a key with it is left: during Push, or during the Done of the last of
// those.
func New[K comparable, V any](ready func(*Item[K, V])) *Queue[K, V] {
	return &Queue[K, V]{lines: map[K]line[K, V]{}, ready: ready}
}

// Push appends a value with its keys, which must not change afterwards. A key that
// is named twice counts once.
func (q *Queue[K, V]) Push(v V, keys ...K) *Item[K, V] {
	item := &Item[K, V]{Value: v, keys: keys}
	for i, k := range keys {
		if !firstOf(keys, i) {
			continue
		}
		l := q.lines[k]
		n := q.link(item)
		if l.first == nil {
			l.first = n
		} else {
			l.last.next = n
			item.waiting++
		}
		l.last = n
		q.lines[k] = l
	}
	if item.waiting == 0 {
		q.ready(item)
	}
	return item
}

// Done takes an item that was ready out of the queue.
func (q *Queue[K, V]) Done(item *Item[K, V]) {
	for i, k := range item.keys {
		if !firstOf(item.keys, i) {
			continue
		}
		l := q.lines[k]
		n := l.first
		if n == nil || n.item != item {
			panic("keyqueue: Done of an item that is not ready")
		}
		l.first = n.next
		*n = link[K, V]{}
		q.free = append(q.free, n)
		if l.first == nil {
			delete(q.lines, k)
			continue
		}
		q.lines[k] = l
		next := l.first.item
		if next.waiting--; next.waiting == 0 {
			q.ready(next)
		}
	}
}

// Remove takes an item out of the queue, whether it is ready or not. What waited for
// nothing else is ready then.
func (q *Queue[K, V]) Remove(item *Item[K, V]) {
	for i, k := range item.keys {
		if !firstOf(item.keys, i) {
			continue
		}
		l := q.lines[k]
		var before *link[K, V]
		n := l.first
		for n.item != item {
			before, n = n, n.next
		}
		next := n.next
		*n = link[K, V]{}
		q.free = append(q.free, n)
		if next == nil {
			l.last = before
		}
		switch {
		case before != nil:
			before.next = next
			q.lines[k] = l
		case next == nil:
			delete(q.lines, k)
		default:
			l.first = next
			q.lines[k] = l
			if next.item.waiting--; next.item.waiting == 0 {
				q.ready(next.item)
			}
		}
	}
}

// Ahead returns the items that an item waits for, directly or through each other, in no
// order; without those that skip tells, and what only they wait for.
func (q *Queue[K, V]) Ahead(item *Item[K, V], skip func(V) bool) []*Item[K, V] {
	var ahead []*Item[K, V]
	seen := map[*Item[K, V]]bool{item: true}
	for open := []*Item[K, V]{item}; len(open) > 0; open = open[1:] {
		if open[0].waiting == 0 {
			continue
		}
		for _, k := range open[0].keys {
			for n := q.lines[k].first; n != nil && n.item != open[0]; n = n.next {
				if !seen[n.item] && !skip(n.item.Value) {
					seen[n.item] = true
					ahead, open = append(ahead, n.item), append(open, n.item)
				}
			}
		}
	}
	return ahead
}

// Line returns an iterator over the items with the key, in order.
func (q *Queue[K, V]) Line(key K) iter.Seq[*Item[K, V]] {
	return func(yield func(*Item[K, V]) bool) {
		for n := q.lines[key].first; n != nil && yield(n.item); n = n.next {
		}
	}
}

// Waits tells whether the item is not ready yet.
func (i *Item[K, V]) Waits() bool { return i.waiting > 0 }

// Withdraw takes an item out of the queue with all that wait for it, directly or
// through each other, and returns those that waited, none twice, in no order. The item
// must be ready; ready is called for none of them.
func (q *Queue[K, V]) Withdraw(item *Item[K, V]) (waited []*Item[K, V]) {
	item.gone = true
	all := []*Item[K, V]{item}
	for done := 0; done < len(all); done++ {
		for i, k := range all[done].keys {
			if firstOf(all[done].keys, i) {
				all = q.cut(k, all)
			}
		}
	}
	return all[1:]
}

// cut ends the line of a key before its first item that is gone, and adds those behind
// that one to gone.
func (q *Queue[K, V]) cut(key K, gone []*Item[K, V]) []*Item[K, V] {
	l := q.lines[key]
	var last *link[K, V]
	n := l.first
	for n != nil && !n.item.gone {
		last, n = n, n.next
	}
	if n == nil {
		return gone // cut already
	}
	for n != nil {
		if !n.item.gone {
			n.item.gone = true
			gone = append(gone, n.item)
		}
		next := n.next
		*n = link[K, V]{}
		q.free = append(q.free, n)
		n = next
	}
	if last == nil {
		delete(q.lines, key)
		return gone
	}
	last.next = nil
	l.last = last
	q.lines[key] = l
	return gone
}

func (q *Queue[K, V]) link(item *Item[K, V]) *link[K, V] {
	if last := len(q.free) - 1; last >= 0 {
		n := q.free[last]
		q.free = q.free[:last]
		n.item = item
		return n
	}
	return &link[K, V]{item: item}
}

// firstOf tells whether keys[i] does not occur before i. There are few keys.
func firstOf[K comparable](keys []K, i int) bool {
	for _, k := range keys[:i] {
		if k == keys[i] {
			return false
		}
	}
	return true
}

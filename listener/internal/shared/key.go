package shared

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// The kinds of keys: a variable, a lock and a lock's counter may have one name.
const (
	kindVariable = "v"
	kindLock     = "l"
	kindFence    = "f"
)

const (
	maxKey  = 250 // what memcached takes, in bytes
	maxPart = 64  // of a part of the prefix; the length of a module's name
)

// prefix returns what the keys of a module instance begin with. It has at most 142
// bytes, and no prefix is the beginning of another.
func prefix(daemon, module string) string {
	return "listenerd:" + part(daemon) + ":" + part(module) + ":"
}

// part returns s if it is short and made of harmless characters, otherwise # and a hash.
func part(s string) string {
	harmless := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r)
	}
	if s == "" || len(s) > maxPart || strings.ContainsFunc(s, func(r rune) bool { return !harmless(r) }) {
		return hashed(s)
	}
	return s
}

// serverKey returns a key that memcached takes: at most 250 bytes, no spaces, no
// control characters. Different arguments give different keys. Names that fit stay
// readable; those that begin like a hash are hashed.
func serverKey(prefix, kind, name string) string {
	head := prefix + kind + ":"
	fits := name != "" && len(head)+len(name) <= maxKey && name[0] != '#'
	for i := 0; fits && i < len(name); i++ {
		fits = name[i] > ' ' && name[i] < 0x7f
	}
	if !fits {
		name = hashed(name)
	}
	return head + name
}

func hashed(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "#" + base64.RawURLEncoding.EncodeToString(sum[:])
}

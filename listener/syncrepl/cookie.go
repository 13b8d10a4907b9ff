package syncrepl

import (
	"slices"
	"strings"
)

// An OpenLDAP cookie lists the change sequence numbers up to which a consumer knows
// the changes of each server, which is named by its SID:
//
//	rid=001,sid=001,csn=20240101120000.000000Z#000000#001#000000;2024...#002#000000
//
// In the persist stage it carries only the CSN of the change that it comes with. The
// sid of the provider that wrote it must not be sent to another: that one would
// leave out its changes. delcsn, of a delete from a session log, is no state of ours.
type openLDAPCookie struct {
	rid  string
	csns []string // at most one for each SID, sorted by SID
}

// csnLength is that of 20240101120000.000000Z#000000#001#000000.
const csnLength = 40

// sid returns the SID part of a checked CSN.
func sid(csn string) string { return csn[30:33] }

// parseOpenLDAPCookie returns false for a cookie that has another form.
func parseOpenLDAPCookie(cookie []byte) (openLDAPCookie, bool) {
	var c openLDAPCookie
	if len(cookie) == 0 {
		return c, false
	}
	for part := range strings.SplitSeq(string(cookie), ",") {
		key, value, ok := strings.Cut(part, "=")
		if !ok {
			return c, false
		}
		switch key {
		case "rid":
			if len(value) != 3 || !all(value, decimal) {
				return c, false
			}
			c.rid = value
		case "sid":
			if len(value) != 3 || !all(value, hexadecimal) {
				return c, false
			}
		case "csn":
			if value == "" {
				continue
			}
			for csn := range strings.SplitSeq(value, ";") {
				if !isCSN(csn) {
					return c, false
				}
				c.add(csn)
			}
		case "delcsn":
			if !isCSN(value) {
				return c, false
			}
		default:
			return c, false
		}
	}
	return c, c.rid != "" || len(c.csns) > 0
}

// add keeps the newer of csn and the one with the same SID. Their form makes them
// comparable as strings.
func (c *openLDAPCookie) add(csn string) {
	i, found := slices.BinarySearchFunc(c.csns, csn, func(have, csn string) int {
		return strings.Compare(sid(have), sid(csn))
	})
	switch {
	case !found:
		c.csns = slices.Insert(c.csns, i, csn)
	case csn > c.csns[i]:
		c.csns[i] = csn
	}
}

// bytes returns the cookie to store and send; nil when it has no CSN and so says
// nothing.
func (c *openLDAPCookie) bytes() []byte {
	if len(c.csns) == 0 {
		return nil
	}
	rid := c.rid
	if rid == "" {
		rid = "000"
	}
	return []byte("rid=" + rid + ",csn=" + strings.Join(c.csns, ";"))
}

// mergeCookies returns the cookie that stands for what old and new stand for: the
// newest CSN per SID if both are OpenLDAP's, else new. An absent or empty new one
// leaves old. A cookie of another form is opaque and kept as it is.
func mergeCookies(old, new []byte) []byte {
	n, ok := parseOpenLDAPCookie(new)
	if !ok {
		if len(new) == 0 {
			return old
		}
		return slices.Clone(new)
	}
	if o, ok := parseOpenLDAPCookie(old); ok {
		for _, csn := range o.csns {
			n.add(csn)
		}
	}
	if merged := n.bytes(); merged != nil {
		return merged
	}
	return old
}

// isCSN checks the form of a CSN: time, count, SID and modification number.
func isCSN(s string) bool {
	return len(s) == csnLength &&
		all(s[:14], decimal) && s[14] == '.' && all(s[15:21], decimal) && s[21] == 'Z' &&
		s[22] == '#' && all(s[23:29], hexadecimal) &&
		s[29] == '#' && all(s[30:33], hexadecimal) &&
		s[33] == '#' && all(s[34:40], hexadecimal)
}

func all(s string, is func(byte) bool) bool {
	for i := range len(s) {
		if !is(s[i]) {
			return false
		}
	}
	return true
}

func decimal(c byte) bool { return '0' <= c && c <= '9' }

func hexadecimal(c byte) bool { return decimal(c) || 'a' <= c && c <= 'f' }

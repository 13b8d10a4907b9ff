package wire

import (
	"fmt"
	"strings"
)

// What a server sends, for tests.

func element(tag byte, parts ...[]byte) []byte {
	var content []byte
	for _, p := range parts {
		content = append(content, p...)
	}
	return appendElement(nil, tag, content)
}

func str(s string) []byte   { return appendString(nil, s) }
func integer(v int) []byte  { return appendInt(nil, tagInteger, v) }
func enum(v int) []byte     { return appendInt(nil, tagEnumerated, v) }
func boolean(v bool) []byte { return appendBool(nil, v) }
func message(id int, parts ...[]byte) []byte {
	return element(tagSequence, append([][]byte{integer(id)}, parts...)...)
}
func control(oid string, value ...[]byte) []byte {
	return element(tagControls, oneControl(oid, value...))
}

func oneControl(oid string, value ...[]byte) []byte {
	return element(tagSequence, str(oid), element(tagOctetString, value...))
}

func syncState(state int, uuid, cookie string) []byte {
	parts := [][]byte{enum(state), str(uuid)}
	if cookie != "" {
		parts = append(parts, str(cookie))
	}
	return control(oidSyncState, element(tagSequence, parts...))
}

// attributes makes a PartialAttributeList of name: value pairs, one value each.
func attributes(pairs ...string) []byte {
	var list []byte
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, element(tagSequence, str(pairs[i]), element(tagSet, str(pairs[i+1])))...)
	}
	return element(tagSequence, list)
}

func searchEntry(dn string, attrs []byte) []byte { return element(tagSearchEntry, str(dn), attrs) }

func syncInfo(value []byte) []byte {
	return element(tagIntermediate, element(tagIntermediateName, []byte(oidSyncInfo)), element(tagIntermediateValue, value))
}

func searchDone(code int) []byte { return element(tagSearchDone, enum(code), str(""), str("")) }

func syncDone(parts ...[]byte) []byte { return control(oidSyncDone, element(tagSequence, parts...)) }

// person is an entry of about 1 KB as a server sends it.
func person(i int) []byte {
	n := fmt.Sprintf("%06d", i)
	uuid := fmt.Sprintf("%016x", uint64(i)*0x9e3779b97f4a7c15)[:16]
	return message(searchID, searchEntry("uid=user"+n+",ou=site-03,ou=people,dc=example,dc=com", attributes(
		"objectClass", "inetOrgPerson", "objectClass;x-1", "posixAccount", "uid", "user"+n,
		"cn", "Sample Person "+n, "sn", "Person "+n, "givenName", "Sample", "mail", "user"+n+"@example.com",
		"telephoneNumber", "+49 421 "+n, "uidNumber", n, "gidNumber", "5000", "homeDirectory", "/home/user"+n,
		"loginShell", "/bin/bash", "employeeNumber", n, "title", "Engineer", "description", strings.Repeat("x", 120),
		"structuralObjectClass", "inetOrgPerson", "entryUUID", "30593fe3-f028-432e-9840-43c43e5fd2da",
		"creatorsName", "cn=admin,dc=example,dc=com", "createTimestamp", "20240101120000Z",
		"entryCSN", "20240101120000.123456Z#000000#000#000000", "modifiersName", "cn=admin,dc=example,dc=com",
		"modifyTimestamp", "20240101120000Z", "entryDN", "uid=user"+n+",ou=site-03,ou=people,dc=example,dc=com",
		"subschemaSubentry", "cn=Subschema", "hasSubordinates", "FALSE")), syncState(1, uuid, ""))
}

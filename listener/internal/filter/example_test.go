package filter_test

import (
	"fmt"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/filter"
)

func ExampleCompile() {
	f, err := filter.Compile("( &(objectClass=person) (!(mail=*@example.org)) )", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(f)
	fmt.Println(f.Match(listener.NewEntry(listener.UUID{}, "cn=Jane Roe,dc=example,dc=org",
		listener.Attribute{Name: "objectClass", Values: []string{"top", "Person"}},
		listener.Attribute{Name: "cn", Values: []string{"Jane Roe"}})))

	_, err = filter.Compile("(&(objectClass=person)", nil)
	fmt.Println(err)
	// Output:
	// (&(objectClass=person)(!(mail=*@example.org)))
	// true
	// filter "(&(objectClass=person)" at position 23: missing ')'
}

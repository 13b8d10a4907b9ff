package listener_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/listenerd/listenerd/listener"
)

// greeter says hello to new people.
type greeter struct {
	listener.Base // no Modify and Remove
	greeting      string
}

func (g *greeter) Create(_ context.Context, new *listener.Entry) error {
	fmt.Printf("%s, %s!\n", g.greeting, new.Get("givenName"))
	return nil
}

type greeterConfig struct {
	Greeting string `yaml:"greeting"`
}

func (c greeterConfig) Validate() error {
	if c.Greeting == "" {
		return errors.New("greeting is empty")
	}
	return nil
}

func ExampleDefine() {
	module := listener.Define(
		listener.Spec{
			Name:       "greeter",
			LDAPFilter: "(objectClass=inetOrgPerson)",
			Attributes: []string{"givenName"},
		},
		greeterConfig{Greeting: "Hello"},
		func(_ context.Context, _ listener.Env, c greeterConfig) (listener.Handler, error) {
			return &greeter{greeting: c.Greeting}, nil
		})

	// What the daemon does with it:
	instance, err := module.Configure(func(into any) error {
		into.(*greeterConfig).Greeting = "Welcome" // from the YAML
		return nil
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	handler, err := instance.Open(ctx, listener.Env{Name: "greeter"})
	if err != nil {
		fmt.Println(err)
		return
	}
	ada := listener.NewEntry(listener.UUID{1}, "uid=ada,dc=example,dc=com",
		listener.Attribute{Name: "givenName", Values: []string{"Ada"}})
	fmt.Println(handler.Create(ctx, ada))
	// Output:
	// Welcome, Ada!
	// <nil>
}

func ExampleDiff() {
	id := listener.UUID{1}
	old := listener.NewEntry(id, "cn=admins,dc=example,dc=com",
		listener.Attribute{Name: "description", Values: []string{"Administrators"}},
		listener.Attribute{Name: "member", Values: []string{"uid=ada", "uid=bob"}},
		listener.Attribute{Name: "modifyTimestamp", Values: []string{"20260101000000Z"}})
	new := listener.NewEntry(id, "cn=admins,dc=example,dc=com",
		listener.Attribute{Name: "description", Values: []string{"Administrators"}},
		listener.Attribute{Name: "member", Values: []string{"uid=bob", "uid=eve"}},
		listener.Attribute{Name: "modifyTimestamp", Values: []string{"20260102000000Z"}})

	for _, change := range listener.Diff(old, new) {
		fmt.Println(change.Name, "added", change.Added, "removed", change.Removed)
	}
	fmt.Println(listener.Changed(old, new, "description"))
	// Output:
	// member added [uid=eve] removed [uid=ada]
	// false
}

func ExamplePermanent() {
	create := func(_ context.Context, new *listener.Entry) error {
		if !new.Has("mail") {
			// No repetition will make one: set the entry aside.
			return listener.Permanent(fmt.Errorf("%s has no mail address", new.DN()))
		}
		return nil
	}
	err := create(context.Background(), listener.NewEntry(listener.UUID{1}, "uid=ada"))
	fmt.Println(err, errors.Is(err, listener.ErrPermanent))
	// Output: uid=ada has no mail address true
}

func ExampleCallInfo() {
	modify := func(ctx context.Context, old, new *listener.Entry) error {
		call := listener.CallInfo(ctx)
		if call.Attempt > 1 {
			fmt.Printf("%s %s: task %d for the %dth time\n", call.Module, call.Kind, call.Seq, call.Attempt)
		}
		return nil
	}
	// Package listenertest makes such contexts; here one by hand:
	ctx := listener.WithCall(context.Background(), &listener.Call{
		Module: "greeter", Kind: listener.KindModify, Seq: 42, Attempt: 4, Cause: listener.CauseLive,
	})
	fmt.Println(modify(ctx, nil, nil))
	// Output:
	// greeter modify: task 42 for the 4th time
	// <nil>
}

package config

import (
	"os"
	"reflect"
	"regexp"
	"testing"
)

// TestExampleHasEveryKey keeps the commented example complete.
func TestExampleHasEveryKey(t *testing.T) {
	text, err := os.ReadFile("../../../configs/listenerd.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, section := range []reflect.Type{
		reflect.TypeFor[document](), reflect.TypeFor[ldapSection](), reflect.TypeFor[bindSection](), reflect.TypeFor[tlsSection](),
		reflect.TypeFor[logSection](), reflect.TypeFor[moduleSection](), reflect.TypeFor[retrySection](),
	} {
		for _, key := range fieldsOf(section).names {
			if !regexp.MustCompile(`(?m)^[ #-]*` + key + `:`).Match(text) {
				t.Errorf("configs/listenerd.yaml does not show the key %s of %s", key, section)
			}
		}
	}
}

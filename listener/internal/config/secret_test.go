package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"gopkg.in/yaml.v3"

	"github.com/listenerd/listenerd/listener/internal/config"
)

func TestSecretIsNeverShown(t *testing.T) {
	const word = "s3cret-word"
	c := mustLoad(t, "ldap: {uri: ldap://h, base: dc=x, bind: {dn: cn=a, password_file: secret}}")
	if got := c.LDAP.Bind.Password.Reveal(); got != word {
		t.Fatalf("password %q", got)
	}
	secret := c.LDAP.Bind.Password
	hidden := struct{ bind config.Bind }{c.LDAP.Bind}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T %v", "%10s", "%!"} {
		for _, value := range []any{secret, &secret, c, *c, c.LDAP.Bind, hidden, &hidden, []config.Secret{secret}, map[string]config.Secret{"a": secret}} {
			fmt.Fprintf(&out, verb+"\n", value)
		}
	}
	for _, value := range []any{secret, c.LDAP, hidden} {
		asJSON, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		asYAML, err := yaml.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%s\n%s\n", asJSON, asYAML)
	}
	var logged bytes.Buffer
	for _, encoder := range []zapcore.Encoder{
		zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()),
		zapcore.NewConsoleEncoder(zap.NewDevelopmentEncoderConfig()),
	} {
		log := zap.New(zapcore.NewCore(encoder, zapcore.AddSync(&logged), zap.DebugLevel))
		log.Info("zap", zap.Any("secret", secret), zap.Any("ldap", c.LDAP), zap.Reflect("bind", c.LDAP.Bind), zap.Stringer("text", secret), zap.Any("hidden", hidden))
		log.Sugar().Infow("sugar", "secret", secret, "bind", &c.LDAP.Bind)
	}
	slogger := slog.New(slog.NewTextHandler(&logged, nil))
	slogger.Info("slog", "secret", secret, "bind", c.LDAP.Bind, "hidden", hidden)
	out.Write(logged.Bytes())

	for _, form := range []string{word, fmt.Sprintf("%x", word), fmt.Sprintf("%X", word), word[:6]} {
		if strings.Contains(out.String(), form) {
			t.Errorf("the secret is shown as %s in:\n%s", form, out.String())
		}
	}
	if got := fmt.Sprintf("%v %+v %#v %s %q", secret, secret, secret, secret, secret); got != strings.TrimSpace(strings.Repeat("[redacted] ", 5)) {
		t.Errorf("got %s", got)
	}
	if asJSON, _ := json.Marshal(secret); string(asJSON) != `"[redacted]"` {
		t.Errorf("JSON: %s", asJSON)
	}
}

// TestSecretIsInNoProblem has the password next to each problem of ldap.bind, and
// where people put it by mistake.
func TestSecretIsInNoProblem(t *testing.T) {
	for _, text := range []string{
		"ldap: {uri: ldap://h, base: dc=x, bind: {dn: cn=a, password: s3cret-word}}",
		"ldap: {uri: ldap://h, base: dc=x, password: s3cret-word}",
		"ldap: {uri: 'ldap://cn=a:s3cret-word@h/dc=x'}",
		"ldap: {uri: ldap://h, bind: {method: simple, password_file: secret}}",
		"ldap: {uri: ldap://h, bind: {method: anonymous, dn: foo, password_file: secret}}",
		"modules: [{name: jsonl, config: {pasword: s3cret-word}}]",
	} {
		path := write(t, text)
		_, err := config.Load(path, registered(), checkFilter)
		if err == nil {
			t.Fatalf("no problem with %s", text)
		}
		if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", text, strings.ReplaceAll(err.Error(), filepath.Dir(path), ""))
		}
	}
}

func TestSecretZero(t *testing.T) {
	if !(config.Secret{}).IsZero() || !config.NewSecret("").IsZero() || config.NewSecret("a").IsZero() {
		t.Error("IsZero is wrong")
	}
	if got := fmt.Sprint(config.Secret{}, config.Secret{}.Reveal()); got != "[redacted] " && got != "[redacted]" {
		t.Errorf("got %q", got)
	}
}

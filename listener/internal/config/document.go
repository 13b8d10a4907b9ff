package config

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"reflect"
	"regexp"
	"sort"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/listenerd/listenerd/listener"
)

// maxFileSize bounds a configuration file.
const maxFileSize = 512 << 10

// document is the file as it is written: the keys that exist, and where.
type document struct {
	LDAP            given[ldapSection]            `yaml:"ldap"`
	StateDir        given[string]                 `yaml:"state_dir"`
	ShutdownTimeout given[time.Duration]          `yaml:"shutdown_timeout"`
	Guard           given[guardSection]           `yaml:"guard"`
	Shared          given[sharedSection]          `yaml:"shared"`
	Log             given[logSection]             `yaml:"log"`
	Modules         given[[]given[moduleSection]] `yaml:"modules"`
}

type ldapSection struct {
	URI        given[uriList]         `yaml:"uri"`
	Base       given[string]          `yaml:"base"`
	Scope      given[string]          `yaml:"scope"`
	Filter     given[string]          `yaml:"filter"`
	Attributes given[[]given[string]] `yaml:"attributes"`
	Bind       given[bindSection]     `yaml:"bind"`
	TLS        given[tlsSection]      `yaml:"tls"`

	NetworkTimeout given[time.Duration] `yaml:"network_timeout"`
	ProbeInterval  given[time.Duration] `yaml:"probe_interval"`
	MaxMessageSize given[size]          `yaml:"max_message_size"`
	StaleGrace     given[time.Duration] `yaml:"stale_grace"`

	FullReloadInterval given[time.Duration] `yaml:"full_reload_interval"`
}

type bindSection struct {
	Method           given[string] `yaml:"method"`
	DN               given[string] `yaml:"dn"`
	PasswordFile     given[string] `yaml:"password_file"`
	Principal        given[string] `yaml:"principal"`
	Keytab           given[string] `yaml:"keytab"`
	CCache           given[string] `yaml:"ccache"`
	Krb5Conf         given[string] `yaml:"krb5_conf"`
	ServicePrincipal given[string] `yaml:"service_principal"`
}

type tlsSection struct {
	StartTLS   given[bool]   `yaml:"starttls"`
	CAFile     given[string] `yaml:"ca_file"`
	CertFile   given[string] `yaml:"cert_file"`
	KeyFile    given[string] `yaml:"key_file"`
	ServerName given[string] `yaml:"server_name"`
}

type guardSection struct {
	MaxDeletePercent given[int] `yaml:"max_delete_percent"`
	MinDeletes       given[int] `yaml:"min_deletes"`
}

type sharedSection struct {
	Memcached given[[]given[string]] `yaml:"memcached"`
	Timeout   given[time.Duration]   `yaml:"timeout"`
	Required  given[bool]            `yaml:"required"`
	Namespace given[string]          `yaml:"namespace"`
}

type logSection struct {
	Level  given[string] `yaml:"level"`
	Format given[string] `yaml:"format"`
}

type moduleSection struct {
	Name              given[string]          `yaml:"name"`
	Module            given[string]          `yaml:"module"`
	LDAPFilter        given[string]          `yaml:"ldap_filter"`
	Attributes        given[[]given[string]] `yaml:"attributes"`
	RunAsynchronously given[bool]            `yaml:"run_asynchronously"`
	Parallelism       given[workers]         `yaml:"parallelism"`
	Priority          given[int]             `yaml:"priority"`
	QuietPeriod       given[time.Duration]   `yaml:"quiet_period"`
	PostRunMaxDelay   given[time.Duration]   `yaml:"post_run_max_delay"`
	Timeout           given[time.Duration]   `yaml:"timeout"`
	Retry             given[retrySection]    `yaml:"retry"`
	OnError           given[string]          `yaml:"on_error"`
	Delivery          given[string]          `yaml:"delivery"`
	OnFull            given[string]          `yaml:"on_full"`
	MaxTasks          given[int]             `yaml:"max_tasks"`
	Bootstrap         given[string]          `yaml:"bootstrap"`
	Isolation         given[string]          `yaml:"isolation"`
	User              given[string]          `yaml:"user"`
	Nice              given[int]             `yaml:"nice"`
	MemoryLimit       given[memory]          `yaml:"memory_limit"`
	Config            given[yaml.Node]       `yaml:"config"`

	Env given[map[string]given[string]] `yaml:"env"`
}

type retrySection struct {
	Min          given[time.Duration] `yaml:"min"`
	Max          given[time.Duration] `yaml:"max"`
	MaxAttempts  given[int]           `yaml:"max_attempts"`
	OnceAttempts given[int]           `yaml:"once_attempts"`
}

// refused answers for keys that are not there on purpose.
var refused = map[string]string{
	"ldap.password":      "put the password in a file and name it with bind.password_file",
	"ldap.bind.password": "put the password in a file and name it with password_file",
}

// uriList is one URI or a list of them.
type uriList []given[string]

func (l *uriList) decodeNode(d *decoder, n *yaml.Node, at place) bool {
	if n.Kind != yaml.ScalarNode {
		return d.decode(n, reflect.ValueOf((*[]given[string])(l)).Elem(), at)
	}
	*l = make(uriList, 1)
	return d.decode(n, reflect.ValueOf(&(*l)[0]).Elem(), at)
}

// workers is the value of parallelism: a number, or auto.
type workers int

func (w *workers) decodeNode(d *decoder, n *yaml.Node, at place) bool {
	if n.Kind == yaml.ScalarNode && n.Value == "auto" {
		*w = listener.PerCPU
		return true
	}
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" {
		d.want("a number of workers, or auto", n, at)
		return false
	}
	return d.decode(n, reflect.ValueOf((*int)(w)).Elem(), at)
}

// readFile returns the content of a file of at most limit bytes. The error says
// what to do and names the file only if it has to.
func readFile(path string, limit int64) ([]byte, fs.FileInfo, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, plainPathError(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, plainPathError(err)
	}
	if info.IsDir() {
		return nil, nil, errors.New("it is a directory, not a file")
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, nil, plainPathError(err)
	}
	if int64(len(data)) > limit {
		return nil, nil, errors.New("it is too large")
	}
	return data, info, nil
}

func plainPathError(err error) error {
	if pathError, ok := errors.AsType[*fs.PathError](err); ok {
		return pathError.Err
	}
	return err
}

// parse returns the root of the one YAML document in data, or nil when it has
// reported why there is none.
func parse(data []byte, problems *collector) *yaml.Node {
	var first, second yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	switch err := decodeNext(decoder, &first); {
	case errors.Is(err, io.EOF):
		problems.add(0, "the file is empty; it needs the key ldap at least")
		return nil
	case err != nil:
		line, message := syntaxProblem(data, err)
		problems.add(line, "%s", message)
		return nil
	}
	switch err := decodeNext(decoder, &second); {
	case err == nil:
		problems.add(second.Line, "a second YAML document begins here (---); put everything in one")
		return nil
	case !errors.Is(err, io.EOF):
		line, message := syntaxProblem(data, err)
		problems.add(line, "%s", message)
		return nil
	}
	root := first.Content[0]
	if isNull(root) {
		problems.add(0, "the file is empty; it needs the key ldap at least")
		return nil
	}
	return root
}

// decodeNext turns a panic of the parser, which some broken input provokes, into
// an error.
func decodeNext(d *yaml.Decoder, n *yaml.Node) (err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("the YAML parser cannot make sense of this")
		}
	}()
	return d.Decode(n)
}

var unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)

// syntaxProblem finds line and words for an error of the YAML parser.
//
// The parser's own line is often missing, or that of the beginning of the
// construct it was in. The line in question is the last of the shortest beginning
// of the file that fails in the same way.
func syntaxProblem(data []byte, err error) (line int, message string) {
	line, message = splitLine(trimYAML(err))
	if m := unknownAnchor.FindStringSubmatch(message); m != nil {
		if before, _, found := bytes.Cut(data, []byte("*"+m[1])); found {
			line = 1 + bytes.Count(before, []byte("\n"))
		}
		return line, "the alias *" + m[1] + " has no anchor &" + m[1] + " before it; quote a text that begins with *"
	}
	if line == 0 || strings.HasPrefix(message, "did not find expected") {
		lines := bytes.SplitAfter(data, []byte("\n"))
		line = 1 + sort.Search(len(lines)-1, func(i int) bool {
			return sameError(bytes.Join(lines[:i+1], nil), err)
		})
	}
	return line, "YAML syntax: " + message + syntaxHint(message, data, line)
}

func sameError(data []byte, err error) bool {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var n yaml.Node
		if got := decodeNext(decoder, &n); got != nil {
			return got.Error() == err.Error()
		}
	}
}

func syntaxHint(message string, data []byte, line int) string {
	lines := bytes.Split(data, []byte("\n"))
	text := ""
	if line > 0 && line <= len(lines) {
		text = string(lines[line-1])
	}
	indent := text[:len(text)-len(strings.TrimLeft(text, " \t"))]
	switch {
	case strings.Contains(indent, "\t"):
		return "; indent with spaces, not tabs"
	case strings.HasPrefix(message, "mapping values"):
		return "; check the indentation, and quote a text that contains a colon and a space"
	case strings.HasPrefix(message, "found character"):
		return "; quote the text"
	case strings.HasPrefix(message, "found unexpected end"):
		return "; a quote or bracket is not closed"
	case strings.HasPrefix(message, "did not find expected"):
		return "; check indentation, quotes and brackets here and above"
	}
	return ""
}

package dirsrvtest

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/listenerd/listenerd/listener/internal/slapdtest"
)

// programs are the paths of an installed or unpacked 389 DS.
type programs struct {
	server   string // ns-slapd
	plugins  string // the folder of libcontentsync-plugin.so, ...
	schema   string // the folder of 00core.ldif, ...
	template string // template-dse.ldif
	config   string // the folder of certmap.conf, ...
	unpacked bool   // the server's own idea of these paths is wrong
}

// locate finds the server: LISTENERD_NS_SLAPD and LISTENERD_DIRSRV_ROOT, the folder
// that has its usr and etc, from the environment, else from what scripts/servers.sh
// wrote to servers/env in the cache folder, else what is installed.
func locate() (programs, error) {
	known, err := readEnvFile()
	if err != nil {
		return programs{}, err
	}
	value := func(name, fallback string) string {
		if v := os.Getenv(name); v != "" {
			return v
		}
		if v := known[name]; v != "" {
			return v
		}
		return fallback
	}
	root := value("LISTENERD_DIRSRV_ROOT", "/")
	p := programs{server: value("LISTENERD_NS_SLAPD", ""), unpacked: filepath.Clean(root) != "/"}
	if p.server == "" {
		if p.server, err = exec.LookPath("/usr/sbin/ns-slapd"); err != nil {
			return p, missing("ns-slapd")
		}
	}
	for _, part := range []struct {
		path     *string
		name     string
		patterns []string
	}{
		{&p.plugins, "libcontentsync-plugin.so", []string{"usr/lib/*/dirsrv/plugins", "usr/lib64/dirsrv/plugins", "usr/lib/dirsrv/plugins"}},
		{&p.schema, "00core.ldif", []string{"usr/share/dirsrv/schema"}},
		{&p.template, "template-dse.ldif", []string{"usr/share/dirsrv/data"}},
		{&p.config, "certmap.conf", []string{"etc/dirsrv/config"}},
	} {
		for _, pattern := range part.patterns {
			if found, _ := filepath.Glob(filepath.Join(root, pattern, part.name)); len(found) > 0 {
				*part.path = filepath.Dir(found[0])
			}
		}
		if *part.path == "" {
			return p, missing(part.name + " of 389 DS")
		}
	}
	p.template = filepath.Join(p.template, "template-dse.ldif")
	return p, nil
}

func missing(name string) error {
	return fmt.Errorf("%s: %w; 'make servers' gets it", name, slapdtest.ErrMissing)
}

func readEnvFile() (map[string]string, error) {
	cache := os.Getenv("LISTENERD_CACHE")
	if cache == "" {
		dir, err := os.Getwd()
		if err != nil {
			return nil, nil
		}
		for {
			if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
				break
			}
			if dir == filepath.Dir(dir) {
				return nil, nil
			}
			dir = filepath.Dir(dir)
		}
		cache = filepath.Join(dir, ".cache")
	}
	f, err := os.Open(filepath.Join(cache, "servers", "env"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	known := make(map[string]string)
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if name, v, ok := strings.Cut(lines.Text(), "="); ok {
			known[name] = v
		}
	}
	return known, lines.Err()
}

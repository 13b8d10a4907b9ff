package dirsrvtest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/listenerd/listenerd/listener/internal/slapdtest"
)

// dse is the server's configuration, which is a small directory in LDIF: its
// entries in order, each as unfolded lines.
type dse [][]string

// parseDSE reads what the server itself would refuse: it wants neither comments nor
// two empty lines.
func parseDSE(text string) dse {
	var d dse
	var entry []string
	for line := range strings.SplitSeq(text+"\n\n", "\n") {
		switch {
		case strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, " ") && len(entry) > 0:
			entry[len(entry)-1] += line[1:]
		case line != "":
			entry = append(entry, line)
		case entry != nil:
			d, entry = append(d, entry), nil
		}
	}
	return d
}

func (d dse) String() string {
	var b strings.Builder
	for _, entry := range d {
		b.WriteString(strings.Join(entry, "\n") + "\n\n")
	}
	return b.String()
}

// set replaces an attribute of an entry by one value.
func (d dse) set(dn, attr, value string) {
	for i, entry := range d {
		if !strings.EqualFold(entry[0], "dn: "+dn) {
			continue
		}
		lines := entry[:0:0]
		for _, line := range entry {
			if name, _, _ := strings.Cut(line, ":"); !strings.EqualFold(name, attr) {
				lines = append(lines, line)
			}
		}
		d[i] = append(lines, attr+": "+value)
	}
}

// added is what a setup has besides the template: the plugins that a server adds
// itself at its first start, from paths that need not exist, and a database.
const added = `
dn: cn=entryuuid_syntax,cn=plugins,cn=config
objectclass: top
objectclass: nsSlapdPlugin
cn: entryuuid_syntax
nsslapd-pluginpath: libentryuuid-syntax-plugin
nsslapd-plugininitfunc: entryuuid_syntax_plugin_init
nsslapd-plugintype: syntax
nsslapd-pluginenabled: on

dn: cn=entryuuid,cn=plugins,cn=config
objectclass: top
objectclass: nsSlapdPlugin
cn: entryuuid
nsslapd-pluginpath: libentryuuid-plugin
nsslapd-plugininitfunc: entryuuid_plugin_init
nsslapd-plugintype: betxnpreoperation
nsslapd-pluginenabled: on

dn: cn=userRoot,cn=ldbm database,cn=plugins,cn=config
objectclass: top
objectclass: extensibleObject
objectclass: nsBackendInstance
cn: userRoot
nsslapd-suffix: %suffix%
nsslapd-directory: %db_dir%/userRoot

dn: cn="%suffix%",cn=mapping tree,cn=config
objectclass: top
objectclass: extensibleObject
objectclass: nsMappingTree
cn: "%suffix%"
nsslapd-state: backend
nsslapd-backend: userRoot
`

var (
	placeholder = regexp.MustCompile(`%\w+%`)
	pluginPath  = regexp.MustCompile(`(?i)^(nsslapd-pluginpath: )(lib.*)$`)
)

// configure writes dse.ldif, and makes the directories that it names.
func (s *Server) configure(user string) error {
	text, err := os.ReadFile(s.programs.template)
	if err != nil {
		return err
	}
	values := map[string]string{
		"config_dir": s.dir, "inst_dir": s.dir, "tmp_dir": s.dir,
		"db_home_dir": s.path("db"), "db_lib": "bdb",
		"fqdn": "localhost", "ds_port": fmt.Sprint(s.port), "ds_user": user, "ds_suffix": slapdtest.BaseDN, "suffix": slapdtest.BaseDN,
		"rootdn": slapdtest.RootDN, "ds_passwd": "{CLEAR}" + slapdtest.RootPassword,
		"ldapi_enabled": "on", "ldapi": s.socket(), "ldapi_autobind": "off",
	}
	for _, name := range []string{"schema", "lock", "cert", "ldif", "bak", "run", "log", "db"} {
		if err := os.MkdirAll(s.path(name), 0o700); err != nil {
			return err
		}
		values[name+"_dir"] = s.path(name)
	}
	var unknown []string
	filled := placeholder.ReplaceAllStringFunc(string(text)+added, func(p string) string {
		v, ok := values[strings.Trim(p, "%")]
		if !ok {
			unknown = append(unknown, p)
		}
		return v
	})
	if unknown != nil {
		return fmt.Errorf("%s: no value for %q", s.programs.template, unknown)
	}

	d := parseDSE(filled)
	for _, entry := range d {
		for i, line := range entry {
			if m := pluginPath.FindStringSubmatch(line); m != nil {
				entry[i] = m[1] + filepath.Join(s.programs.plugins, m[2]+".so")
			}
		}
	}
	d.set("cn=config", "passwordStorageScheme", "SSHA512") // the default is slow on purpose
	d.set("cn=config", "nsslapd-threadnumber", "8")
	d.set("cn=config,cn=ldbm database,cn=plugins,cn=config", "nsslapd-cache-autosize", "0")
	d.set("cn=config,cn=ldbm database,cn=plugins,cn=config", "nsslapd-db-durable-transaction", "off")
	retro := "cn=Retro Changelog Plugin,cn=plugins,cn=config"
	d.set(retro, "nsslapd-pluginEnabled", "on")
	d.set(retro, "nsslapd-attribute", "nsuniqueid:targetUniqueId")
	if s.opts.trimming {
		d.set(retro, "nsslapd-changelogmaxage", "1s")
		d.set(retro, "nsslapd-changelog-trim-interval", "1")
	}
	if !s.opts.noSync {
		d.set("cn=Content Synchronization,cn=plugins,cn=config", "nsslapd-pluginEnabled", "on")
	}
	return os.WriteFile(s.path("dse.ldif"), []byte(d.String()), 0o600)
}

// copyFiles copies what the server has besides dse.ldif.
func (s *Server) copyFiles() error {
	if err := os.CopyFS(s.dir, os.DirFS(s.programs.config)); err != nil {
		return err
	}
	if s.programs.unpacked { // an installed server knows where its schema is
		return os.CopyFS(s.path("schema"), os.DirFS(s.programs.schema))
	}
	return nil
}

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/listenerd/listenerd/listener/internal/slapdtest"
)

// provider is the directory that the benchmarks read.
type provider struct {
	dir      string // for the benchmarks' own data
	server   *slapdtest.Server
	programs slapdtest.Programs
	entries  int
	loading  time.Duration
	secret   string // a file with the password of the listener
}

func newProvider(dir string, people int) (*provider, error) {
	programs, err := slapdtest.Locate()
	if err != nil {
		return nil, err
	}
	slapdDir := filepath.Join(dir, "slapd")
	if err := os.Mkdir(slapdDir, 0o700); err != nil {
		return nil, err
	}
	secret := filepath.Join(dir, "ldap.secret")
	// ldapsearch -y takes the file as it is, a newline included.
	if err := os.WriteFile(secret, []byte(slapdtest.ListenerPassword), 0o600); err != nil {
		return nil, err
	}
	ldif := &entryCounter{r: slapdtest.People(people, 1)}
	began := time.Now()
	server, err := slapdtest.New(slapdDir, slapdtest.WithLDIF(ldif))
	if err != nil {
		return nil, fmt.Errorf("provider: %w", err)
	}
	return &provider{dir, server, programs, ldif.entries, time.Since(began), secret}, nil
}

// entryCounter counts the entries of the LDIF that is read through it: each ends in
// an empty line.
type entryCounter struct {
	r       io.Reader
	entries int
	last    byte // of what was read before
}

func (c *entryCounter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if n > 0 {
		if c.last == '\n' && p[0] == '\n' {
			c.entries++
		}
		c.entries += bytes.Count(p[:n], []byte("\n\n"))
		c.last = p[n-1]
	}
	return n, err
}

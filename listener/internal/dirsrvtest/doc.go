// Package dirsrvtest runs throwaway 389 Directory Servers for tests: a real ns-slapd
// with a database of its own, the Content Synchronization and Retro Changelog
// plugins, and a free port of the loopback interface.
//
// [Start] starts one for a test, cleans up after it, and fails the test if the
// program is missing. It takes about a second, and needs neither root nor systemd
// nor an installation: the configuration is made of the template that the server's
// package has for its own setup tool, with all paths below one directory. So the
// programs that scripts/servers.sh unpacked do.
//
// The names and passwords are those of package slapdtest.
package dirsrvtest

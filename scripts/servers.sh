#!/usr/bin/env bash
# Finds the server programs that the tests and the demo start: slapd, ldapsearch,
# ldapmodify, memcached, the 389 Directory Server's ns-slapd, and a Kerberos KDC with the
# SASL plugin that makes slapd take its tickets. What the machine lacks is downloaded from the distribution and unpacked
# into the cache folder: nothing is installed, no service is set up, no root is needed.
#
# It writes the paths to servers/env in the cache folder, and prints that file.
#
# LISTENERD_CACHE    the cache folder; default: .cache at the root of the repository
# LISTENERD_SERVERS  "cache" ignores what is installed and unpacks all of it
set -euo pipefail

home=${LISTENERD_CACHE:-$(dirname "${BASH_SOURCE[0]}")/../.cache}/servers
mkdir -p "$home"
home=$(cd "$home" && pwd)
env=$home/env
programs=(slapd ldapsearch ldapmodify memcached krb5kdc kdb5_util kadmin.local kinit)
declare -A package=([slapd]=slapd [ldapsearch]=ldap-utils [ldapmodify]=ldap-utils [memcached]=memcached
	[krb5kdc]=krb5-kdc [kdb5_util]=krb5-kdc [kadmin.local]=krb5-admin-server [kinit]=krb5-user
	[gssapi]=libsasl2-modules-gssapi-mit)
programs+=(ns-slapd)
package[ns-slapd]=389-ds-base
PATH=$PATH:/usr/sbin:/usr/local/sbin:/usr/libexec

say() { printf 'servers: %s\n' "$*" >&2; }

give_up() {
	say "$1"
	say 'Install what is missing and try again:'
	say '  Debian, Ubuntu:  apt-get install --no-install-recommends slapd ldap-utils memcached krb5-kdc krb5-admin-server krb5-user libsasl2-modules-gssapi-mit 389-ds-base'
	say '  Fedora:          dnf install openldap-servers openldap-clients memcached krb5-server krb5-workstation cyrus-sasl-gssapi 389-ds-base'
	say '(On Debian and Ubuntu this also starts services; "systemctl disable --now slapd memcached krb5-kdc" ends that.)'
	exit 1
}

# variable prints the name that a program has in the env file.
variable() {
	local name=${1^^}
	printf 'LISTENERD_%s' "${name//[.-]/_}"
}

# complete tells whether the env file names all that is needed and all it names is
# still there.
complete() {
	local name value mode= known=' '
	[[ -r $env ]] || return 1
	while IFS='=' read -r name value; do
		known+="$name "
		case $name in
		LISTENERD_SERVERS) mode=$value ;;
		*) [[ -e $value ]] || return 1 ;;
		esac
	done <"$env"
	for name in "${programs[@]}"; do
		[[ $known == *" $(variable "$name") "* ]] || return 1
	done
	[[ $known == *' LISTENERD_SASL_PATH '* && $mode == "${LISTENERD_SERVERS-}" ]]
}

# confined tells whether AppArmor keeps the installed slapd out of the folders that
# the tests use. Its rules go by path, so an unpacked slapd is free of them.
confined() {
	[[ $1 == slapd && -e /etc/apparmor.d/usr.sbin.slapd ]] &&
		[[ $(cat /sys/module/apparmor/parameters/enabled 2>/dev/null) == Y ]]
}

# installed prints the path of a usable program of the machine.
installed() {
	[[ ${LISTENERD_SERVERS-} != cache ]] && ! confined "$1" && command -v "$1"
}

first_dir() {
	local dir
	for dir; do
		[[ -d $dir ]] && printf '%s' "$dir" && return
	done
	return 1
}

# sasl_plugins prints the folder of SASL plugins below $1 that has the one for GSSAPI.
sasl_plugins() {
	local plugin
	for plugin in "$1"/usr/lib/*/sasl2/libgssapiv2.so "$1"/usr/lib{64,}/sasl2/libgssapiv2.so; do
		[[ -e $plugin ]] && printf '%s' "${plugin%/*}" && return
	done
	return 1
}

# apt runs apt-get without any right to the system's own state: lists ($1) and
# cache are private, the status file is a copy in which the wanted packages are not
# installed.
apt() {
	local lists=$1
	shift
	LC_ALL=C apt-get -qq -o Dir::State="$work/state" -o Dir::State::lists="$lists" -o Dir::State::status="$work/status" \
		-o Dir::Cache="$work/cache" -o Debug::NoLocking=1 -o APT::Sandbox::User="$(id -un)" "$@"
}

# fetch downloads the packages with the libraries they need that are not installed.
# The programs run without the other dependencies (perl, adduser, ...), which are
# for the packages' installation scripts.
fetch() {
	local lists=$1 plan
	shift
	plan=$(apt "$lists" --simulate --no-install-recommends install "$@") || return 1
	mapfile -t plan < <(awk -v want=" $* " '
		$1 == "Inst" && (index(want, " " $2 " ") || $2 ~ /^lib|-libs$/ && $2 !~ /^lib.*(perl|-dev$)/) {
			v = $3; if (v ~ /^\[/) v = $4
			sub(/^\(/, "", v); print $2 "=" v
		}' <<<"$plan")
	((${#plan[@]})) && (cd "$work/debs" && rm -f ./*.deb && apt "$lists" download "${plan[@]}")
}

# unpack downloads the packages and unpacks them into $home/root.
unpack() {
	local want=("$@") deb
	command -v apt-get >/dev/null && command -v dpkg >/dev/null || give_up "$* not found, and no apt-get to get it with"
	say "unpacking ${want[*]} into $home (nothing is installed)"
	work=$home/work.$$
	trap 'rm -rf "$work"' EXIT
	mkdir -p "$work"/{debs,root,state,cache/archives/partial,lists/partial}
	awk -v want=" ${want[*]} " -v RS= -v ORS='\n\n' '{ split($2, p, "\n"); if (!index(want, " " p[1] " ")) print }' \
		/var/lib/dpkg/status >"$work/status"
	if ! fetch /var/lib/apt/lists "${want[@]}" 2>"$work/messages"; then
		say 'reading the package lists'
		apt "$work/lists" update >>"$work/messages" 2>&1 || true # one bad source of several is no matter
		fetch "$work/lists" "${want[@]}" 2>>"$work/messages" || {
			cat "$work/messages" >&2
			give_up "apt-get cannot download ${want[*]}"
		}
	fi
	for deb in "$work"/debs/*.deb; do
		dpkg -x "$deb" "$work/root"
	done
	rm -rf "$home/root"
	mv "$work/root" "$home/root"
}

# wrapper prints the path of a program that runs an unpacked one with its libraries.
wrapper() {
	local target libraries
	target=$(PATH=$home/root/usr/sbin:$home/root/usr/bin command -v "$1") || return 1
	libraries=$(find "$home/root" -name 'lib*.so*' -printf '%h\n' | sort -u | paste -sd:)
	mkdir -p "$home/bin"
	cat >"$home/bin/$1" <<-END
		#!/bin/sh
		LD_LIBRARY_PATH="$libraries\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}" exec "$target" "\$@"
	END
	chmod +x "$home/bin/$1"
	printf '%s' "$home/bin/$1"
}

# setup finds or unpacks each program and writes the env file.
setup() {
	local name path lines=() wanted=()
	for name in "${programs[@]}"; do
		installed "$name" >/dev/null || [[ " ${wanted[*]-} " == *" ${package[$name]} "* ]] || wanted+=("${package[$name]}")
	done
	[[ ${LISTENERD_SERVERS-} != cache ]] && sasl_plugins '' >/dev/null || wanted+=("${package[gssapi]}")
	((${#wanted[@]} == 0)) || unpack "${wanted[@]}"

	for name in "${programs[@]}"; do
		path=$(installed "$name") || path=$(wrapper "$name") || give_up "no $name in the unpacked packages"
		case $name in
		memcached) "$path" -V ;;
		ns-slapd) [[ $("$path" -v) == *389* ]] ;; # its exit status says nothing
		k*) "$path" '-?' || (($? < 126)) ;; # they know no such option, and say so
		*) "$path" -VV ;;
		esac >/dev/null 2>"$home/messages" </dev/null || {
			cat "$home/messages" >&2
			give_up "$path does not run"
		}
		lines+=("$(variable "$name")=$path")
		if [[ $name == ns-slapd ]]; then
			local prefix=/ # of its plugins, schemas and templates
			[[ $path == "$home"/* ]] && prefix=$home/root
			lines+=("LISTENERD_DIRSRV_ROOT=$prefix")
		fi
		if [[ $name == slapd ]]; then
			local under=
			[[ $path == "$home"/* ]] && under=$home/root
			lines+=("LISTENERD_SLAPD_MODULE_PATH=$(first_dir "$under"/usr/{lib/ldap,lib64/openldap,lib/openldap,libexec/openldap})") ||
				give_up 'no folder with slapd modules found'
			lines+=("LISTENERD_SLAPD_SCHEMA_DIR=$(first_dir "$under"/etc/{ldap,openldap}/schema)") || give_up 'no folder with LDAP schemas found'
		fi
	done
	rm -f "$home/messages"
	if [[ ${LISTENERD_SERVERS-} != cache ]] && path=$(sasl_plugins '') || path=$(sasl_plugins "$home/root"); then
		lines+=("LISTENERD_SASL_PATH=$path")
	else
		give_up 'no folder with the SASL plugin for GSSAPI found'
	fi
	path=$(find "$home/root" -type d -path '*/krb5/plugins/kdb' 2>/dev/null | head -n 1)
	[[ -z $path ]] || lines+=("LISTENERD_KDB_PATH=$path") # an installed KDC knows its own
	lines+=("LISTENERD_SERVERS=${LISTENERD_SERVERS-}")
	printf '%s\n' "${lines[@]}" >"$env.$$"
	mv "$env.$$" "$env"
}

if ! complete; then
	exec 9>"$home/lock"
	! command -v flock >/dev/null || flock 9
	complete || setup
fi
cat "$env"

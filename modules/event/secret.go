package event

import "strings"

// Secret tells whether the attribute holds a password, a key or what a password can
// be recovered from. Case and options ("userPassword;x-old") make no difference.
func Secret(name string) bool {
	name, _, _ = strings.Cut(name, ";")
	var buf [32]byte
	if len(name) > len(buf) {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		buf[i] = c
	}
	return secrets[string(buf[:len(name)])]
}

var secrets = map[string]bool{
	// RFC 4519, RFC 3112, RFC 2798
	"userpassword": true, "authpassword": true, "userpkcs12": true,
	// OpenLDAP: password policy, one-time passwords, automatic CA, cn=config
	"pwdhistory": true, "oathsecret": true, "userprivatekey": true, "caprivatekey": true,
	"olcrootpw": true,
	// 389 DS and FreeIPA
	"passwordhistory": true, "unhashed#user#password": true, "nsds5replicacredentials": true,
	"nsmultiplexorcredentials": true, "ipanthash": true, "ipanttrustauthincoming": true,
	"ipanttrustauthoutgoing": true, "ipatokenotpkey": true, "ipatokenradiussecret": true,
	"ipasecretkey": true, "ipaprivatekey": true,
	// Kerberos: Heimdal, MIT
	"krb5key": true, "krbprincipalkey": true, "krbmkey": true, "krbpwdhistory": true,
	// Samba
	"sambantpassword": true, "sambalmpassword": true, "sambapasswordhistory": true,
	"sambacleartextpassword": true, "sambapreviouscleartextpassword": true,
	// Univention Corporate Server
	"pwhistory": true, "univentionfetchmailpasswd": true,
	// Active Directory and Samba AD
	"unicodepwd": true, "dbcspwd": true, "clearpassword": true, "ntpwdhistory": true,
	"lmpwdhistory": true, "supplementalcredentials": true, "trustauthincoming": true,
	"trustauthoutgoing": true, "initialauthincoming": true, "initialauthoutgoing": true,
	"currentvalue": true, "priorvalue": true, "ms-mcs-admpwd": true, "mslaps-password": true,
	"mslaps-encryptedpassword": true, "mslaps-encryptedpasswordhistory": true,
	"msds-managedpassword": true, "msfve-recoverypassword": true, "msfve-keypackage": true,
}

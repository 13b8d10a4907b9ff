"""Counts the entries of a refreshOnly sync search with python-ldap."""
import sys

import ldap
import ldap.ldapobject
import ldap.syncrepl


class Counter(ldap.ldapobject.SimpleLDAPObject, ldap.syncrepl.SyncreplConsumer):
    entries = 0

    def syncrepl_entry(self, dn, attributes, uuid):
        self.entries += 1

    def syncrepl_present(self, uuids, refreshDeletes=False):
        pass

    def syncrepl_delete(self, uuids):
        pass

    def syncrepl_get_cookie(self):
        return None

    def syncrepl_set_cookie(self, cookie):
        pass


uri, who, password, base = sys.argv[1:]
consumer = Counter(uri)
consumer.simple_bind_s(who, password)
search = consumer.syncrepl_search(base, ldap.SCOPE_SUBTREE, mode="refreshOnly", attrlist=["*", "+"])
while consumer.syncrepl_poll(all=1, msgid=search):
    pass
print(consumer.entries)

# SPDX-License-Identifier: BSD-2-Clause
"""The real daemons of a mail server, each configured for one machine: it says its own name."""
from .machine import wait_until

USER, PASSWORD, DOMAIN = "alice", "s3cret-of-the-mail", "example.test"
MAILDIR = f"/var/mail/vhosts/{USER}"

POSTFIX_MAIN = """compatibility_level = 3.6
queue_directory = /var/spool/postfix
data_directory = /var/lib/postfix
myhostname = {name}.{domain}
mydestination =
smtpd_banner = $myhostname ESMTP
inet_interfaces = all
inet_protocols = all
mynetworks = 10.0.0.0/8 127.0.0.0/8 [fd00::]/8
virtual_mailbox_domains = {domain}
virtual_mailbox_base = /var/mail/vhosts
virtual_mailbox_maps = static:{user}/
virtual_uid_maps = static:8
virtual_gid_maps = static:8
virtual_minimum_uid = 8
alias_maps =
alias_database =
local_recipient_maps =
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_peername_lookup = no
maillog_file = /var/log/mail.log
maillog_file_prefixes = /var
"""

POSTFIX_MASTER = """smtp      inet  n - n - - smtpd
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
smtp      unix  - - n - - smtp
error     unix  - - n - - error
retry     unix  - - n - - error
discard   unix  - - n - - discard
virtual   unix  - n n - - virtual
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
"""

DOVECOT = """protocols = imap pop3
listen = *, ::
base_dir = /run/dovecot
log_path = /var/log/dovecot.log
login_greeting = {name} ready
ssl = no
disable_plaintext_auth = no
mail_location = maildir:/var/mail/vhosts/%n
first_valid_uid = 1
first_valid_gid = 1
mail_max_userip_connections = 0
service imap-login {{
  service_count = 0
  process_min_avail = 1
  client_limit = 2000
}}
service pop3-login {{
  service_count = 0
  process_min_avail = 1
}}
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid=8 gid=8 home=/var/mail/vhosts/%n
}}
"""

# For those that want more of a mail server: TLS, logins, the other protocols.
CERTIFICATE, KEY = "/etc/mail.crt", "/etc/mail.key"

POSTFIX_MAIN_MORE = f"""smtpd_tls_cert_file = {CERTIFICATE}
smtpd_tls_key_file = {KEY}
smtpd_tls_security_level = may
smtpd_tls_auth_only = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = private/auth
"""

POSTFIX_MASTER_MORE = """submission inet n - n - - smtpd
    -o smtpd_tls_security_level=encrypt -o smtpd_sasl_auth_enable=yes
    -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject
"""

DOVECOT_MORE = f"""protocols = imap pop3 lmtp sieve
ssl = yes
ssl_cert = <{CERTIFICATE}
ssl_key = <{KEY}
auth_failure_delay = 0
auth_mechanisms = plain login
service lmtp {{
  inet_listener lmtp {{
    port = 24
  }}
}}
service managesieve-login {{
  inet_listener sieve {{
    port = 4190
  }}
}}
service auth {{
  unix_listener /var/spool/postfix/private/auth {{
    mode = 0666
  }}
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
"""

NGINX = """worker_processes 1;
error_log /var/log/nginx-error.log;
pid /run/nginx.pid;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path /run/nginx-body;
  proxy_temp_path /run/nginx-proxy;
  fastcgi_temp_path /run/nginx-fastcgi;
  uwsgi_temp_path /run/nginx-uwsgi;
  scgi_temp_path /run/nginx-scgi;
  server {{
    listen 80; listen [::]:80;
    location / {{ return 200 "{name}\\n"; }}
    location /big {{ alias /var/www-big; }}
  }}
  {servers}
}}
"""


def maildir_make(machine):
    machine.run(f"mkdir -p {MAILDIR}/new {MAILDIR}/cur {MAILDIR}/tmp && "
                "chown -R 8:8 /var/mail/vhosts && chmod -R 700 /var/mail/vhosts")


def listens(machine, port):
    return f":{port} " in machine.run("ss", "-ltn")


def certificate_make(machine):
    """Nobody has signed it."""
    machine.run(f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 "
                f"-subj /CN={machine.name}.{DOMAIN} -keyout {KEY} -out {CERTIFICATE} 2> /dev/null")


# Postfix looks at each of its files before it starts, and makes what lacks; not where it is told that nothing does.
POSTFIX_QUICK = ("(cd /var/spool/postfix && ls -d maildrop pid public > /dev/null 2>&1 && "
                 "install -d -o postfix -m 700 active bounce corrupt defer deferred flush hold incoming private saved trace && "
                 "touch quick-start)")


def postfix_start(machine, more=False, main="", master=""):
    machine.write("/etc/postfix/main.cf",
                  POSTFIX_MAIN.format(name=machine.name, domain=DOMAIN, user=USER) +
                  (POSTFIX_MAIN_MORE if more else "") + main)
    machine.write("/etc/postfix/master.cf", POSTFIX_MASTER + (POSTFIX_MASTER_MORE if more else "") + master)
    machine.run(f"rm -f /var/spool/postfix/pid/*; {POSTFIX_QUICK}; postfix start > /run/postfix.out 2>&1", timeout=30)
    wait_until(lambda: listens(machine, 25), 15, f"Postfix of {machine.name} listens")


def dovecot_configure(machine, more=False, extra=""):
    machine.write("/etc/dovecot/dovecot.conf", DOVECOT.format(name=machine.name, password=PASSWORD) +
                  (DOVECOT_MORE if more else "") + extra)


def dovecot_start(machine, more=False, extra=""):
    dovecot_configure(machine, more, extra)
    machine.run("mkdir -p /run/dovecot && dovecot -c /etc/dovecot/dovecot.conf > /run/dovecot.out 2>&1", timeout=30)
    wait_until(lambda: listens(machine, 143), 15, f"Dovecot of {machine.name} listens")


def nginx_start(machine, servers=""):
    machine.write("/etc/nginx/nginx.conf", NGINX.format(name=machine.name, servers=servers))
    machine.run("nginx > /run/nginx.out 2>&1", timeout=30)
    wait_until(lambda: listens(machine, 80), 15, f"nginx of {machine.name} listens")


def mail_count(machine):
    """Messages in the mailbox that lies on this machine."""
    return int(machine.run(f"find {MAILDIR}/new {MAILDIR}/cur -type f | wc -l"))

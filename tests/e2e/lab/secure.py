# SPDX-License-Identifier: BSD-2-Clause
"""The real mail daemons once more, each with more listeners: with certificates of an authority (good, expired,
one that wants the client's), behind a PROXY header, behind postscreen, and such that ask for no more work."""
from . import daemons

NAME = f"mx.{daemons.DOMAIN}"
TLS = "/etc/tls"  # ca, other, good, expired, client: each a .pem and a .key

SERVER = f"/CN={NAME} -addext subjectAltName=DNS:{NAME}"
EC = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"

POSTFIX_MASTER = f"""2501 inet n - n - - smtpd -o smtpd_tls_cert_file={TLS}/expired.pem -o smtpd_tls_key_file={TLS}/expired.key
2502 inet n - n - - smtpd -o smtpd_tls_security_level=encrypt -o smtpd_tls_req_ccert=yes -o smtpd_tls_CAfile={TLS}/ca.pem
2503 inet n - n - - smtpd -o smtpd_tls_wrappermode=yes
2504 inet n - n - - smtpd -o smtpd_upstream_proxy_protocol=haproxy -o smtpd_upstream_proxy_timeout=1s
2505 inet n - n - 1 postscreen -o mynetworks=127.0.0.0/8
2506 inet n - n - 1 postscreen -o postscreen_upstream_proxy_protocol=haproxy -o postscreen_upstream_proxy_timeout=1s
2507 inet n - n - - smtpd -o smtpd_delay_reject=no
    -o {{ smtpd_client_restrictions = check_client_access static:{{421 4.3.2 shutting down}} }}
2508 inet n - n - - smtpd -o smtpd_delay_reject=no -o smtpd_helo_restrictions=defer
smtpd pass - - n - - smtpd
tlsproxy unix - - n - 0 tlsproxy
dnsblog unix - - n - 0 dnsblog
"""

# postscreen tests each client anew, with a teaser
POSTFIX_MAIN = """postscreen_cache_map =
postscreen_greet_wait = 1s
"""

DOVECOT = f"""local_name expired.{daemons.DOMAIN} {{
  ssl_cert = <{TLS}/expired.pem
  ssl_key = <{TLS}/expired.key
}}
ssl_ca = <{TLS}/ca.pem
ssl_require_crl = no
protocol pop3 {{
  ssl_verify_client_cert = yes
  auth_ssl_require_client_cert = yes
}}
haproxy_trusted_networks = 10.77.0.0/24
haproxy_timeout = 1s
service imap-login {{
  inet_listener imap-proxy {{
    port = 1143
    haproxy = yes
  }}
}}
service lmtp {{
  inet_listener lmtp-proxy {{
    port = 1024
    haproxy = yes
  }}
}}
"""

NGINX = f"""server {{
    listen 443 ssl; ssl_certificate {TLS}/good.pem; ssl_certificate_key {TLS}/good.key;
    location / {{ return 200 "secure\\n"; }}
  }}
  server {{
    listen 444 ssl; ssl_certificate {TLS}/expired.pem; ssl_certificate_key {TLS}/expired.key;
    location / {{ return 200 "secure\\n"; }}
  }}
  server {{
    listen 445 ssl; ssl_certificate {TLS}/good.pem; ssl_certificate_key {TLS}/good.key;
    ssl_client_certificate {TLS}/ca.pem; ssl_verify_client on;
    location / {{ return 200 "$ssl_client_s_dn\\n"; }}
  }}
  server {{
    listen 8081 proxy_protocol;
    location / {{ return 200 "$proxy_protocol_addr $proxy_protocol_server_addr\\n"; }}
  }}
  server {{
    listen 8082;
    location /busy {{ add_header Retry-After 30 always; return 503; }}
    location / {{ return 503; }}
  }}
"""


def authority_make(machine, name):
    machine.run(f"mkdir -p {TLS} && cd {TLS} && openssl req -x509 {EC} -days 60 -subj /CN={name} -keyout {name}.key "
                f"-out {name}.pem 2> /dev/null")


def certificate_make(machine, name, days, subject=SERVER):
    machine.run(f"cd {TLS} && openssl req {EC} -subj {subject} -keyout {name}.key -out {name}.csr 2> /dev/null && "
                f"openssl x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -copy_extensions copy -days {days} "
                f"-out {name}.pem 2> /dev/null")


def start(machine):
    authority_make(machine, "ca")
    authority_make(machine, "other")
    certificate_make(machine, "good", 30)
    certificate_make(machine, "expired", -1)
    certificate_make(machine, "client", 30, "/CN=lb1")
    machine.run(f"cp {TLS}/good.pem {daemons.CERTIFICATE} && cp {TLS}/good.key {daemons.KEY}")
    daemons.maildir_make(machine)
    daemons.postfix_start(machine, more=True, main=POSTFIX_MAIN, master=POSTFIX_MASTER)
    daemons.dovecot_start(machine, more=True, extra=DOVECOT)
    daemons.nginx_start(machine, servers=NGINX)


def dovecot_auth(machine, works):
    """Whether Dovecot has a process that knows its users; without it says after a while that it cannot serve."""
    broken = "service auth {\n  executable = /bin/false\n}\n"
    daemons.dovecot_configure(machine, more=True, extra=DOVECOT + ("" if works else broken))
    machine.run("doveadm reload")

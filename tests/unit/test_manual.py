#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Every example of sluice.conf(5) is a good configuration, and every type of probe has one."""
import os
import re
import subprocess
import sys
import tempfile

SLUICED, MANUAL = sys.argv[1:]
TOP = ("on_change",)
POOL = ("probe", "agent", "heal", "panic_threshold", "backup_pool", "no_backend")
SECRETS = "/etc/sluice/"  # what examples name there is made, in another folder

WHOLE = """secret_file = "/etc/sluice/secret";
nodes = ( { name = "lb1"; interfaces = [ "eth0" ]; } );
vrrp = ( { name = "m"; vrid = 1; priorities = { lb1 = 200; }; addresses = [ "192.0.2.10/24" ]; } );
pools = ( { name = "mx"; port = 25; backends = ( { name = "b"; address = "192.0.2.21"; } ); IN-POOL },
  { name = "sorry"; port = 25; backends = ( { name = "b"; address = "192.0.2.21"; } ); } );
services = ( { name = "s"; vip = "192.0.2.10"; port = 25; pool = "mx"; } );
AT-TOP
"""


def plain(text):
    for roff, char in ((r"\(dq", '"'), (r"\(aq", "'"), (r"\&", ""), (r"\e", "\\")):
        text = text.replace(roff, char)
    return text


def examples(manual):
    """What is set on a line of its own or in a block, as it is printed."""
    found = re.findall(r"^\.Bd -literal.*\n((?:.*\n)*?)\.Ed$|^\.(?:Ql|Dl) (.*;)$", manual, re.M)
    for block, line in found:
        text = plain(block or line)
        key = re.match(r"(\w+) = ", text)
        if key and key[1] in TOP + POOL:
            yield key[1], text


def mistakes(folder, key, text):
    at_top, in_pool = (text, "") if key in TOP else ("", text)
    whole = WHOLE.replace("AT-TOP", at_top).replace("IN-POOL", in_pool)
    for path in set(re.findall(SECRETS + r"[\w.-]+", whole)):
        own = os.path.join(folder, os.path.basename(path))
        if not os.path.exists(own):
            with open(own, "w", opener=lambda p, flags: os.open(p, flags, 0o600)) as f:
                f.write("a secret of the manual, 32 bytes and more\n")
    path = os.path.join(folder, "sluice.conf")
    with open(path, "w") as f:
        f.write(whole.replace(SECRETS, folder + "/"))
    done = subprocess.run([SLUICED, "-t", "-n", "lb1", "-c", path], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    return done.stdout if done.returncode else ""


def keypair_make(folder):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "1", "-subj", "/CN=lb", "-keyout", f"{folder}/lb.key", "-out", f"{folder}/lb.pem"],
                   check=True, stderr=subprocess.DEVNULL)
    os.link(f"{folder}/lb.pem", f"{folder}/ca.pem")


def main():
    with open(MANUAL) as f:
        manual = f.read()
    n, failed, shown = 0, 0, set()
    with tempfile.TemporaryDirectory() as folder:
        keypair_make(folder)
        for key, text in examples(manual):
            n += 1
            shown.update(re.findall(r'^probe = (?:\{\s*type = )?"(\w+)"', text))
            if said := mistakes(folder, key, text):
                print(f"{text.strip()}\n    {said}")
                failed += 1
    types = set(re.findall(r"\w+", re.search(r"^\.It Ic type\n\.Qq (.*) ,\nor\n\.Qq none", manual, re.M)[1]))
    print(f"{n} examples, {failed} with mistakes; types without one: {', '.join(sorted(types - shown)) or 'none'}")
    return 0 if n > len(types) > 15 and not failed and not types - shown else 1


if __name__ == "__main__":
    sys.exit(main())

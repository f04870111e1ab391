# SPDX-License-Identifier: BSD-2-Clause
"""A machine that systemd runs, as on a real node: with a private /usr, too, so that packages can be installed, a cgroup
of its own, and no units but those that are needed to start a service."""
import os
import subprocess

from .machine import Machine, wait_until

# Joins a cgroup of its own: `sh -c JOIN sh NAME COMMAND...`; the mount is private.
JOIN = r"""
set -e
mount -t cgroup2 cgroup2 /mnt
mkdir "/mnt/$1"
echo $$ > "/mnt/$1/cgroup.procs"
umount /mnt
shift
exec "$@"
"""
LEAVE = r"""
mount -t cgroup2 cgroup2 /mnt
[ ! -d "/mnt/$1" ] || find "/mnt/$1" -depth -type d -exec rmdir {} \;
[ ! -d "/mnt/$1" ]
"""

# systemd's own units are many, and start half of a Debian; a generator would read the host's fstab.
FIRST = r"""
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir /run/dev
mount -t tmpfs -o mode=755 tmpfs /run/dev
for node in null zero full random urandom tty; do
    touch /run/dev/$node
    mount --bind /dev/$node /run/dev/$node
done
ln -s /proc/self/fd /run/dev/fd
mount --move /run/dev /dev
for dir in /usr/lib/systemd/system /usr/lib/systemd/system-generators /etc/systemd/system; do
    mount -t tmpfs tmpfs $dir
done
for unit in lab.target sysinit.target basic.target network.target multi-user.target shutdown.target; do
    printf '[Unit]\nDefaultDependencies=no\n' > /etc/systemd/system/$unit
done
: > /etc/fstab
echo "$1" > /etc/hostname
rm -f /usr/sbin/policy-rc.d
echo ready
exec env -i container=lab "PATH=$PATH" SYSTEMD_LOG_TARGET=console /lib/systemd/systemd --system --unit=lab.target \
    --show-status=no --dump-core=no < /dev/null > /run/systemd.log 2>&1
"""


class Booted(Machine):
    NAMESPACES = (*Machine.NAMESPACES, "--cgroup")
    FOLDERS = "etc var usr"
    FIRST = FIRST

    def __init__(self, name):
        self.cgroup = f"sluice-lab.{os.getpid()}.{name}"
        super().__init__(name)
        try:
            wait_until(lambda: "active" == self.run("systemctl is-active lab.target || true").strip(), 10,
                       f"{name}: systemd runs")
        except BaseException:
            said = self.run("cat /run/systemd.log", check=False).stdout
            self.close()
            raise AssertionError(f"systemd does not run:\n{said}")

    def before(self):
        return ("unshare", "--mount", "--propagation", "private", "sh", "-c", JOIN, "sh", self.cgroup)

    def systemctl(self, *words):
        return self.run("systemctl", *words)

    def close(self):
        super().close()
        wait_until(lambda: subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", LEAVE, "sh",
                                           self.cgroup], stderr=subprocess.DEVNULL).returncode == 0, 5,
                   f"no cgroup is left of {self.name}")

# shellcheck shell=bash
# A clean root of Debian for tests of the package, in which the real systemd runs: its namespaces are its own, its network is
# a loopback with 10.0.0.5, the address in the book. To source, with the package in the variable `package`; `root` is the
# folder of the root afterwards. It needs root, cgroups of version 2, procps and Python.

say() { echo "$(basename "$0"): $*"; }
fail() { say "$*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail "needs root, for a root of its own"
for tool in curl findmnt ip nsenter pgrep python3; do
    command -v "$tool" >/dev/null || fail "needs $tool (of the packages curl, iproute2, procps, python3, util-linux)"
done
command -v debootstrap >/dev/null || { apt-get update -q && apt-get install -yq --no-install-recommends debootstrap; }

root=
booted_by= # The process that waits for systemd, of which it is the only child.
init=
cgroup=

# Makes the root, with these packages besides the smallest set.
make_root() {
    # Users other than root start programs there, too.
    root=$(mktemp -d) && chmod 755 "$root"
    debootstrap --variant=minbase --include="systemd,systemd-sysv,dbus" bookworm "$root" >"$root.log" 2>&1 ||
        { tail "$root.log" >&2; rm -f "$root.log"; exit 1; }
    rm -f "$root.log"
    # Services do not start in a chroot.
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" && chmod 755 "$root/usr/sbin/policy-rc.d"
    [ $# = 0 ] || quietly inside apt-get install -yq --no-install-recommends "$@"
}

remove_root() {
    shut_down
    [ -z "$root" ] || rm -rf --one-file-system "$root"
}

# Runs a command, whose output is of interest only if it fails.
quietly() {
    local output
    output=$("$@" 2>&1) || { echo "$output" >&2; return 1; }
}

# Runs a command in the root, without systemd, with the network of this machine.
inside() {
    chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive LC_ALL=C "$@"
}

# The same with what systemd has: its network, its processes.
booted() {
    nsenter --target "$init" --all -- env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive \
        LC_ALL=C bash -c 'cd && "$@"' booted "$@"
}

# Repeats a command until it succeeds, for a minute. First what is waited for.
until_ok() {
    local what=$1
    shift
    for _ in $(seq 300); do
        ! "$@" >/dev/null 2>&1 || return 0
        sleep 0.2
    done
    "$@" >&2 || true
    fail "waited a minute for $what"
}

# The steps of a start.
has_child() { init=$(pgrep -P "$booted_by"); }
is_started() { booted sh -c "systemctl is-system-running | grep -E 'running|degraded'"; }

# Starts systemd, with all services that are enabled.
boot() {
    rm -f "$root/usr/sbin/policy-rc.d"
    cgroup=$(findmnt --noheadings --first-only --types cgroup2 --output TARGET)/clean-root-$$ ||
        fail "needs cgroups of version 2: no such file system is mounted"
    mkdir "$cgroup"
    (
        echo "$BASHPID" >"$cgroup/cgroup.procs"
        exec unshare --fork --kill-child --pid --mount --net --uts --ipc --cgroup bash -euc "$START" boot "$root"
    ) >"$root/boot.log" 2>&1 </dev/null &
    booted_by=$!
    for step in has_child is_started; do
        for _ in $(seq 300); do
            ! "$step" >/dev/null 2>&1 || continue 2
            kill -0 "$booted_by" 2>/dev/null || break
            sleep 0.2
        done
        tail "$root/boot.log" >&2
        fail "systemd does not start in the root"
    done
}

# pivot_root, as a process in a chroot may not make the user namespaces of PrivateUsers.
START='
root=$1
mount --make-rprivate /
mount --bind "$root" "$root"
cd "$root"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty; do touch dev/$device; mount --bind /dev/$device dev/$device; done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs tmpfs dev/shm
ip link set lo up
ip address add 10.0.0.5/32 dev lo
mkdir -p old
pivot_root . old
cd /
umount --lazy old
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --log-target=console --show-status=no
'

# Ends systemd, and with it all that it has started.
shut_down() {
    [ -n "$booted_by" ] || return 0
    kill -KILL "$booted_by" 2>/dev/null || true
    wait "$booted_by" 2>/dev/null || true
    booted_by='' init=''
    # The kernel frees the groups after the last process.
    for _ in $(seq 50); do
        find "$cgroup" -depth -type d -exec rmdir '{}' ';' 2>/dev/null || true
        [ -d "$cgroup" ] || return 0
        sleep 0.1
    done
}

# The block of a page of the book in the package `package` that begins with a text.
block() { # page, start
    local book="$root/root/book"
    [ -d "$book" ] || { mkdir "$book" && dpkg-deb --fsys-tarfile "$package" | tar -x -C "$book" ./usr/share/doc; }
    python3 - "$book/usr/share/doc/derived-statsd/docs/src/$1" "$2" <<'END'
import re, sys
page, start = sys.argv[1:]
found = [text for text in re.findall(r"^```\w*\n(.*?)^```", open(page).read(), re.M | re.S) if text.startswith(start)]
if len(found) != 1:
    sys.exit(f"{page}: {len(found)} blocks begin with {start!r}, wanted one")
sys.stdout.write(found[0])
END
}

# The package with a lower version: the release before, as far as there is none.
older_package() { # package, new file
    local folder
    folder=$(mktemp -d)
    dpkg-deb --raw-extract "$1" "$folder/raw"
    sed -i 's/^Version: .*/Version: 0.0.1-1/' "$folder/raw/DEBIAN/control"
    dpkg-deb --root-owner-group -Zgzip -z1 --build "$folder/raw" "$2" >/dev/null
    rm -rf "$folder"
}

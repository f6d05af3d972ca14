# Becomes a program of an image, as a container runtime would start it: its root file system read-only, its user, no
# capability, nothing to gain by exec. Runs as process 1 of mount and pid namespaces of its own; the network is the host's.
#
# sh sandbox.sh ROOT WORKDIR USER [SOURCE TARGET ro|rw]… -- PROGRAM [ARGUMENT]…
set -eu
root=$1 workdir=$2 user=$3
shift 3

mount --bind "$root" "$root"
mkdir -p "$root/proc" "$root/dev"
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount -t tmpfs -o mode=755,nosuid,noexec tmpfs "$root/dev"
for device in null zero full random urandom; do
  touch "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done

while [ "$1" != -- ]; do
  if [ -d "$1" ]; then mkdir -p "$root$2"; else mkdir -p "$(dirname "$root$2")" && touch "$root$2"; fi
  mount --bind "$1" "$root$2"
  mount -o "remount,bind,$3,nosuid,nodev" "$root$2"
  shift 3
done
shift

mount -o remount,bind,ro,nosuid,nodev "$root"
# What chroot and the change of user need is gone with that change.
exec setpriv --no-new-privs --inh-caps=-all --bounding-set=-all,+setuid,+setgid,+sys_chroot -- \
  unshare --root="$root" --wd="$workdir" --setgid="$user" --setuid="$user" -- "$@"

#!/bin/sh
# Nova's agent of this node. Servers are libvirt's and go on without it.
set -eu
# shellcheck disable=SC1091 # the charm renders it
. /etc/daybreak/settings
until [ -s /run/daybreak/virt-type ]; do sleep 0.5; done
# A libvirt that has not been replaced yet keeps them to itself.
[ ! -e /run/pts/ptmx ] || mount --bind /run/pts /dev/pts
type=$VIRT_TYPE
[ "$type" != auto ] || type=$(cat /run/daybreak/virt-type)
mode=$CPU_MODE
if [ -z "$mode" ]; then
    mode=none
    [ "$type" = qemu ] || mode=host-model
fi
install -d -o nova -g nova /var/lib/nova/instances /var/lib/nova/tmp /etc/nova
/opt/daybreak/shares.sh /var/lib/nova/mnt nova
printf '[DEFAULT]\nhost = %s\nmy_ip = %s\n[libvirt]\nvirt_type = %s\ncpu_mode = %s\n' \
    "$NODE" "$ADDRESS" "$type" "$mode" > /etc/nova/node.conf
exec "$BIN/nova-compute" --config-file /etc/daybreak/nova.conf --config-file /etc/nova/node.conf

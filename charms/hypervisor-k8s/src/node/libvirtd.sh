#!/bin/sh
# libvirt: starts QEMU, which stays in the control group that it was started in, outside the container's.
set -eu
# Servers' terminals are in a file system of the node: each container has one of its own, in which nobody else sees them.
[ -e /run/pts/ptmx ] || mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts /run/pts
mount --bind /run/pts /dev/pts
if [ ! -s /run/daybreak/virt-type ]; then
    /opt/daybreak/acceleration.sh > /run/daybreak/virt-type.new
    mv /run/daybreak/virt-type.new /run/daybreak/virt-type
fi
group=$(id -g libvirt-qemu)
if [ "$(cat /run/daybreak/virt-type)" = kvm ]; then
    # QEMU's group is the one that may open /dev/kvm, whatever its number is on this machine.
    group=$(stat -c %g /dev/kvm)
else
    # A device that libvirt's first look at QEMU can open and QEMU's user cannot makes it forget what it saw, and look
    # again in every call: two starts of QEMU each time. It is this container's own node of the device.
    rm -f /dev/kvm
fi
sed "s/@GROUP@/$group/" /etc/daybreak/qemu.conf > /etc/libvirt/qemu.conf

# Certificates under the names that libvirt and QEMU want, readable by both.
certificates() {
    install -d -m 0750 -o root -g "$group" /run/libvirt/tls
    for pair in tls.key:server-key tls.crt:server-cert tls.key:client-key tls.crt:client-cert ca.pem:ca-cert; do
        install -m 0640 -o root -g "$group" "/etc/daybreak/${pair%:*}" "/run/libvirt/tls/.new"
        mv /run/libvirt/tls/.new "/run/libvirt/tls/${pair#*:}.pem"
    done
}
seen() { cat /etc/daybreak/tls.key /etc/daybreak/tls.crt /etc/daybreak/ca.pem | cksum; }

before=$(seen)
certificates
# The client's side, by its usual names.
install -d /etc/pki/CA /etc/pki/libvirt/private
ln -sf /run/libvirt/tls/ca-cert.pem /etc/pki/CA/cacert.pem
ln -sf /run/libvirt/tls/client-cert.pem /etc/pki/libvirt/clientcert.pem
ln -sf /run/libvirt/tls/client-key.pem /etc/pki/libvirt/private/clientkey.pem
(
    # Renewed ones are taken over without a restart.
    while sleep 30; do
        now=$(seen)
        [ "$now" != "$before" ] || continue
        before=$now
        certificates
        virt-admin --connect libvirtd:///system server-update-tls libvirtd || true
    done
) &
until [ -S /run/libvirt/virtlogd-sock ]; do sleep 0.2; done
exec /opt/daybreak/keep.sh replace libvirtd \
    libvirtd --listen --config /etc/daybreak/libvirtd.conf --pid-file /run/libvirt/libvirtd.pid

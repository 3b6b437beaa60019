#!/bin/sh
# Neutron's agent of this node: gives servers their metadata.
set -eu
# shellcheck disable=SC1091 # the charm renders it
. /etc/daybreak/settings
install -d /var/lib/neutron/lock /etc/neutron
printf '[DEFAULT]\nhost = %s\n' "$NODE" > /etc/neutron/node.conf
exec "$BIN/neutron-ovn-agent" --config-file /etc/daybreak/neutron.conf --config-file /etc/neutron/node.conf

#!/bin/sh
# Writes the consoles of servers to files, and keeps those small. It outlives its container because a server that has
# lost it writes no console until it is started again.
set -eu
exec /opt/daybreak/keep.sh outlive virtlogd virtlogd --pid-file /run/libvirt/virtlogd.pid
